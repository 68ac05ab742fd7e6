"""What a piece of work must take, by counting rather than by the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count


def _forward(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


def _backward(grad: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _forward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
}
"""Attention without dropout, which PyTorch counts on other devices alone."""


@dataclass(frozen=True)
class Counts:
    """Of one call.

    Attributes:
        operations: floating-point operations of its matrix products, of the backward pass too.
        megabytes: that its forward pass keeps for the backward pass, and gradients: the sum, of which a part is freed
            before the last gradient is there.
    """

    operations: int
    megabytes: float


def count(work: Callable[[], object], there: object = ()) -> Counts:
    """Count one call; `there` holds the tensors that it uses and does not make, however nested.

    Those that are trained get a gradient.
    """
    tensors = [leaf for leaf in tree_leaves(there) if isinstance(leaf, Tensor)]
    before = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()  # of which several tensors may be views
        if storage.data_ptr() not in before:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    flops = FlopCounterMode(display=False, custom_mapping=_ON_CPU)
    with flops, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    gradients = sum(tensor.nbytes for tensor in tensors if tensor.requires_grad)
    return Counts(flops.get_total_flops(), (sum(kept.values()) + gradients) / 1e6)
