"""Multi-scale information allocation: how much each pair of samples, and of modalities, should exchange."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def debiased_prediction(class_logits: Tensor, log_frequency: Tensor, alpha: float = 1.0) -> Tensor:
    """Eq. 4: p_i^m = softmax(logits - alpha log pi_e).

    Args:
        class_logits: (B, C).
        log_frequency: (C,) log pi_e. A class that no training example has gets no probability: dividing by its
            frequency of zero would give it all.
        alpha: strength of the correction.
    """
    absent = log_frequency == float("-inf")
    adjusted = class_logits - alpha * log_frequency.masked_fill(absent, 0.0)
    return adjusted.masked_fill(absent, float("-inf")).softmax(dim=-1)


def allocation_scores(p_m: Tensor, p_k: Tensor) -> Tensor:
    """Eq. 5: the cosine similarities w_ij of the predictions (n, C) and (N, C) of two modalities, rows of sum 1.

    Returns:
        (n, N).
    """
    similarity = F.normalize(p_m, dim=-1) @ F.normalize(p_k, dim=-1).T
    return similarity / similarity.sum(dim=-1, keepdim=True)


class CoarseAllocation(nn.Module):
    """Eq. 6: learnt weights pi_z^(m,k), for each modality m a softmax over the others; uniform at the start."""

    def __init__(self, modalities: Sequence[str]) -> None:
        super().__init__()
        self.modalities = list(modalities)
        others = len(self.modalities) - 1
        self.z = nn.ParameterDict({m: nn.Parameter(torch.zeros(others)) for m in self.modalities})

    def forward(self) -> dict[tuple[str, str], Tensor]:
        """The weight of each ordered pair (m, k)."""
        weights = {m: z.softmax(dim=0) for m, z in self.z.items()}
        others = {m: [k for k in self.modalities if k != m] for m in self.modalities}
        return {(m, k): weights[m][others[m].index(k)] for m, k in permutations(self.modalities, 2)}
