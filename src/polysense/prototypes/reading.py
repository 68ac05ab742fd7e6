"""How prototypes are read from a tower."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from polysense.errors import PolysenseError
from polysense.prototypes.windows import LongTexts
from polysense.towers.tower import SaliencyLayers

Precision = Literal["half", "exact"]
_CHOICES = {"layers": ("last", "all"), "long_texts": ("window", "truncate"), "precision": ("half", "exact")}


@dataclass(frozen=True)
class Reading:
    """The choices that MaCSC's Eq. 1 leaves open.

    Attributes:
        k: prototypes a sentence. The papers do not give it; 4 until our sweep says better.
        layers: saliency from the "last" attention layer or the mean over "all".
        long_texts: "window" chooses over all of a long text, "truncate" over its beginning.
        precision: of features, "half" (float16) or "exact" (float32). It holds whether they are stored or not, so
            that a model sees the same numbers either way.

    Raises:
        PolysenseError: K is less than 1, or a choice is unknown.
    """

    k: int = 4
    layers: SaliencyLayers = "last"
    long_texts: LongTexts = "window"
    precision: Precision = "half"

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 1:
            raise PolysenseError(f"k must be a whole number and at least 1, not {self.k!r}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise PolysenseError(f"{name.replace('_', '-')} is {' or '.join(known)}, not {getattr(self, name)!r}")

    @property
    def dtype(self) -> type[np.floating]:
        """Of features."""
        return np.float16 if self.precision == "half" else np.float32

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
