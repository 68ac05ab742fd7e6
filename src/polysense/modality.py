"""What every part of the package speaks: the names of the modalities and the tensors of their prototypes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

TEXT = "text"
"""The modality of the backbone itself; every other modality is *auxiliary* and comes from a tower."""

MODALITIES = ("image", "audio", "video")
"""The auxiliary modalities of the papers, in the order of their tables (T+I+A+V)."""


@dataclass(frozen=True)
class PrototypeBlock:
    """The conceptual prototypes of one modality for a batch of sentences (MaCSC Eq. 1: H_i^m).

    Attributes:
        features: (B, K, d_m), rows of absent prototypes are zero.
        mask: (B, K) bool, True where there is a prototype. A sentence may have fewer than K, or none.
    """

    features: Tensor
    mask: Tensor


Blocks = Mapping[str, PrototypeBlock]
"""The blocks of a batch by modality."""


def modality_order(names: Mapping[str, object] | list[str]) -> list[str]:
    """Auxiliary modalities in the papers' order, any others after them by name."""
    known = [m for m in MODALITIES if m in names]
    return known + sorted(set(names) - set(known))
