"""Representations as directions, which contrasts compare."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def directions(features: Tensor, present: Tensor) -> Tensor:
    """Features (B, d) at length 1; none flows back from rows where the modality said nothing, `present` (B,).

    Such a row is zero, or a bias that starts at zero: it has no direction, and its length has a huge gradient.
    """
    return F.normalize(features.where(present[:, None], features.detach()), dim=-1)
