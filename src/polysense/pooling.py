"""One vector of a sequence."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Pooling = Literal["first", "mean", "last"]


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """(B, L, d) and (B, L) to (B, d): the first real token, the last, or the mean of all; zero where there is none.

    Raises:
        ValueError: an unknown pooling.
    """
    if pooling == "mean":
        weights = mask.to(states.dtype)[..., None]
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
    if pooling not in get_args(Pooling):
        raise ValueError(f"unknown pooling {pooling!r}: one of {', '.join(get_args(Pooling))}")
    # Padding may be on either side.
    position = mask.int().argmax(dim=1) if pooling == "first" else mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)
    picked = states[torch.arange(len(states), device=states.device), position]
    return picked * mask.any(dim=1, keepdim=True).to(states.dtype)
