"""Cross-modal contrast (MASE Eq. 8)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional as F

from polysense.methods.base import Regulariser, Sizes
from polysense.methods.targets import Target
from polysense.processes import GlobalBatch


class CrossModalContrast(Regulariser):
    """alpha L_cc (Eq. 8-9): a sentence's representation in m should find its own in k among the batch's, for all m, k.

    Eq. 8 is printed without a logarithm; minimised like that it would push a sentence's representations apart. Here it
    is -log softmax_j(h_i^m . h_j^k / tau) at j = i, on representations of length 1; the mean over the sentences that
    have both (one without prototypes and entities has h^m = 0, which has no direction) and over the ordered pairs. In
    training the batch is that of all processes.

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
        batch = GlobalBatch(len(labels), self.training, labels.device)
        others = {m: batch.gather(representations[m]) for m in self.modalities}
        present = {m: others[m].any(dim=-1) for m in self.modalities}
        pairs = []
        for m, k in permutations(self.modalities, 2):
            both = present[m] & present[k]
            of_rows = pair_contrast(representations[m], others[k], both, batch.own, self.temperature)
            pairs.append(batch.mean(of_rows, int(both.sum())))
        return self.weight * torch.stack(pairs).mean()


def pair_contrast(m: Tensor, k: Tensor, both: Tensor, own: slice, temperature: float) -> Tensor:
    """-log softmax_j(m_i . k_j / tau) at j = i, over the rows that have both modalities.

    Args:
        m: (n, d) of the rows i.
        k: (N, d) of all rows j.
        both: (N,) bool, whether a row has both.
        own: where the rows i are among all.
        temperature: tau.

    Returns:
        (n',), for each i that has both.
    """
    logits = F.normalize(m[both[own]], dim=-1) @ F.normalize(k[both], dim=-1).T / temperature
    place = both.cumsum(0)[own][both[own]] - 1
    return F.cross_entropy(logits, place, reduction="none")
