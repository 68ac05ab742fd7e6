"""Eq. 7-8: the contrast of two modalities, against loops; Eq. 9: what it is minimised by (Theorem 1)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import support
from polysense.methods.macsc.allocation import allocation_scores
from polysense.methods.macsc.contrast import pair_contrast


def make_scores(n: int, classes: int = 3) -> Tensor:
    """Allocation scores of random predictions."""
    return allocation_scores(*(torch.randn(2, n, classes) * 2).softmax(dim=-1))


def same_class(classes: list[int]) -> Tensor:
    numbers = torch.tensor(classes)
    return numbers[:, None] == numbers


@pytest.mark.parametrize("classes", [[0, 1, 0, 2, 1], [0, 0, 0, 0, 0], [0, 1, 2, 3, 4], [3]])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_eq7_eq8_pair_contrast(classes: list[int], temperature: float) -> None:
    torch.manual_seed(len(classes))
    n = len(classes)
    m, k = (F.normalize(torch.randn(n, 4), dim=-1).requires_grad_() for _ in range(2))
    scores = make_scores(n)
    fast = pair_contrast(m, k, scores, same_class(classes), temperature)
    slow = support.slow_contrast(m, k, scores.tolist(), classes, temperature)
    if n > 1:
        support.assert_same_gradients(fast, slow, [m, k])
    else:
        assert fast.item() == slow.item() == 0


def test_eq7_rows_belong_to_m_and_columns_to_k() -> None:
    torch.manual_seed(0)
    m, k = (F.normalize(torch.randn(4, 3), dim=-1) for _ in range(2))
    scores, same = make_scores(4), same_class([0, 0, 1, 0])
    given = pair_contrast(m, k, scores, same, 0.5)
    assert not torch.allclose(given, pair_contrast(k, m, scores, same, 0.5), atol=1e-3)
    assert not torch.allclose(given, pair_contrast(m, k, scores.T, same, 0.5), atol=1e-3)


def test_eq5_eq7_no_gradient_flows_through_the_scores() -> None:
    torch.manual_seed(0)
    p = torch.randn(2, 4, 3, requires_grad=True)
    m = torch.randn(4, 3, requires_grad=True)
    scores = allocation_scores(*p.softmax(dim=-1))
    assert scores.requires_grad
    loss = pair_contrast(m, torch.randn(4, 3), scores, same_class([0] * 4), 0.5)
    through_m, through_p = torch.autograd.grad(loss, [m, p], allow_unused=True)
    assert through_m.abs().max() > 0
    assert through_p is None


@pytest.mark.parametrize("n", [2, 8, 32])
def test_eq8_is_a_mean_over_the_batch(n: int) -> None:
    """Where nothing tells samples apart each row costs log N, and so does their mean; a sum would be N log N."""
    loss = pair_contrast(torch.zeros(n, 3), torch.zeros(n, 3), torch.full((n, n), 1 / n), same_class([0] * n), 0.07)
    assert float(loss) == pytest.approx(math.log(n))


def _train(scores: Tensor, same: Tensor) -> Tensor:
    """p* (Eq. 9): free contrastive logits, m_i . k_j with k the unit vectors, by plain gradient descent on Eq. 7."""
    n = len(scores)
    logits = torch.zeros(n, n, requires_grad=True)
    for _ in range(800):
        (gradient,) = torch.autograd.grad(pair_contrast(logits, torch.eye(n), scores, same, 1.0), logits)
        with torch.no_grad():
            logits -= 2 * n * gradient
    return logits.detach().softmax(dim=-1)


def test_eq9_theorem_1_optimal_logits_are_the_allocation_scores() -> None:
    torch.manual_seed(0)
    scores = allocation_scores(*(torch.randn(2, 6, 3) * 3).softmax(dim=-1))
    assert (scores - 1 / 6).abs().max() > 0.05
    torch.testing.assert_close(_train(scores, same_class([0] * 6)), scores, rtol=0, atol=1e-4)


def test_eq9_theorem_1_with_several_classes() -> None:
    """Then p* is the scores among samples of the same class, divided by their sum, and 0 elsewhere."""
    torch.manual_seed(1)
    scores = allocation_scores(*(torch.randn(2, 6, 3) * 3).softmax(dim=-1))
    same = same_class([0, 0, 1, 1, 1, 0])
    expected = same * scores / (same * scores).sum(dim=-1, keepdim=True)
    torch.testing.assert_close(_train(scores, same), expected, rtol=0, atol=5e-3)
