"""Which words and regions are masked, and with what."""

from __future__ import annotations

import pytest
import torch

from polysense.vision_language.objectives.masking import draw, mask_batch


def test_share_of_the_candidates() -> None:
    torch.manual_seed(0)
    candidates = torch.rand(200, 100) < 0.5
    chosen = draw(candidates, 0.15, torch.ones(200, dtype=torch.bool))
    assert not (chosen & ~candidates).any()
    assert abs(chosen.sum() / candidates.sum() - 0.15) < 0.02


@pytest.mark.parametrize("share", [1e-9, 0.15])
def test_at_least_one_target(share: float) -> None:
    torch.manual_seed(0)
    candidates = torch.rand(300, 8) < 0.3
    enough = torch.arange(300) % 2 == 0
    chosen = draw(candidates, share, enough)
    assert not (chosen & ~candidates).any()
    assert torch.equal(chosen.any(dim=1)[~enough], candidates.any(dim=1)[~enough])
    if share == 1e-9:
        assert chosen.sum() == (candidates.any(dim=1) & ~enough).sum()  # one of each, not more


def test_the_forced_target_is_drawn_uniformly() -> None:
    torch.manual_seed(0)
    candidates = torch.tensor([True, False, True, True]).expand(900, 4)
    counts = draw(candidates, 1e-9, torch.zeros(900, dtype=torch.bool)).sum(dim=0).tolist()
    assert counts[1] == 0 and all(abs(counts[i] - 300) < 70 for i in (0, 2, 3)), counts


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_is_forced_without_a_share(count: int) -> None:
    candidates = torch.ones(4, count, dtype=torch.bool)
    assert not draw(candidates, 0.0, torch.zeros(4, dtype=torch.bool)).any()
    assert draw(candidates, 1.0, torch.zeros(4, dtype=torch.bool)).all()


def test_no_places_at_all() -> None:
    assert draw(torch.zeros(3, 0, dtype=torch.bool), 0.25, torch.zeros(3, dtype=torch.bool)).shape == (3, 0)


def test_words_become_masks_random_words_or_stay() -> None:
    torch.manual_seed(0)
    ids = torch.full((100, 200), 7)
    words = torch.rand(100, 200) < 0.5
    masked = mask_batch(ids, torch.randn(100, 3, 2), words, torch.zeros(100, 3, dtype=torch.bool), 4, 1000)
    assert (masked.input_ids[~words] == 7).all()
    hidden = masked.input_ids[words]
    total = len(hidden)
    assert abs((hidden == 4).sum() / total - 0.8) < 0.02
    assert abs((hidden == 7).sum() / total - 0.1) < 0.02
    random = hidden[(hidden != 4) & (hidden != 7)]
    assert abs(len(random) / total - 0.1) < 0.02
    assert random.min() < 50 and 950 < random.max() < 1000
    assert (ids == 7).all()  # the batch itself, which the loss reads, is left as it was


def test_regions_lose_their_features() -> None:
    features = torch.randn(2, 3, 4)
    before = features.clone()
    regions = torch.tensor([[True, False, False], [False, True, True]])
    masked = mask_batch(
        torch.ones(2, 5, dtype=torch.long), features, torch.zeros(2, 5, dtype=torch.bool), regions, 4, 9
    )
    assert (masked.features[regions] == 0).all()
    assert torch.equal(masked.features[~regions], features[~regions])
    assert torch.equal(features, before)
