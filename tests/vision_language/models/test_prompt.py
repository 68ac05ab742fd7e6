"""What the associative prompt holds at each place."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from polysense.vision_language.models.embeddings import REGION_TYPE, TEXT_TYPE, Places
from polysense.vision_language.models.prompt import Anchors, Prompt, draw_sides, swap_fill
from vision_language.support import Phrases, tiny_anchors, tiny_batch, tiny_config

D = 4
ONE_TO_ONE: tuple[Phrases, ...] = ({(1, 2): (2,), (4,): (0,)}, {(3,): (1,)}, {})


def contents(phrases: tuple[Phrases, ...], length: int = 6, count: int = 4) -> tuple[Tensor, Tensor, Anchors]:
    torch.manual_seed(0)
    batch = len(phrases)
    return torch.randn(batch, length, D), torch.randn(batch, count, D), tiny_anchors(phrases, length, count)


def slow_fill(words: Tensor, regions: Tensor, phrases: tuple[Phrases, ...], text: bool, region: bool) -> Prompt:
    """For phrases of one region and regions of one phrase: nothing is drawn."""
    new_words, new_regions = words.clone(), regions.clone()
    filled_words = torch.zeros(words.shape[:2], dtype=torch.bool)
    filled_regions = torch.zeros(regions.shape[:2], dtype=torch.bool)
    for example, named in enumerate(phrases):
        for tokens, (partner,) in named.items():
            if region:
                new_regions[example, partner] = sum(words[example, t] for t in tokens) / len(tokens)
                filled_regions[example, partner] = True
            for token in tokens if text else ():
                new_words[example, token] = regions[example, partner]
                filled_words[example, token] = True
    return Prompt(new_words, new_regions, filled_words, filled_regions)


def assert_same(got: Prompt, expected: Prompt) -> None:
    torch.testing.assert_close(got.words, expected.words)
    torch.testing.assert_close(got.regions, expected.regions)
    assert torch.equal(got.filled_words, expected.filled_words)
    assert torch.equal(got.filled_regions, expected.filled_regions)


@pytest.mark.parametrize(
    ("swap", "text", "region"), [("both", True, True), ("text", True, False), ("region", False, True)]
)
def test_swap_against_loops(swap: str, text: bool, region: bool) -> None:
    words, regions, anchors = contents(ONE_TO_ONE)
    expected = slow_fill(words, regions, ONE_TO_ONE, text, region)
    assert_same(swap_fill(words, regions, anchors, draw_sides(swap, len(words))), expected)
    # A second time, since nothing here depends on chance.
    assert_same(swap_fill(words, regions, anchors, draw_sides(swap, len(words))), expected)


def test_either_fills_one_side_of_each_example() -> None:
    phrases: tuple[Phrases, ...] = ({(1, 2): (2,), (4,): (0,)},) * 400
    words, regions, anchors = contents(phrases)
    prompt = swap_fill(words, regions, anchors, draw_sides("either", len(words)))
    text, region = prompt.filled_words.any(dim=1), prompt.filled_regions.any(dim=1)
    assert torch.equal(text, ~region)
    assert 150 < int(text.sum()) < 250
    full = slow_fill(words, regions, phrases, True, True)
    torch.testing.assert_close(prompt.words, torch.where(text[:, None, None], full.words, words))
    torch.testing.assert_close(prompt.regions, torch.where(region[:, None, None], full.regions, regions))


def test_all_tokens_of_a_phrase_hold_the_same_region_drawn_uniformly() -> None:
    words, regions, anchors = contents(({(1, 2): (0, 1, 3)},) * 900)
    prompt = swap_fill(words, regions, anchors, draw_sides("both", len(words)))
    assert torch.equal(prompt.words[:, 1], prompt.words[:, 2])
    which = (prompt.words[:, 1, None] == regions).all(dim=2)
    assert torch.equal(which.sum(dim=1), torch.ones(900, dtype=torch.long))
    counts = which.sum(dim=0).tolist()
    assert counts[2] == 0
    assert all(abs(counts[r] - 300) < 70 for r in (0, 1, 3)), counts
    # Each of the three regions names this phrase alone, and holds its mean.
    mean = words[:, 1:3].mean(dim=1, keepdim=True)
    torch.testing.assert_close(prompt.regions[:, [0, 1, 3]], mean.expand(-1, 3, -1))
    assert torch.equal(prompt.regions[:, 2], regions[:, 2])


def test_a_region_of_several_phrases_holds_one_drawn_uniformly() -> None:
    words, regions, anchors = contents(({(1, 2): (0,), (3,): (0,), (5,): (0, 1)},) * 900)
    prompt = swap_fill(words, regions, anchors, draw_sides("both", len(words)))
    for token in (1, 2, 3):
        assert torch.equal(prompt.words[:, token], regions[:, 0])
    options = torch.stack([words[:, 1:3].mean(dim=1), words[:, 3], words[:, 5]], dim=1)
    which = (prompt.regions[:, :1] - options).abs().amax(dim=2) < 1e-6
    assert (which.sum(dim=1) == 1).all()
    assert all(abs(count - 300) < 70 for count in which.sum(dim=0).tolist())
    torch.testing.assert_close(prompt.regions[:, 1], words[:, 5])
    assert Counter((prompt.words[:, 5] == regions[:, 0]).all(dim=1).tolist()).keys() == {True, False}


@pytest.mark.parametrize("swap", ["both", "text", "region", "either"])
@pytest.mark.parametrize(("phrases", "length", "count"), [(({}, {}), 5, 3), (({}, {}), 5, 0), (({}, {}), 0, 3)])
def test_nothing_to_swap(swap: str, phrases: tuple[Phrases, ...], length: int, count: int) -> None:
    words, regions, anchors = contents(phrases, length, count)
    prompt = swap_fill(words, regions, anchors, draw_sides(swap, len(words)))
    assert torch.equal(prompt.words, words) and torch.equal(prompt.regions, regions)
    assert not prompt.filled_words.any() and not prompt.filled_regions.any()


@pytest.mark.parametrize("swap", ["both", "text", "region", "either"])
def test_examples_do_not_meet(swap: str) -> None:
    """An example without anchors stays as it is among others."""
    words, regions, anchors = contents(ONE_TO_ONE)
    prompt = swap_fill(words, regions, anchors, draw_sides(swap, len(words)))
    assert torch.equal(prompt.words[2], words[2]) and torch.equal(prompt.regions[2], regions[2])
    for example, place in ((0, 0), (0, 3), (0, 5), (1, 1)):
        assert torch.equal(prompt.words[example, place], words[example, place])


def test_only_content_moves() -> None:
    """At a filled place: LN(foreign content + own place + own type)."""
    torch.manual_seed(1)
    config = tiny_config()
    places = Places(config)
    batch = tiny_batch(ONE_TO_ONE, counts=(4, 4, 4))
    words, regions = torch.randn(3, 9, config.hidden_size), torch.randn(3, 4, config.hidden_size)
    prompt = swap_fill(
        words, regions, Anchors(batch["anchor_spans"], batch["anchor_links"]), draw_sides("both", len(words))
    )
    text, shown = places.words(prompt.words), places.regions(prompt.regions, batch["region_locations"])

    def norm(x: Tensor, by: torch.nn.LayerNorm) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], by.weight, by.bias, by.eps)

    at_token = norm(regions[0, 2] + places.positions.weight[2] + places.types.weight[TEXT_TYPE], places.norm)
    torch.testing.assert_close(text[0, 2], at_token)
    location = norm(places.location(batch["region_locations"][0, 2]), places.location_norm)
    content = (words[0, 1] + words[0, 2]) / 2
    at_region = norm(content + location + places.types.weight[REGION_TYPE], places.norm)
    torch.testing.assert_close(shown[0, 2], at_region)


def test_gradients_reach_both_sides_through_the_swap() -> None:
    words, regions, anchors = contents(ONE_TO_ONE)
    words.requires_grad_()
    regions.requires_grad_()
    swap_fill(words, regions, anchors, draw_sides("both", len(words))).words[0, 1].sum().backward()
    assert words.grad is not None and words.grad.abs().sum() == 0
    assert regions.grad is not None and regions.grad[0, 2].eq(1).all() and regions.grad.sum() == D
