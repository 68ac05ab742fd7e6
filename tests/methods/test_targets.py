"""Classes and values: losses, mixtures, bins and the densities that regression has in the place of Eq. 4's classes."""

from __future__ import annotations

import math
import statistics
from collections import Counter

import pytest
import torch

from polysense.methods.targets import ClassTarget, ValueTarget, value_target

LABELS = {
    "spread": [i * 0.37 % 5 for i in range(57)],
    "repeated": [0.0] * 30 + [1.0] * 5 + [2.5] * 10 + [5.0] * 8,
    "few": [3.0, 1.0, 2.0],
    "two": [0.0, 0.0, 0.0, 1.0],
    "equal": [2.0] * 6,
    "one": [4.0],
    "negative": [-5.0, -1.0, -1.0, 0.0, 3.0, 3.0, 3.0, 9.0],
    "whole numbers": [1, 2, 3, 3, 3, 2],
    "tiny": [i * 1e-6 for i in range(30)],
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("bins", [2, 10])
def test_value_target_bins(labels: list[float], bins: int) -> None:
    """No bin is empty, and centres and shares are those of the labels that `class_of` puts there."""
    settings = value_target(labels, bins)
    target = ValueTarget(**settings)
    assert 1 <= target.classes <= min(bins, len(set(labels)))
    assert len(target.edges) == target.classes - 1
    assert list(target.edges) == sorted(set(target.edges))
    numbers = target.class_of(torch.tensor(labels)).tolist()
    counts = Counter(numbers)
    assert sorted(counts) == list(range(target.classes))
    for number in counts:
        inside = [label for label, n in zip(labels, numbers, strict=True) if n == number]
        assert target.centres[number] == pytest.approx(statistics.fmean(inside))
        assert target.frequency[number] == pytest.approx(len(inside) / len(labels))
    assert target.mean == pytest.approx(statistics.fmean(labels))
    assert target.std == pytest.approx(statistics.pstdev(labels) or 1.0)


def test_value_target_bins_are_quantiles() -> None:
    target = ValueTarget(**value_target([float(i) for i in range(1000)]))
    assert target.classes == 10
    assert target.frequency == pytest.approx([0.1] * 10)


def test_value_target_equal_values_share_a_bin() -> None:
    target = ValueTarget(**value_target(LABELS["repeated"]))
    labels = torch.tensor([0.0, 1.0, 2.5, 5.0])
    assert len(set(target.class_of(labels).tolist())) == 4
    # Labels that training never saw fall into the bin on whose side they lie.
    assert target.class_of(torch.tensor([-9.0, 99.0])).tolist() == [0, target.classes - 1]


@pytest.mark.parametrize("labels", [LABELS["equal"], LABELS["one"]])
def test_value_target_all_labels_equal(labels: list[float]) -> None:
    """One bin, and nothing is divided by zero."""
    target = ValueTarget(**value_target(labels))
    assert (target.classes, target.frequency, target.std) == (1, [1.0], 1.0)
    assert target.class_logits(torch.tensor([[0.3]])).softmax(dim=-1).tolist() == [[1.0]]
    assert target.loss(target.mix(torch.zeros(1, 1, 1), torch.zeros(1)), torch.tensor([labels[0]])).item() == 0


def test_value_densities() -> None:
    """p(bin) is the normal density at the bin's centre, in standard units, divided by the sum over bins."""
    target = ValueTarget(mean=2.0, std=1.5, edges=[1.0, 3.0], centres=[0.5, 2.0, 4.0], frequency=[0.3, 0.4, 0.3])
    assert target.spread == pytest.approx((4.0 - 0.5) / 1.5 / 2)
    for value in (-1.0, 0.0, 0.4, 2.0):
        densities = [
            math.exp(-(((value - (c - 2.0) / 1.5) / target.spread) ** 2) / 2) / (target.spread * math.sqrt(2 * math.pi))
            for c in target.centres
        ]
        p = target.class_logits(torch.tensor([[value]])).softmax(dim=-1)[0]
        assert p.tolist() == pytest.approx([d / sum(densities) for d in densities], abs=1e-6)


def test_value_bins_include_their_lower_edge() -> None:
    target = ValueTarget(mean=2.0, std=1.5, edges=[1.0, 3.0], centres=[0.5, 2.0, 4.0], frequency=[0.3, 0.4, 0.3])
    assert target.class_of(torch.tensor([0.99, 1.0, 2.99, 3.0])).tolist() == [0, 1, 1, 2]


def test_value_loss_does_not_depend_on_the_unit_of_the_labels() -> None:
    labels = LABELS["spread"]
    losses = []
    for unit in (1.0, 100.0):
        scaled = [label * unit for label in labels]
        target = ValueTarget(**value_target(scaled))
        prediction = target.mix(torch.linspace(-1, 1, len(labels))[:, None, None], torch.zeros(1))
        losses.append(float(target.loss(prediction, torch.tensor(scaled))))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_class_target() -> None:
    target = ClassTarget([0.25, 0.75])
    assert target.outputs == target.classes == 2
    logits = torch.randn(3, 1, 2)
    prediction = target.mix(logits, torch.zeros(1))
    torch.testing.assert_close(prediction, logits[:, 0].log_softmax(dim=-1))
    labels = torch.tensor([1, 0, 1])
    torch.testing.assert_close(target.loss(prediction, labels), torch.nn.functional.cross_entropy(logits[:, 0], labels))
    torch.testing.assert_close(target.log_frequency(torch.zeros(())).exp(), torch.tensor([0.25, 0.75]))
