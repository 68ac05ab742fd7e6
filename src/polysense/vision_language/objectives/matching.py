"""Image-text matching: do this text and this picture belong together?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mismatch(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Give half of a batch's texts another example's picture.

    Args:
        pictures: (B,) numbers that say which picture an example shows.

    Returns:
        (B,) int64: whose regions each text gets; (B,) int64 labels, 1 where that is its own picture, also by chance.
    """
    batch = len(pictures)
    order = torch.arange(batch, device=pictures.device)
    others = order.roll(1)
    apart = torch.rand(batch, device=pictures.device).argsort().argsort() < batch // 2
    source = torch.where(apart, others, order)
    return source, (pictures[source] == pictures).long()


class MatchingHead(nn.Module):
    """The state of the text's first token (B, d) to two logits; cross-entropy."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classify = nn.Linear(width, 2)

    def forward(self, states: Tensor) -> Tensor:
        logits: Tensor = self.classify(states)
        return logits

    def loss(self, states: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self(states), labels)
