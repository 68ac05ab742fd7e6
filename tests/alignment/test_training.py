from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from polysense.alignment import training
from polysense.alignment.training import AlignmentData, AlignmentSettings, build_memory, split_concepts, train_head
from polysense.errors import PolysenseError
from polysense.towers.aligned import AlignedHead

SETTINGS = AlignmentSettings(rank=8, components=6, steps=150, batch_size=128, held_out=0.2, dropout=0.0,
                             learning_rate=1e-2)  # fmt: skip


def made_data(concepts: int = 80, seed: int = 0) -> AlignmentData:
    """Two captions and one to three items a concept, both made of what the concept is; captions hold more beside it."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    what = normal(concepts, 6)
    text_concepts = torch.arange(concepts).repeat_interleave(2)
    item_concepts = torch.arange(concepts).repeat_interleave(torch.arange(concepts) % 3 + 1)
    states = torch.cat([what[text_concepts], normal(2 * concepts, 10)], dim=1)
    items = what[item_concepts] @ normal(6, 9) + 0.1 * normal(len(item_concepts), 9)
    return AlignmentData(
        states=states,
        token_states=torch.cat([states, normal(20, 16)]),
        text_concepts=text_concepts,
        main=torch.arange(2 * concepts) % 2 == 0,
        parts={"seen": items, "colours": items[:, :3].exp()},
        item_concepts=item_concepts,
        may_ship=torch.ones(len(item_concepts), dtype=torch.bool),
    )


@pytest.fixture(scope="module")
def data() -> AlignmentData:
    return made_data()


def test_a_share_of_the_concepts_is_held_out():
    held = split_concepts(50, 0.1, 3)
    assert held.dtype == torch.bool and held.shape == (50,) and held.sum() == 5
    assert torch.equal(held, split_concepts(50, 0.1, 3)) and not torch.equal(held, split_concepts(50, 0.1, 4))
    assert [int(split_concepts(10, share, 0).sum()) for share in (0.0, 0.26, 0.9, 1.0)] == [1, 3, 9, 9]
    assert int(split_concepts(2, 0.9, 0).sum()) == 1


def test_a_memory_entry_is_the_mean_of_what_may_ship(data):
    generator = torch.Generator().manual_seed(1)
    may_ship = torch.rand(len(data.item_concepts), generator=generator) < 0.5
    allowed = torch.rand(80, generator=generator) < 0.7
    items = torch.randn(len(data.item_concepts), 5, generator=generator)
    memory, concepts = build_memory(replace(data, may_ship=may_ship), items, allowed, 7.0)
    expected = [
        c for c in range(80) if allowed[c] and any(may_ship[i] for i in range(len(items)) if data.item_concepts[i] == c)
    ]
    assert concepts.tolist() == expected and 10 < len(expected) < 60
    for entry, c in enumerate(expected):
        rows = [items[i] for i in range(len(items)) if data.item_concepts[i] == c and may_ship[i]]
        torch.testing.assert_close(memory.values[entry].float(), sum(rows) / len(rows), rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(
            memory.keys[entry].float(), F.normalize(data.states[2 * c], dim=0), rtol=0, atol=1e-3
        )
    assert memory.log_sharpness.exp().item() == pytest.approx(7.0)


def test_what_may_not_ship_is_in_no_memory(data):
    forbidden = data.item_concepts % 2 == 1
    half = replace(data, may_ship=~forbidden)
    head, _, report = train_head(half, replace(SETTINGS, steps=3), progress=False)
    assert report["entries"] == len(head.memory.keys) == 40
    keys = F.normalize(data.states[data.main & (data.text_concepts % 2 == 0)], dim=-1)
    torch.testing.assert_close(head.memory.keys.float(), keys, rtol=0, atol=1e-3)
    other = torch.randn(int(forbidden.sum()), 4)
    items = torch.randn(len(forbidden), 4)
    first, _ = build_memory(half, items, torch.ones(80, dtype=torch.bool), 1.0)
    items[forbidden] = other
    second, _ = build_memory(half, items, torch.ones(80, dtype=torch.bool), 1.0)
    assert torch.equal(first.values, second.values)


def test_training_finds_held_out_pictures(data):
    head, space, report = train_head(data, SETTINGS, progress=False)
    scores = report["retrieval"]
    for way in ("text_to_item", "item_to_text"):
        aligned = scores["aligned"][f"{way}_R@1"]
        assert aligned > scores["chance"][f"{way}_R@1"] + 0.3
        assert aligned > scores["memory, untrained"][f"{way}_R@1"] + 0.2
    assert (report["concepts"], report["captions"], report["held_out_concepts"]) == (80, 160, 16)
    assert report["items"] == len(data.item_concepts) and report["settings"]["steps"] == 150
    # The memory that is returned holds all concepts, the features are centred and of size one.
    assert len(head.memory.keys) == report["entries"] == 80
    features = head.features(data.token_states)
    assert features.shape[1] == space.width == 6 + 3
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(9), rtol=0, atol=1e-4)
    assert features.square().mean().item() == pytest.approx(1, abs=1e-3)


def test_what_captions_do_not_carry_is_not_found(data):
    """The scores can fail: with pictures dealt out anew, held-out retrieval is chance."""
    order = torch.randperm(len(data.item_concepts), generator=torch.Generator().manual_seed(0))
    dealt = replace(data, parts={name: part[order] for name, part in data.parts.items()})
    scores = train_head(dealt, SETTINGS, progress=False)[2]["retrieval"]
    assert scores["aligned"]["text_to_item_R@1"] < scores["chance"]["text_to_item_R@1"] + 0.25


def test_a_caption_never_reads_its_own_entry_and_held_out_concepts_stay_out(data, monkeypatch):
    calls: list[Any] = []
    contrast, forward = training.symmetric_contrast, AlignedHead.forward

    def note_read(self: AlignedHead, states: Any, hidden: Any = None) -> Any:
        if hidden is not None:
            calls.append([states, hidden, self.memory.keys.clone()])
        return forward(self, states, hidden)

    def note_concepts(read: Any, items: Any, text_concepts: Any, item_concepts: Any, scale: Any) -> Any:
        calls[-1] += [text_concepts, item_concepts]
        return contrast(read, items, text_concepts, item_concepts, scale)

    monkeypatch.setattr(AlignedHead, "forward", note_read)
    monkeypatch.setattr(training, "symmetric_contrast", note_concepts)
    settings = replace(SETTINGS, steps=4)
    train_head(data, settings, progress=False)
    held = split_concepts(80, settings.held_out, settings.seed)
    assert len(calls) == 4
    for states, hidden, keys, concepts, item_concepts in calls:
        assert hidden.shape == (len(states), 64) and (hidden.sum(dim=1) == 1).all()
        own = F.normalize(data.states[2 * concepts], dim=-1)
        torch.testing.assert_close(keys[hidden.int().argmax(dim=1)].float(), own, rtol=0, atol=1e-3)
        assert not held[concepts].any() and torch.equal(concepts, item_concepts)


def test_a_seed_gives_the_same_head(data):
    heads = [train_head(data, replace(SETTINGS, steps=5, seed=seed), False)[0].state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    assert not torch.equal(heads[0]["query.down.weight"], heads[2]["query.down.weight"])


@pytest.mark.parametrize("shipped", [0, 1])
def test_hardly_anything_that_may_ship(data, shipped):
    """No entry, or a single one that its own captions may not read: no NaN."""
    few = replace(data, may_ship=data.item_concepts < shipped)
    head, _, report = train_head(few, SETTINGS, progress=False)
    assert report["entries"] == shipped
    assert all(tensor.isfinite().all() for tensor in head.state_dict().values())
    assert head.features(data.states).isfinite().all()
    scores = report["retrieval"]
    assert scores["aligned"]["text_to_item_R@1"] > scores["chance"]["text_to_item_R@1"] + 0.1


@pytest.mark.parametrize(("name", "value"), [
    ("learning_rate", 0.0), ("learning_rate", float("nan")), ("sharpness", -1.0), ("seed", -1),
])  # fmt: skip
def test_bad_settings(name, value):
    with pytest.raises(PolysenseError, match=name.replace("_", "-")):
        AlignmentSettings(**{name: value})
