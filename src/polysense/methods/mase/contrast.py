"""Cross-modal contrast (MASE Eq. 8)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional as F

from polysense.methods.base import Regulariser, Sizes
from polysense.methods.directions import directions
from polysense.methods.targets import Target


class CrossModalContrast(Regulariser):
    """alpha L_cc (Eq. 8-9): a sentence's representation in m should find its own in k among the batch's, for all m, k.

    Eq. 8 is printed without a logarithm; minimised like that it would push a sentence's representations apart. Here it
    is -log softmax_j(h_i^m . h_j^k / tau) at j = i, on representations of length 1; the mean over the batch and over
    the ordered pairs of modalities.

    Args:
        sizes: the modalities.
        weight: alpha.
        temperature: tau.
    """

    name = "contrast"

    def __init__(self, sizes: Sizes, target: Target, weight: float = 0.2, temperature: float = 0.07) -> None:  # noqa: ARG002
        super().__init__()
        self.modalities = sizes.modalities
        self.weight, self.temperature = weight, temperature

    def forward(
        self,
        representations: Mapping[str, Tensor],
        modality_logits: Mapping[str, Tensor],  # noqa: ARG002
        labels: Tensor,
    ) -> Tensor:
        features = {m: directions(representations[m], representations[m].any(dim=-1)) for m in self.modalities}
        own = torch.arange(len(labels), device=labels.device)
        pairs = [
            F.cross_entropy(features[m] @ features[k].T / self.temperature, own)
            for m, k in permutations(self.modalities, 2)
        ]
        return self.weight * torch.stack(pairs).mean()
