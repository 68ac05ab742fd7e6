"""Self-balancing contrastive learning (MaCSC Eq. 7-9 and 13)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polysense.methods.base import Regulariser, Sizes
from polysense.methods.macsc.allocation import CoarseAllocation, allocation_scores, debiased_prediction
from polysense.methods.targets import Target
from polysense.processes import GlobalBatch


def pair_contrast(m: Tensor, k: Tensor, scores: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Eq. 7-8 between two modalities: -mean_i sum_j 1(y_i = y_j) p(w_ij) log p_ij, p_ij = softmax_j(m_i . k_j / tau).

    Eq. 8 prints a sum over i; the mean keeps the weight of the loss apart from the size of the batch.

    Args:
        m: (n, p) projected features of length 1.
        k: (N, p) likewise, of all rows that are contrasted with.
        scores: (n, N) allocation scores p(w_ij); a target, through which no gradient flows.
        same: (n, N) bool, y_i = y_j.
        temperature: tau.
    """
    log_p = F.log_softmax(m @ k.T / temperature, dim=-1)
    return -(same * scores.detach() * log_p).sum(dim=-1).mean()


class SelfBalancingContrast(Regulariser):
    """lambda L_msb (Eq. 13-14): the contrast of every ordered pair of modalities, weighted by pi_z^(m,k).

    In training rows are contrasted with those of all processes; each answers for its own i.

    Args:
        sizes: d and the modalities.
        target: gives classes and pi_e.
        weight: lambda.
        temperature: tau.
        alpha: strength of the class-frequency correction (Eq. 4).
        width: of the projected features.
    """

    name = "contrast"

    def __init__(
        self,
        sizes: Sizes,
        target: Target,
        weight: float = 0.2,
        temperature: float = 0.07,
        alpha: float = 1.0,
        width: int = 128,
    ) -> None:
        super().__init__()
        self.target = target
        self.weight, self.temperature, self.alpha = weight, temperature, alpha
        self.projectors = nn.ModuleDict({m: nn.Linear(sizes.hidden, width) for m in sizes.modalities})
        self.coarse = CoarseAllocation(sizes.modalities)

    def forward(
        self, representations: Mapping[str, Tensor], modality_logits: Mapping[str, Tensor], labels: Tensor
    ) -> Tensor:
        features = {m: self._project(m, representations[m]) for m in self.projectors}
        predictions = {}
        for m in features:
            class_logits = self.target.class_logits(modality_logits[m].detach())
            predictions[m] = debiased_prediction(class_logits, self.target.log_frequency(class_logits), self.alpha)
        batch = GlobalBatch(len(labels), self.training, labels.device)
        same = batch.is_own() if self.target.own_classes else self._same_class(batch, labels)
        others = {m: batch.gather(feature) for m, feature in features.items()}
        weights = self.coarse()
        total = sum(
            weight
            * pair_contrast(
                features[m], others[k], self._scores(batch, predictions[m], predictions[k]), same, self.temperature
            )
            for (m, k), weight in weights.items()
        )
        return self.weight * total / len(weights)

    def _same_class(self, batch: GlobalBatch, labels: Tensor) -> Tensor:
        classes = self.target.class_of(labels)
        return classes[:, None] == batch.gather(classes)[None, :]

    def _scores(self, batch: GlobalBatch, m: Tensor, k: Tensor) -> Tensor:
        """Eq. 5; where every row is a class of its own, all of it falls to the one positive, whatever the batch."""
        return batch.is_own() if self.target.own_classes else allocation_scores(m, batch.gather(k))

    def _project(self, modality: str, representations: Tensor) -> Tensor:
        """(B, d) to (B, p) of length 1.

        A sentence without prototypes (r[m] = 0) is projected to the bias, which starts at zero and has no direction:
        the gradient of its length would be huge, so none flows.
        """
        projected = self.projectors[modality](representations)
        present = representations.any(dim=-1, keepdim=True)
        return F.normalize(torch.where(present, projected, projected.detach()), dim=-1)
