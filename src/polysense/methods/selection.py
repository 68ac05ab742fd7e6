"""A learnt choice among many prototypes (after the learning-based selection of VAWI, Guo et al., ACL 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from polysense.modality import PrototypeBlock

TEMPERATURE = 1.0
"""Of the relaxation; lower is closer to a hard choice, with gradients that vary more."""

_NEVER = -1e9  # the score of no candidate; finite, so that a text without candidates gives no NaN


class LearntSelection(nn.Module):
    """Keeps `keep` prototypes of each modality, scored by an MLP on [prototype; pooled text].

    In training the scores have Gumbel noise, and the choice is hard forwards and relaxed backwards: each place that is
    kept is a straight-through Gumbel softmax (Jang et al., ICLR 2017) over what it holds and all that is not kept. So
    what was not kept has a gradient too, which says how much better or worse the prediction were with it in that place,
    and a choice can be revised. Elsewhere it is the Top-K of the scores, ties to the earlier prototype. A text with no
    more candidates than `keep` keeps all, and its scores have no gradient.

    Args:
        width: d, of prototypes and text.
        keep: prototypes a text and modality, at least 1.
    """

    def __init__(self, width: int, keep: int) -> None:
        super().__init__()
        self.keep = keep
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, text: Tensor, block: PrototypeBlock) -> PrototypeBlock:
        """The block with all but the chosen prototypes zero and masked.

        Args:
            text: (B, d) pooled.
            block: projected prototypes, (B, K, d).
        """
        beside = text[:, None].expand_as(block.features)
        scores = self.score(torch.cat([block.features, beside], dim=-1)).squeeze(-1)
        if self.training:
            # In this order no logarithm meets a zero.
            scores = scores - torch.empty_like(scores).exponential_().clamp(min=1e-20).log()
        scores = scores.masked_fill(~block.mask, _NEVER)
        ranked = scores.argsort(dim=-1, descending=True, stable=True)[:, : self.keep]
        chosen = torch.zeros_like(block.mask).scatter(1, ranked, True) & block.mask
        if not self.training:
            return PrototypeBlock(block.features * chosen[..., None], chosen)
        own = one_hot(ranked, scores.shape[-1]).bool()
        others = scores[:, None].masked_fill(~own & (chosen | ~block.mask)[:, None], _NEVER)
        soft = (others / TEMPERATURE).softmax(dim=-1)
        gate = own + (soft - soft.detach())  # (B, keep, K): exactly 0 or 1
        placed = (gate[..., None] * block.features[:, None]).sum(dim=2).to(block.features.dtype)
        kept = torch.zeros_like(block.features).scatter(1, ranked[..., None].expand_as(placed), placed)
        return PrototypeBlock(kept * chosen[..., None], chosen)
