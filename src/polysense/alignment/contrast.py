"""The symmetric contrast between captions and what they name, with several positives a caption."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def symmetric_contrast(
    text: Tensor, other: Tensor, text_concepts: Tensor, other_concepts: Tensor, scale: Tensor
) -> Tensor:
    """InfoNCE both ways (Radford et al. 2021), averaged over the positives of each row (Khosla et al. 2020).

    Args:
        text: (N, D) unit features of captions.
        other: (M, D) unit features of the modality.
        text_concepts, other_concepts: (N,) and (M,); a caption and a picture of the same concept are a positive pair.
        scale: inverse temperature.
    """
    logits = scale * text @ other.T
    positive = text_concepts[:, None] == other_concepts[None, :]
    return (_one_way(logits, positive) + _one_way(logits.T, positive.T)) / 2


def _one_way(logits: Tensor, positive: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=-1)
    count = positive.sum(dim=-1)
    rows = count > 0
    return -((log_p * positive).sum(dim=-1)[rows] / count[rows]).mean()
