"""Token saliency: one row of one attention map, while the body of the encoder stays on fused attention.

MaCSC section 2.2 ranks tokens by the attention that the pooled token pays to them. Asking a Hugging Face model for
its attentions would switch every layer to eager attention and keep L x L maps; here an attention function,
registered under its own name, runs PyTorch's fused attention and computes just the row that is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "polysense_saliency"


@dataclass
class AttentionRow:
    """Collects, during one forward pass, the attention row of one query position a sentence.

    Attributes:
        position: (B,) the query: the position that the encoder pools from.
        key_mask: (B, L) bool, the real tokens. In a causal encoder the query must be the last of them, so that the
            causal mask hides nothing more.
        rows: one (B, L) row a layer, averaged over heads; filled by the forward pass.
    """

    position: Tensor
    key_mask: Tensor
    rows: list[Tensor] = field(default_factory=list)

    def add(self, query: Tensor, key: Tensor, scaling: float) -> None:
        """query, key: (B, heads, L, d_head) as the attention layer has them."""
        batch = torch.arange(query.shape[0], device=query.device)
        q = query[batch, :, self.position]  # (B, heads, d_head)
        scores = torch.einsum("bhd,bhld->bhl", q, key) * scaling
        scores = scores.masked_fill(~self.key_mask[:, None], float("-inf"))
        self.rows.append(scores.float().softmax(dim=-1).mean(dim=1))

    def result(self, layers: str) -> Tensor:
        """(B, L): the row of the "last" layer, or the mean over "all" layers."""
        return self.rows[-1] if layers == "last" else torch.stack(self.rows).mean(dim=0)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    attention_row: AttentionRow | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if attention_row is not None:
        attention_row.add(query, key, kwargs.get("scaling") or query.shape[-1] ** -0.5)
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
