"""Token saliency: one row of one attention map, while the body of the encoder stays on fused attention.

MaCSC section 2.2 ranks tokens by the attention that the pooled token pays to them. Asking a Hugging Face model for
its attentions would switch every layer to eager attention and keep L x L maps of padded sentences; here an attention
function, registered under its own name, runs PyTorch's fused attention on packed sequences and computes just the row
that is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from polysense.towers.packing import PackedTokens

ATTENTION = "polysense_saliency"

# Not an argument of the model: SigLIP, and CLAP in transformers 5.3, hand none on to their attention.
_CURRENT: ContextVar[PackedAttention | None] = ContextVar("polysense_packed_attention", default=None)


@dataclass
class PackedAttention:
    """Attention of one forward pass over packed sequences, and what it shows of one query token a sequence.

    Attributes:
        tokens: the sequences.
        query: (B,) the place in its sequence of the token that the encoder pools from.
        visible: (N,) bool, tokens that the query may see; None for all. In a causal encoder nothing behind the query.
        every_layer: whether rows of all layers are wanted, or the last layer's alone.
    """

    tokens: PackedTokens
    query: Tensor
    visible: Tensor | None = None
    every_layer: bool = False
    _rows: list[Tensor] = field(default_factory=list)
    _last: tuple[Tensor, Tensor, float] | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """While it lasts, the models of this thread that were loaded with `ATTENTION` attend by this object."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float, causal: bool) -> Tensor:
        """(N, heads, d_head) each, to the same shape; every sequence sees itself alone."""
        if self.every_layer and self._last is not None:
            self._rows.append(self._row(*self._last))
        # The last layer is only known when no other follows.
        self._last = (query, key, scaling)
        output = torch.empty_like(value)
        for run in self.tokens.runs:
            q, k, v = (x[run.tokens].unflatten(0, (run.count, run.length)).transpose(1, 2) for x in (query, key, value))
            seen = scaled_dot_product_attention(q, k, v, is_causal=causal and run.length > 1, scale=scaling)
            output[run.tokens] = seen.transpose(1, 2).flatten(0, 1)
        return output

    def saliency(self) -> Tensor:
        """(N,): the query's attention to each token of its sequence, averaged over heads, and over layers if asked."""
        if self._last is None:
            raise ValueError("the model did not use the attention function that it was given")
        return torch.stack([*self._rows, self._row(*self._last)]).mean(dim=0)

    def _row(self, query: Tensor, key: Tensor, scaling: float) -> Tensor:
        rows = []
        of_query = query[self.tokens.starts + self.query]  # (B, heads, d_head)
        first = 0
        for run in self.tokens.runs:
            q = of_query[first : first + run.count]
            first += run.count
            k = key[run.tokens].unflatten(0, (run.count, run.length))
            scores = torch.einsum("bhd,blhd->bhl", q, k) * scaling
            if self.visible is not None:
                visible = self.visible[run.tokens].unflatten(0, (run.count, run.length))
                scores = scores.masked_fill(~visible[:, None], float("-inf"))
            rows.append(scores.float().softmax(dim=-1).mean(dim=1).flatten())
        return torch.cat(rows)


def current_attention() -> PackedAttention:
    """The one that is active.

    Raises:
        ValueError: none is.
    """
    attention = _CURRENT.get()
    if attention is None:
        raise ValueError("packed layers run within PackedAttention.active()")
    return attention


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The signature of `AttentionInterface`; states are (1, heads, N, d_head) or (count, heads, length, d_head)."""
    packed = _CURRENT.get()
    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    if kwargs.get("sliding_window"):
        raise ValueError("a layer sees a window of the text only, which packed sequences do not keep")
    causal = kwargs.get("is_causal")
    causal = getattr(module, "is_causal", False) if causal is None else causal
    scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
    flat = [x.transpose(1, 2).flatten(0, 1) for x in (query, key, value)]
    output = packed.attend(flat[0], flat[1], flat[2], scaling, bool(causal))
    return output.view(len(query), -1, *output.shape[1:]), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
