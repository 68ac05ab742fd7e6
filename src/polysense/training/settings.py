"""What a training run is told."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from polysense.errors import PolysenseError
from polysense.prototypes.reading import Precision, Reading
from polysense.prototypes.windows import LongTexts
from polysense.tasks import Defaults
from polysense.tasks.tables import near
from polysense.towers.tower import SaliencyLayers

_WHOLE = ("batch_size", "max_length", "k", "seed")
_READING = ("layers", "long_texts", "precision")
_SWITCHES = ("bf16", "group_by_length")
_MAY_BE_ZERO = ("weight_decay", "warmup", "dropout", "seed")
_MOST = {"seed": 2**32 - 1, "dropout": 1, "warmup": 1}


@dataclass(frozen=True)
class TrainingSettings:
    """Hyper-parameters of a run; the defaults are MaCSC's for GLUE (A.3).

    Attributes:
        learning_rate: of AdamW for the backbone, at its peak.
        method_learning_rate: for the method's own layers, which start from nothing; None: as the backbone's.
        batch_size: samples a step.
        epochs: passes over the training split.
        weight_decay: of AdamW.
        warmup: share of the steps over which the learning rate rises; it falls linearly to zero after.
        max_length: of the backbone's token sequences.
        k, layers, long_texts, precision: how prototypes are read (see `Reading`).
        dropout: on the representations r[m].
        bf16: train in mixed precision, the backbone's products in bfloat16; the method stays in single precision.
        group_by_length: make batches of rows of about the same length, which hold less padding.
        seed: of initial weights, order of the data and dropout.
    """

    learning_rate: float = 1e-4
    method_learning_rate: float | None = None
    batch_size: int = 32
    epochs: float = 3
    weight_decay: float = 0.01
    warmup: float = 0.06
    max_length: int = 128
    k: int = 4
    layers: SaliencyLayers = "last"
    long_texts: LongTexts = "window"
    precision: Precision = "half"
    dropout: float = 0.1
    bf16: bool = False
    group_by_length: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self.reading()
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise PolysenseError(f"{name.replace('_', '-')} must be true or false, not {getattr(self, name)!r}")
        for name in (field.name for field in fields(self) if field.name not in _READING + _SWITCHES):
            value, said = getattr(self, name), name.replace("_", "-")
            if name == "method_learning_rate" and value is None:
                continue
            kind: Any = int if name in _WHOLE else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
                raise PolysenseError(f"{said} must be a {'whole ' if kind is int else ''}number, not {value!r}")
            if name in _MAY_BE_ZERO and value < 0:
                raise PolysenseError(f"{said} must not be less than 0, not {value}")
            if name not in _MAY_BE_ZERO and value <= 0:
                raise PolysenseError(f"{said} must be more than 0, not {value}")
            if name in _MOST and value > _MOST[name]:
                raise PolysenseError(f"{said} must be at most {_MOST[name]}, not {value}")

    def reading(self) -> Reading:
        """How prototypes are read."""
        return Reading(self.k, self.layers, self.long_texts, self.precision)

    @classmethod
    def for_task(cls, defaults: Defaults, **given: Any) -> TrainingSettings:
        """A task's defaults, with what was given (not None) instead.

        Raises:
            PolysenseError: a name is no setting, or a value is out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise PolysenseError(
                    f"unknown setting {name!r}{near(name, known)}; the settings are {', '.join(known)}"
                )
        return cls(**{**asdict(defaults), **{k: v for k, v in given.items() if v is not None}})
