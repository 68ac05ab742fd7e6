"""Gaussian noise in the place of features (MaCSC Table 5)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import support
from polysense.towers.noise import NoiseTower
from polysense.towers.registry import open_tower
from polysense.towers.tower import TokenStates


@pytest.fixture(scope="module")
def tower(bert_folder: Path) -> NoiseTower:
    return NoiseTower(open_tower(f"encoder:{bert_folder}"), "noise")


def read(tower: NoiseTower, texts: list[str]) -> TokenStates:
    return tower.encode(support.packed(tower, texts))


def test_same_text_same_noise(tower: NoiseTower) -> None:
    """Whatever stands beside it in the batch, and whatever other random numbers were drawn."""
    alone = read(tower, ["the cat sits"])
    torch.manual_seed(99)
    beside = read(tower, ["a dog sits on the red mat of a bird", "the cat sits"])
    assert torch.equal(alone.states, beside.states[-5:])
    assert torch.equal(alone.pooled[0], beside.pooled[1])


def test_other_text_other_noise(tower: NoiseTower) -> None:
    """Also for the words that both texts share, and for the same words in another order."""
    first, second, third = read(tower, ["the cat sits", "the cat sings", "cat the sits"]).states.view(3, 5, -1)
    for a, b in ((first, second), (first, third)):
        assert (a - b).abs().min(dim=1).values.max() > 0
        assert not torch.isclose(a, b, atol=1e-3).all(dim=1).any()


def test_noise_is_standard_normal(tower: NoiseTower) -> None:
    texts = list(dict.fromkeys(support.sentences(400, 12)))
    output = read(tower, texts)
    values = output.states
    assert values.numel() > 20_000
    assert abs(values.mean().item()) < 0.03
    assert values.std().item() == pytest.approx(1, abs=0.02)
    assert output.pooled.std().item() == pytest.approx(1, abs=0.05)


def test_tokens_are_chosen_as_by_the_chooser(tower: NoiseTower) -> None:
    tokens = support.packed(tower, ["the cat sits on the mat", "dog"])
    mine, chosen = (t.encode(tokens, "all") for t in (tower, tower.chooser))
    assert torch.equal(mine.saliency, chosen.saliency)
    assert torch.equal(mine.candidates, chosen.candidates)
