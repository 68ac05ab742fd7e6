"""The contrasts against loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from polysense.vision_language.models.prompt import Anchors
from polysense.vision_language.objectives.contrast import GlobalContrast, Temperature, word_region_contrast
from vision_language.support import D, anchors_of, tiny_batch

# Classes of the regions of `support.PHRASES`: example 0's region 2 and example 1's region 0 both show class 3, which
# phrase 1 and 2 of example 0 name; example 1's own region 1 is of class 5, as is example 2's region 0.
SHARED = torch.tensor([[1, 2, 3, -100, 4], [3, 5, -100, -100, -100], [5, -100, -100, -100, -100]])


def states(seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(3, 9, D, requires_grad=True), torch.randn(3, 5, D, requires_grad=True)


def slow_contrast(words: Tensor, regions: Tensor, anchors: Anchors, mask: Tensor, classes: Tensor, t: float) -> Tensor:
    def cosine(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt())

    batch, length, count = anchors.links.shape
    tokens = [(i, t) for i in range(batch) for t in range(length) if anchors.spans[i, t]]
    shown = [(i, r) for i in range(batch) for r in range(count) if mask[i, r]]

    def allowed(token: tuple[int, int], region: tuple[int, int]) -> bool:
        (i, word), (j, r) = token, region
        if i == j:
            return True
        own = {int(classes[i, k]) for k in range(count) if anchors.links[i, word, k]} - {-100}
        return int(classes[j, r]) not in own

    pairs = [((i, w), (i, r)) for i, w in tokens for k, r in shown if k == i and anchors.links[i, w, r]]
    to_regions, to_words = [], []
    for token, region in pairs:
        score = {(a, b): (cosine(words[a], regions[b]) / t).exp() for a in tokens for b in shown}
        row = sum(score[token, other] for other in shown if allowed(token, other))
        column = sum(score[other, region] for other in tokens if allowed(other, region))
        to_regions.append(-(score[token, region] / row).log())
        to_words.append(-(score[token, region] / column).log())
    return (sum(to_regions) / len(pairs) + sum(to_words) / len(pairs)) / 2


@pytest.mark.parametrize("classes", ["shared", "random"])
def test_word_region_contrast_against_loops(classes: str) -> None:
    words, regions = states()
    batch = tiny_batch()
    given = SHARED if classes == "shared" else batch["region_classes"]
    arguments = (words, regions, anchors_of(batch), batch["region_mask"], given)
    got = word_region_contrast(*arguments, torch.tensor(0.2))
    expected = slow_contrast(*arguments, 0.2)
    torch.testing.assert_close(got, expected)
    for a, b in zip(
        torch.autograd.grad(got, (words, regions)), torch.autograd.grad(expected, (words, regions)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_class_of_ones_own_is_no_negative() -> None:
    """Without the shared classes the loss is another one."""
    words, regions = states()
    batch = tiny_batch()
    shared = word_region_contrast(words, regions, anchors_of(batch), batch["region_mask"], SHARED, torch.tensor(0.2))
    unknown = torch.full_like(SHARED, -100)
    apart = word_region_contrast(words, regions, anchors_of(batch), batch["region_mask"], unknown, torch.tensor(0.2))
    assert (apart - shared) > 1e-3


def test_padding_of_regions_and_other_words_have_no_part() -> None:
    words, regions = states()
    batch = tiny_batch()
    loss = word_region_contrast(words, regions, anchors_of(batch), batch["region_mask"], SHARED, torch.tensor(0.1))
    loss.backward()
    assert words.grad is not None and regions.grad is not None
    assert torch.equal(words.grad.abs().sum(dim=2) > 0, batch["anchor_spans"] > 0)
    assert (regions.grad[~batch["region_mask"]] == 0).all()
    assert (regions.grad[batch["region_mask"]].abs().sum(dim=1) > 0).any()


@pytest.mark.parametrize("counts", [(5, 3, 2), (0, 0, 0)])
def test_no_anchor_is_no_loss(counts: tuple[int, ...]) -> None:
    batch = tiny_batch(phrases=({}, {}, {}), counts=counts)
    words, regions = torch.randn(3, 9, D, requires_grad=True), torch.randn(3, max(counts), D, requires_grad=True)
    temperature = Temperature(0.07)
    loss = word_region_contrast(
        words, regions, anchors_of(batch), batch["region_mask"], batch["region_classes"], temperature()
    )
    loss.backward()
    assert loss == 0
    assert words.grad is not None and (words.grad == 0).all()


def test_global_contrast_against_loops() -> None:
    torch.manual_seed(0)
    contrast = GlobalContrast(D, 6, 0.3)
    read, seen = torch.randn(4, D), torch.randn(4, D)
    shown = torch.tensor([8, 5, 8, 2])
    texts, pictures = contrast.embed(read, seen)
    for i in range(4):
        text = contrast.text.weight @ read[i] + contrast.text.bias
        picture = contrast.picture.weight @ seen[i] + contrast.picture.bias
        torch.testing.assert_close(texts[i], text / text.norm())
        torch.testing.assert_close(pictures[i], picture / picture.norm())
    total = torch.zeros(())
    for i in range(4):
        others = [j for j in range(4) if j == i or shown[j] != shown[i]]
        assert len(others) == (3 if i in (0, 2) else 4)
        right = (texts[i] @ pictures[i] / 0.3).exp()
        total -= (right / sum((texts[i] @ pictures[j] / 0.3).exp() for j in others)).log()
        total -= (right / sum((texts[j] @ pictures[i] / 0.3).exp() for j in others)).log()
    torch.testing.assert_close(contrast.loss(texts, pictures, shown), total / 8)


def test_global_contrast_of_one_picture_has_nothing_to_tell_apart() -> None:
    contrast = GlobalContrast(D, 6, 0.07)
    loss = contrast.loss(*contrast.embed(torch.randn(3, D), torch.randn(3, D)), torch.zeros(3))
    loss.backward()
    assert loss.abs() < 1e-6
    assert all(p.grad is None or p.grad.isfinite().all() for p in contrast.parameters())


@pytest.mark.parametrize(("log", "expected"), [(math.log(0.07), 0.07), (-20.0, 0.001), (3.0, 0.5)])
def test_temperature_stays_within_its_bounds(log: float, expected: float) -> None:
    temperature = Temperature(0.07)
    torch.testing.assert_close(temperature(), torch.tensor(0.07))
    with torch.no_grad():
        temperature.log.fill_(log)
    torch.testing.assert_close(temperature(), torch.tensor(expected))


def test_temperature_is_learnt() -> None:
    temperature = Temperature(0.07)
    temperature().backward()
    assert temperature.log.grad is not None and temperature.log.grad > 0
