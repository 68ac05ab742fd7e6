"""What a piece of work must take, by counting rather than by the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Counts:
    """Of one call.

    Attributes:
        operations: floating-point operations of its matrix products, of the backward pass too.
        megabytes: that its forward pass keeps for the backward pass, and gradients.
    """

    operations: int
    megabytes: float


def count(work: Callable[[], object], there: Iterable[Tensor] = ()) -> Counts:
    """Count one call; `there` are tensors that it uses and does not make, with gradients if they are trained."""
    there = list(there)
    before = {tensor.untyped_storage().data_ptr() for tensor in there}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()  # of which several tensors may be views
        if storage.data_ptr() not in before:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as flops, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    gradients = sum(tensor.nbytes for tensor in there if tensor.requires_grad)
    return Counts(flops.get_total_flops(), (sum(kept.values()) + gradients) / 1e6)
