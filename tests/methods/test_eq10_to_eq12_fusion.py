"""Eq. 10-12: a prediction a modality, their mixture and its loss, against loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import support
from polysense.methods.base import Sizes
from polysense.methods.macsc.fusion import LateFusion
from polysense.methods.targets import ClassTarget, Target, ValueTarget

SIZES = Sizes(6, {"image": 4, "audio": 4})
CLASSES = ClassTarget([0.5, 0.3, 0.2])
VALUES = ValueTarget(mean=2.0, std=1.5, edges=[1.0, 3.0], centres=[0.5, 2.0, 4.0], frequency=[0.3, 0.4, 0.3])


def make(target: Target) -> tuple[LateFusion, dict[str, Tensor]]:
    """Uneven rho and four sentences."""
    torch.manual_seed(0)
    module = LateFusion(SIZES, target)
    with torch.no_grad():
        module.log_rho.copy_(torch.tensor([0.3, -1.0, 0.9]))
    return module, {m: torch.randn(4, 6, requires_grad=True) for m in SIZES.modalities}


def slow_logits(module: LateFusion, representations: dict[str, Tensor]) -> dict[str, list[Tensor]]:
    return {m: [head.weight @ r + head.bias for r in representations[m]] for m, head in module.heads.items()}


def test_eq10_a_head_of_its_own_a_modality() -> None:
    module, representations = make(CLASSES)
    _, logits = module(representations)
    for m, rows in slow_logits(module, representations).items():
        torch.testing.assert_close(logits[m], torch.stack(rows), **support.CLOSE)


def test_eq11_eq12_mixture_of_distributions_and_cross_entropy() -> None:
    module, representations = make(CLASSES)
    labels = [2, 0, 1, 0]
    prediction, _ = module(representations)
    loss = CLASSES.loss(prediction, torch.tensor(labels))

    rho = support.slow_softmax(list(module.log_rho))
    slow = slow_logits(module, representations)
    terms = []
    for i, label in enumerate(labels):
        mixed = [torch.zeros(())] * 3
        for m, weight in zip(SIZES.modalities, rho, strict=True):
            p_m = support.slow_softmax(list(slow[m][i]))
            mixed = [old + weight * p for old, p in zip(mixed, p_m, strict=True)]
        torch.testing.assert_close(prediction[i].exp(), torch.stack(mixed), **support.CLOSE)
        torch.testing.assert_close(sum(mixed), torch.ones(()), **support.CLOSE)
        terms.append(-mixed[label].log())
    support.assert_same_gradients(loss, sum(terms) / 4, [*module.parameters(), *representations.values()])


def test_eq11_values_are_mixed_as_they_are() -> None:
    module, representations = make(VALUES)
    labels = [0.5, 2.0, 4.5, 3.0]
    prediction, logits = module(representations)
    loss = VALUES.loss(prediction, torch.tensor(labels))

    rho = support.slow_softmax(list(module.log_rho))
    slow = slow_logits(module, representations)
    terms = []
    for i, label in enumerate(labels):
        value = sum(weight * slow[m][i][0] for m, weight in zip(SIZES.modalities, rho, strict=True)) * 1.5 + 2.0
        torch.testing.assert_close(prediction[i], value, **support.CLOSE)
        terms.append(((value - label) / 1.5) ** 2)
    assert {tuple(z.shape) for z in logits.values()} == {(4, 1)}
    support.assert_same_gradients(loss, sum(terms) / 4, [*module.parameters(), *representations.values()])


def test_eq11_rho_starts_uniform_and_is_normalised() -> None:
    assert LateFusion(SIZES, CLASSES).weights() == pytest.approx({"text": 1 / 3, "image": 1 / 3, "audio": 1 / 3})
    module, _ = make(CLASSES)
    weights = module.weights()
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["audio"] > weights["text"] > weights["image"]


def test_eq12_stays_finite_where_probabilities_underflow() -> None:
    """Both modalities give the true class e^-500: its log-probability is still a number, with a gradient."""
    logits = torch.tensor([[[0.0, -500.0], [0.0, -500.0]]], requires_grad=True)
    target = ClassTarget([0.5, 0.5])
    loss = target.loss(target.mix(logits, torch.tensor([0.5, 0.5]).log()), torch.tensor([1]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(500)
    torch.testing.assert_close(gradient[..., 1], torch.tensor([[-0.5, -0.5]]), **support.CLOSE)
