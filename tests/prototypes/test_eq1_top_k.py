"""Eq. 1: the K most salient candidates, in the order of the sentence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from polysense.prototypes.selection import top_k


def slow_top_k(saliency: Tensor, candidates: Tensor, k: int) -> tuple[list[list[int]], list[list[bool]]]:
    """Take the strongest candidate left, k times; the first of equals."""
    positions, masks = [], []
    for b in range(len(saliency)):
        chosen: list[int] = []
        for _ in range(k):
            best = None
            for j in range(saliency.shape[1]):
                if candidates[b, j] and j not in chosen and (best is None or saliency[b, j] > saliency[b, best]):
                    best = j
            if best is not None:
                chosen.append(best)
        missing = k - len(chosen)
        positions.append(sorted(chosen) + [0] * missing)
        masks.append([True] * len(chosen) + [False] * missing)
    return positions, masks


@pytest.mark.parametrize("k", [1, 2, 4, 7, 12])
@pytest.mark.parametrize("distinct", [True, False], ids=["distinct", "ties"])
def test_eq1_chooses_the_most_salient_candidates(k: int, distinct: bool) -> None:
    generator = torch.Generator().manual_seed(k)
    saliency = torch.rand(40, 9, generator=generator)
    if not distinct:
        saliency = (saliency * 3).round() / 3
    candidates = torch.rand(40, 9, generator=generator) < torch.linspace(0, 1, 40)[:, None]
    positions, mask = top_k(saliency, candidates, k)
    expected_positions, expected_mask = slow_top_k(saliency, candidates, k)
    assert positions.tolist() == expected_positions
    assert mask.tolist() == expected_mask


def test_eq1_order_is_that_of_the_sentence_not_of_saliency() -> None:
    positions, mask = top_k(torch.tensor([[0.1, 0.2, 0.9, 0.3, 0.5]]), torch.ones(1, 5, dtype=torch.bool), 3)
    assert positions.tolist() == [[2, 3, 4]]
    assert mask.all()


def test_eq1_ties_go_to_the_earlier_token() -> None:
    """Also in long texts, where sorting that is not stable would show."""
    positions, _ = top_k(torch.ones(2, 500), torch.ones(2, 500, dtype=torch.bool), 4)
    assert positions.tolist() == [[0, 1, 2, 3]] * 2


def test_eq1_never_chooses_what_is_no_candidate() -> None:
    saliency = torch.tensor([[9.0, 0.0, 8.0, 1e-30], [1.0, 1.0, 1.0, 1.0]])
    candidates = torch.tensor([[False, True, False, True], [False] * 4])
    positions, mask = top_k(saliency, candidates, 3)
    assert positions.tolist() == [[1, 3, 0], [0, 0, 0]]
    assert mask.tolist() == [[True, True, False], [False] * 3]


@pytest.mark.parametrize("k", [0, -1])
def test_eq1_k_is_at_least_one(k: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        top_k(torch.rand(1, 3), torch.ones(1, 3, dtype=torch.bool), k)
