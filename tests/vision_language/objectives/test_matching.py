"""Image-text matching."""

from __future__ import annotations

import pytest
import torch

from polysense.vision_language.objectives.matching import MatchingHead, mismatch


@pytest.mark.parametrize("batch", [2, 3, 8, 9])
def test_half_of_the_texts_get_another_picture(batch: int) -> None:
    torch.manual_seed(0)
    for _ in range(20):
        source, labels = mismatch(torch.arange(batch) + 100)
        order = torch.arange(batch)
        assert torch.equal(labels, (source == order).long())
        assert int((labels == 0).sum()) == batch // 2


def test_each_text_is_mismatched_as_often() -> None:
    torch.manual_seed(0)
    times = sum((1 - mismatch(torch.arange(5))[1] for _ in range(1000)), torch.zeros(5, dtype=torch.long))
    assert all(abs(count - 400) < 70 for count in times.tolist()), times


def test_the_same_picture_by_chance_matches() -> None:
    torch.manual_seed(0)
    pictures = torch.tensor([7, 7, 3, 7])
    seen = set()
    for _ in range(50):
        source, labels = mismatch(pictures)
        assert torch.equal(labels == 1, pictures[source] == pictures)
        seen.add((int(source[1]), int(labels[1])))
    assert (0, 1) in seen  # another example, but its picture is the same


def test_a_batch_of_one_has_only_its_own_picture() -> None:
    source, labels = mismatch(torch.tensor([5]))
    assert source.tolist() == [0] and labels.tolist() == [1]


def test_loss_against_loops() -> None:
    torch.manual_seed(0)
    head = MatchingHead(4)
    states, labels = torch.randn(5, 4), torch.tensor([0, 1, 1, 0, 1])
    losses = []
    for state, label in zip(states, labels.tolist(), strict=True):
        logits = [head.classify.weight[c] @ state + head.classify.bias[c] for c in (0, 1)]
        losses.append((logits[0].exp() + logits[1].exp()).log() - logits[label])
    torch.testing.assert_close(head.loss(states, labels), torch.stack(losses).mean())
