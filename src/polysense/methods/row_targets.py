"""Targets whose classes are each row's own: one of its choices, or a part of its text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from polysense.methods.targets import Decision, Target

ABSENT = -1e4
"""The logit of what a row does not have: finite, so that no gradient is lost among infinities."""


class ChoiceTarget(Target):
    """Multiple choice: log-probabilities (B, C) of a row's own choices, cross-entropy.

    For the contrast every question is a class of its own: the third choice of one has nothing to do with the third of
    another. Where all rows have the same choices (the classes of a prompt), their `frequency` says so.

    Args:
        frequency: share of each class in the training set, where all rows have the same choices in the same order.
    """

    outputs = 1

    def __init__(self, frequency: Sequence[float] | None = None) -> None:
        self.shared = frequency is not None
        self.own_classes = not self.shared
        self.frequency = frequency or ()
        self.classes = len(self.frequency)

    def log_frequency(self, like: Tensor) -> Tensor:
        return super().log_frequency(like) if self.shared else like.new_zeros(like.shape[-1])

    def restrict(self, logits: Tensor, candidates: Tensor | None) -> Tensor:
        """(B, C, 1) to (B, C); `candidates` (B, C) are the choices that a row has."""
        logits = logits.squeeze(-1)
        return logits if candidates is None else logits.masked_fill(~candidates, ABSENT)

    def mix(self, logits: Tensor, log_weights: Tensor) -> Tensor:
        return torch.logsumexp(log_weights[:, None] + F.log_softmax(logits, dim=-1), dim=1)

    def loss(self, prediction: Tensor, labels: Tensor) -> Tensor:
        return F.nll_loss(prediction, labels.long())

    def class_logits(self, logits: Tensor) -> Tensor:
        return logits

    def class_of(self, labels: Tensor) -> Tensor:
        return labels.long() if self.shared else torch.arange(len(labels), device=labels.device)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return _join(parts)

    def decisions(self, logits: Tensor, labels: Tensor) -> list[Decision]:
        if self.shared:
            return super().decisions(logits, labels)
        return [decision(logits, labels)]


class SpanTarget(Target):
    """A part of a text: log-probabilities (B, 1 + L, 2) of its first and its last token, cross-entropy of both.

    Place 0 is the text as a whole, which a row without an answer points to. Where training has such rows, Eq. 4's
    classes are "no answer" and "answer"; else every question is a class of its own, and what is compared are the
    distributions over places.

    Args:
        frequency: shares of the windows that are trained on without and with an answer; None: every row has one.
    """

    outputs = 2

    def __init__(self, frequency: Sequence[float] | None = None) -> None:
        self.always_answered = self.own_classes = frequency is None
        self.frequency = frequency or ()
        self.classes = len(self.frequency)

    def log_frequency(self, like: Tensor) -> Tensor:
        return like.new_zeros(like.shape[-1]) if self.always_answered else super().log_frequency(like)

    def restrict(self, logits: Tensor, candidates: Tensor | None) -> Tensor:
        """(B, 1 + L, 2); `candidates` (B, 1 + L) are the places that an answer may begin or end at."""
        return logits if candidates is None else logits.masked_fill(~candidates[..., None], ABSENT)

    def mix(self, logits: Tensor, log_weights: Tensor) -> Tensor:
        return torch.logsumexp(log_weights[:, None, None] + F.log_softmax(logits, dim=-2), dim=1)

    def loss(self, prediction: Tensor, labels: Tensor) -> Tensor:
        """`labels` (B, 2): the places of the first and of the last token."""
        return F.nll_loss(prediction, labels.long())

    def class_logits(self, logits: Tensor) -> Tensor:
        """(B, 1 + L, 2) to (B, 2), no answer and answer; where all rows have one to (B, 2 + 2 L), places twice."""
        log_p = F.log_softmax(logits, dim=-2)
        if self.always_answered:
            return log_p.flatten(1)
        no_answer = log_p[:, 0].sum(dim=-1).clamp(max=-1e-6)  # else the other's logarithm is infinite
        return torch.stack([no_answer, torch.log(-torch.expm1(no_answer))], dim=-1)

    def class_of(self, labels: Tensor) -> Tensor:
        return torch.arange(len(labels), device=labels.device) if self.always_answered else (labels[:, 0] > 0).long()

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return _join(parts)

    def decisions(self, logits: Tensor, labels: Tensor) -> list[Decision]:
        """The first and the last token; before reading, every place is as likely."""
        return [decision(logits[..., side], labels[:, side]) for side in range(2)]


def _join(parts: Sequence[Tensor]) -> Tensor:
    """(B, C, ...) of several batches as one, what a row does not have absent."""
    longest = max(part.shape[1] for part in parts)
    missing = [(*[0, 0] * (part.dim() - 2), 0, longest - part.shape[1]) for part in parts]
    return torch.cat([F.pad(part, pad, value=ABSENT) for part, pad in zip(parts, missing, strict=True)])


def decision(logits: Tensor, labels: Tensor) -> Decision:
    """Logits (N, C) of a row's own classes, even before anything is read."""
    present = logits > ABSENT
    prior = torch.where(present, -present.sum(dim=-1, keepdim=True).double().log(), -torch.inf)
    return logits, labels.long(), prior
