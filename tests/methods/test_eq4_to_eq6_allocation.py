"""Eq. 4-6: debiased predictions, fine-grained scores and coarse weights, against loops."""

from __future__ import annotations

import pytest
import torch

import support
from polysense.methods.macsc.allocation import CoarseAllocation, allocation_scores, debiased_prediction
from polysense.methods.targets import ClassTarget

FREQUENCY = [0.7, 0.2, 0.1]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
def test_eq4_debiased_prediction(alpha: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 3, requires_grad=True)
    weights = torch.randn(5, 3)
    fast = debiased_prediction(logits, ClassTarget(FREQUENCY).log_frequency(logits), alpha)
    slow = torch.stack([torch.stack(row) for row in support.slow_debiased(logits, FREQUENCY, alpha)])
    torch.testing.assert_close(fast, slow, **support.CLOSE)
    support.assert_same_gradients((weights * fast).sum(), (weights * slow).sum(), [logits])


def test_eq4_takes_the_training_sets_bias_away() -> None:
    """A classifier that only says how frequent classes are knows nothing: p is uniform; rare classes gain."""
    log_frequency = ClassTarget(FREQUENCY).log_frequency(torch.zeros(()))
    torch.testing.assert_close(debiased_prediction(log_frequency[None], log_frequency), torch.full((1, 3), 1 / 3))
    assert debiased_prediction(torch.zeros(1, 3), log_frequency).argmax() == 2


def test_eq4_class_without_examples_gets_no_probability() -> None:
    """As it stands, Eq. 4 would divide by its frequency of zero and give it everything."""
    target = ClassTarget([0.5, 0.5, 0.0])
    p = debiased_prediction(torch.tensor([[0.0, 1.0, 5.0]]), target.log_frequency(torch.zeros(())))
    expected = torch.tensor([0.0, 1.0]).softmax(dim=-1).tolist()
    torch.testing.assert_close(p[0], torch.tensor([*expected, 0.0]))


@pytest.mark.parametrize("n", [1, 2, 6])
def test_eq5_allocation_scores_rows(n: int) -> None:
    """Row i is p_i^m against every p_b^k, divided by the row's sum."""
    torch.manual_seed(n)
    p_m, p_k = (torch.randn(n, 4, requires_grad=True) for _ in range(2))
    rows_m, rows_k = (p.softmax(dim=-1) for p in (p_m, p_k))
    fast = allocation_scores(rows_m, rows_k)
    slow = torch.stack([torch.stack(row) for row in support.slow_allocation(rows_m.unbind(), rows_k.unbind())])
    torch.testing.assert_close(fast, slow, **support.CLOSE)
    torch.testing.assert_close(fast.sum(dim=-1), torch.ones(n), **support.CLOSE)
    if n > 1:
        weights = torch.randn(n, n)
        support.assert_same_gradients((weights * fast).sum(), (weights * slow).sum(), [p_m, p_k])
        assert not torch.allclose(fast, allocation_scores(rows_k, rows_m), atol=1e-3)


def test_eq5_samples_of_one_prediction_share_evenly() -> None:
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    torch.testing.assert_close(allocation_scores(p, p), torch.full((3, 3), 1 / 3))


@pytest.mark.parametrize("modalities", [["text", "image"], ["text", "image", "audio", "video"]])
def test_eq6_softmax_over_the_other_modalities(modalities: list[str]) -> None:
    torch.manual_seed(0)
    module = CoarseAllocation(modalities)
    with torch.no_grad():
        for z in module.z.values():
            z.normal_()
    weights = module()
    assert set(weights) == {(m, k) for m in modalities for k in modalities if m != k}
    fast, slow = [], []
    for m in modalities:
        others = [k for k in modalities if k != m]
        reference = support.slow_softmax(list(module.z[m]))
        for place, k in enumerate(others):
            torch.testing.assert_close(weights[m, k], reference[place], **support.CLOSE)
            fast.append(weights[m, k] * len(fast) ** 2)
            slow.append(reference[place] * len(slow) ** 2)
        torch.testing.assert_close(sum(weights[m, k] for k in others), torch.ones(()), **support.CLOSE)
    if len(modalities) > 2:
        support.assert_same_gradients(sum(fast), sum(slow), list(module.parameters()))


def test_eq6_is_uniform_at_the_start() -> None:
    weights = CoarseAllocation(["text", "image", "audio", "video"])()
    assert len(weights) == 12
    assert all(w.item() == pytest.approx(1 / 3) for w in weights.values())
