"""What stood at an anchor cannot be read off its neighbours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from polysense.vision_language.models.cmal import CmalModel
from vision_language.support import anchors_of, encoder_inputs, tiny_batch, tiny_config


@pytest.fixture(scope="module")
def model() -> CmalModel:
    torch.manual_seed(0)
    return CmalModel(tiny_config()).eval()


def both(model: CmalModel, batch: dict[str, Tensor], changed: dict[str, Tensor], hide: bool) -> tuple[Tensor, Tensor]:
    """(B, L) and (B, 1 + R): how far each place's content moves."""
    hidden = anchors_of(batch) if hide else None
    with torch.no_grad():
        before = model.sides(**encoder_inputs(batch), hidden=hidden)
        after = model.sides(**encoder_inputs(changed), hidden=hidden)
    return (before.words - after.words).abs().amax(dim=2), (before.regions - after.regions).abs().amax(dim=2)


def test_an_anchor_word_is_seen_by_its_own_phrase_alone(model: CmalModel) -> None:
    batch = tiny_batch()
    changed = {**batch, "input_ids": batch["input_ids"].clone()}
    changed["input_ids"][0, 1] = 5 if batch["input_ids"][0, 1] != 5 else 6
    moved, regions = both(model, batch, changed, hide=True)
    assert (moved[0, 1:3] > 1e-2).all()
    moved[0, 1:3] = 0
    assert moved.max() == 0 and regions.max() == 0
    assert (both(model, batch, changed, hide=False)[0][0] > 1e-4).all()


def test_an_anchor_region_is_seen_by_none_of_the_others(model: CmalModel) -> None:
    batch = tiny_batch()
    changed = {**batch, "region_features": batch["region_features"].clone()}
    changed["region_features"][0, 2] += 1
    words, moved = both(model, batch, changed, hide=True)
    assert moved[0, 1 + 2] > 1e-2
    moved[0, 1 + 2] = 0
    assert moved.max() == 0 and words.max() == 0
    seen = both(model, batch, changed, hide=False)[1][0]
    assert (seen > 1e-4).all()


def test_anchors_see_what_is_not_an_anchor(model: CmalModel) -> None:
    batch = tiny_batch()
    changed = {**batch, "input_ids": batch["input_ids"].clone()}
    changed["input_ids"][0, 3] = 5 if batch["input_ids"][0, 3] != 5 else 6
    moved, _ = both(model, batch, changed, hide=True)
    assert (moved[0] > 1e-4).all()
    assert moved[1:].max() == 0


def test_without_anchors_hiding_changes_nothing(model: CmalModel) -> None:
    batch = tiny_batch(phrases=({}, {}, {}))
    with torch.no_grad():
        hidden = model.sides(**encoder_inputs(batch), hidden=anchors_of(batch))
        plain = model.sides(**encoder_inputs(batch))
    real = batch["attention_mask"].bool()
    assert torch.equal(hidden.words[real], plain.words[real])
    present = hidden.region_mask
    assert torch.equal(hidden.regions[present], plain.regions[present])
