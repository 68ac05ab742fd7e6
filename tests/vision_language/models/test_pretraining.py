"""The objectives in one model, from a batch to a loss."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polysense.errors import PolysenseError
from polysense.vision_language.models.cmal import CmalModel
from polysense.vision_language.models.pretraining import OBJECTIVES, RECIPES, CmalForPreTraining, objective_at
from polysense.vision_language.objectives.association import UNKNOWN
from vision_language.support import MASK, PHRASES, encoder_inputs, tiny_batch, tiny_config

BATCHES: dict[str, Any] = {
    "anchors": {},
    "no anchors": {"phrases": ({}, {}, {})},
    "no regions": {"phrases": ({}, {}, {}), "counts": (0, 0, 0)},
    "one example": {"phrases": PHRASES[:1], "lengths": (6,), "counts": (4,)},
    "specials alone": {"phrases": ({}, {}), "lengths": (2, 2), "counts": (1, 1)},
}


def make(seed: int = 0, **changes: object) -> CmalForPreTraining:
    torch.manual_seed(seed)
    return CmalForPreTraining(tiny_config(**changes))


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_losses_and_gradients_are_finite(variant: str, objective: str, kind: str) -> None:
    model = make(variant=variant)
    output = model(**tiny_batch(**BATCHES[kind]), objective=objective)
    output.loss.backward()
    assert output.loss.isfinite() and output.loss >= -1e-5
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    torch.testing.assert_close(sum(output.losses.values()), output.loss.detach())
    if kind == "anchors":
        assert any(name.startswith("backbone.") and g.abs().max() > 0 for name, g in gradients.items())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_padding_and_unknown_classes_throughout(objective: str) -> None:
    """Regions without a class, and no class names at all."""
    batch = tiny_batch()
    batch["region_classes"] = torch.full_like(batch["region_classes"], UNKNOWN)
    loss = make(object_classes=())(**batch, objective=objective).loss
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_global_contrast_reads_each_side_alone(variant: str) -> None:
    """A text's vector depends on the text and not on the picture, and the other way about."""
    model, batch = make(variant=variant).eval(), tiny_batch()
    other = {**batch, "input_ids": batch["input_ids"].flip(1), "region_features": batch["region_features"] + 1}

    def embed(words: dict[str, Tensor], regions: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        given = {name: (regions if name.startswith("region") else words)[name] for name in encoder_inputs(batch)}
        with torch.no_grad():
            return model.contrast.embed(*model.backbone.alone(model.backbone.sides(**given)))

    texts, pictures = embed(batch, batch)
    assert torch.equal(embed(batch, other)[0], texts) and torch.equal(embed(other, batch)[1], pictures)
    for changed, before in zip(embed(other, other), (texts, pictures), strict=True):
        assert ((changed - before).abs().amax(dim=1) > 1e-3).all()
    for rows in (texts, pictures):
        assert torch.pdist(rows).min() > 1e-3


class Spy:
    """Keeps what the classifier is asked for, and what the encoders read."""

    def __init__(self, model: CmalForPreTraining, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, Tensor]] = []
        loss, sides = model.association.loss, model.backbone.sides

        def seen(word_states: Tensor, region_states: Tensor, *rest: Tensor) -> dict[str, Tensor]:
            names = ("words", "classes", "word_targets", "region_targets")
            self.calls[-1].update(zip(names, rest[:4], strict=True))
            return loss(word_states, region_states, *rest)

        def read(*arguments: Any, **named: Any) -> Any:
            self.calls.append({"ids": named["input_ids"], "features": named["region_features"]})
            return sides(*arguments, **named)

        patch.setattr(model.association, "loss", seen)
        patch.setattr(model.backbone, "sides", read)


@pytest.mark.parametrize("objective", ["association", "masking"])
def test_targets(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make(swap="both"), tiny_batch()
    spy = Spy(model, monkeypatch)
    for _ in range(100):
        model(**batch, objective=objective)
    text = batch["attention_mask"].bool() & (batch["input_ids"] > MASK)
    anchor_words, anchor_regions = batch["anchor_spans"] > 0, batch["anchor_links"].any(dim=1)
    ever_words, ever_regions = torch.zeros_like(text), torch.zeros_like(anchor_regions)
    for call in spy.calls:
        words, regions = call["word_targets"], call["region_targets"]
        assert torch.equal(call["words"], batch["input_ids"])
        assert words.any(dim=1).all() and regions.any(dim=1).all()  # a target on each side of each example
        assert not (words & ~text).any() and not (regions & ~batch["region_mask"]).any()
        masked = words if objective == "masking" else words & ~anchor_words
        zeroed = regions if objective == "masking" else regions & ~anchor_regions
        if objective == "association":
            assert words[anchor_words].all() and regions[anchor_regions].all()
        assert torch.equal(call["ids"][~masked], batch["input_ids"][~masked])
        assert torch.equal(call["features"][~zeroed], batch["region_features"][~zeroed])
        assert (call["features"][zeroed] == 0).all()
        ever_words, ever_regions = ever_words | words, ever_regions | regions
    assert torch.equal(ever_words, text) and torch.equal(ever_regions, batch["region_mask"])


@pytest.mark.parametrize(
    ("objective", "kind", "hides"),
    [("association", "anchors", True), ("association", "no anchors", False), ("masking", "anchors", False)],
)
def test_nothing_is_hidden_without_anchors(objective: str, kind: str, hides: bool, monkeypatch: Any) -> None:
    """A mask a token would be made for nothing."""
    model = make()
    sides, hidden = model.backbone.sides, []

    def read(*arguments: Any, **named: Any) -> Any:
        hidden.append(named["hidden"])
        return sides(*arguments, **named)

    monkeypatch.setattr(model.backbone, "sides", read)
    model(**tiny_batch(**BATCHES[kind]), objective=objective)
    assert [given is not None for given in hidden] == [hides]


def test_no_masking_leaves_the_anchors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make(swap="both", mask_words=0.0, mask_regions=0.0), tiny_batch()
    spy = Spy(model, monkeypatch)
    for objective in ("association", "masking"):
        model(**batch, objective=objective)
    association, masking = spy.calls
    assert torch.equal(association["word_targets"], batch["anchor_spans"] > 0)
    assert torch.equal(association["region_targets"], batch["anchor_links"].any(dim=1))
    assert torch.equal(association["ids"], batch["input_ids"])
    assert not masking["word_targets"].any() and not masking["region_targets"].any()


@pytest.mark.parametrize("swap", ["text", "region", "either"])
def test_a_side_that_is_not_filled_has_a_masked_target(swap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make(swap=swap, mask_words=1e-6, mask_regions=1e-6), tiny_batch()
    spy = Spy(model, monkeypatch)
    for _ in range(20):
        model(**batch)
    for call in spy.calls:
        assert call["word_targets"].any(dim=1).all() and call["region_targets"].any(dim=1).all()


@pytest.mark.parametrize(("swap", "word", "region"), [("text", True, False), ("region", False, True)])
def test_one_sided_swaps_ask_for_one_side(swap: str, word: bool, region: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make(swap=swap, mask_words=0.0, mask_regions=0.0), tiny_batch()
    spy = Spy(model, monkeypatch)
    model(**batch)
    assert bool(spy.calls[0]["word_targets"].any()) is word
    assert bool(spy.calls[0]["region_targets"].any()) is region


@pytest.mark.parametrize(("swap", "copied"), [("both", True), ("text", False), ("either", False)])
def test_whether_the_word_is_still_in_the_prompt(swap: str, copied: bool) -> None:
    """With "both" the word's content stands at the region's place; else nothing of it is left, neighbours included."""
    model = make(swap=swap, mask_words=0.0, mask_regions=0.0).eval()
    batch = tiny_batch(phrases=({(2,): (1,)},), lengths=(6,), counts=(3,))
    changed = {**batch, "input_ids": batch["input_ids"].clone()}
    changed["input_ids"][0, 2] = 5 if batch["input_ids"][0, 2] != 5 else 6
    for seed in range(20):
        logits = []
        for given in (batch, changed):
            torch.manual_seed(seed)
            with torch.no_grad():
                logits.append(_word_logits(model, given))
        if logits[0] is not None:
            assert (not torch.equal(logits[0], logits[1])) is copied


def _word_logits(model: CmalForPreTraining, batch: dict[str, Tensor]) -> Tensor | None:
    """At the text's targets; None where there is none."""
    found: list[Tensor] = []
    hook = model.association.word_transform.register_forward_hook(lambda *args: found.append(args[2]))
    model(**batch)
    hook.remove()
    return found[0] if found else None


def test_hiding_is_an_option() -> None:
    """Not hidden, what stood at an anchor can be read off its neighbours."""
    batch = tiny_batch(phrases=({(2,): (1,)},), lengths=(6,), counts=(3,))
    model = make(swap="text", mask_words=0.0, mask_regions=0.0, hide_anchors=False).eval()
    changed = {**batch, "input_ids": batch["input_ids"].clone()}
    changed["input_ids"][0, 2] = 5 if batch["input_ids"][0, 2] != 5 else 6
    with torch.no_grad():
        before, after = _word_logits(model, batch), _word_logits(model, changed)
    assert before is not None and after is not None and (before - after).abs().max() > 1e-4


def test_matching_shows_the_other_picture_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make(), tiny_batch()
    given: list[dict[str, Tensor]] = []
    sides = model.backbone.sides

    def read(**named: Tensor) -> Any:
        given.append(named)
        return sides(**named)

    monkeypatch.setattr(model.backbone, "sides", read)
    source = torch.tensor([2, 1, 0])
    monkeypatch.setattr(
        "polysense.vision_language.models.pretraining.mismatch", lambda _: (source, torch.tensor([0, 1, 0]))
    )
    model(**batch, objective="matching")
    for name in ("region_features", "region_locations", "region_mask"):
        assert torch.equal(given[0][name], batch[name][source])
    assert torch.equal(given[0]["input_ids"], batch["input_ids"])


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_round_trip(tmp_path: Path, variant: str) -> None:
    model = make(variant=variant, swap="either", contrast_temperature=0.1, hide_anchors=False)
    with torch.no_grad():
        model.association.word_bias.normal_()
        model.contrast.temperature.log.fill_(-1.5)
    model.save_pretrained(tmp_path)
    opened = CmalForPreTraining.from_pretrained(tmp_path)
    assert_same_state(opened, model)
    saved, read = model.config.to_dict(), opened.config.to_dict()
    for settings in (saved, read):  # what saving itself adds
        for name in ("architectures", "dtype", "_name_or_path"):
            settings.pop(name, None)
    assert read == saved and read["swap"] == "either" and read["contrast_temperature"] == 0.1
    assert_same_state(CmalModel.from_pretrained(tmp_path), model.backbone)


def test_encoders_alone_round_trip_and_take_heads(tmp_path: Path) -> None:
    """Heads that a folder has no weights for start as they do in a new model."""
    whole = make(target_words=(9, 7, 30))
    model = whole.backbone
    model.save_pretrained(tmp_path)
    assert_same_state(CmalModel.from_pretrained(tmp_path), model)
    grown = CmalForPreTraining.from_pretrained(tmp_path)
    assert dict(grown.named_buffers()).keys() == dict(whole.named_buffers()).keys()
    for name, buffer in whole.named_buffers():
        assert torch.equal(grown.get_buffer(name), buffer), name
    assert_same_state(grown.backbone, model)
    assert (grown.association.word_bias == 0).all()
    for temperature in (grown.word_region_temperature, grown.contrast.temperature):
        torch.testing.assert_close(temperature(), torch.tensor(0.07))


def assert_same_state(got: torch.nn.Module, expected: torch.nn.Module) -> None:
    a, b = got.state_dict(), expected.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in b)


def test_objectives_are_drawn_by_their_proportions() -> None:
    counts = Counter(objective_at(RECIPES["cmal"], 3, step) for step in range(3000))
    assert counts.keys() == {"matching", "association", "word_region"}
    for name, share in (("matching", 1 / 6), ("association", 1 / 2), ("word_region", 1 / 3)):
        assert abs(counts[name] / 3000 - share) < 0.03


def test_the_same_seed_and_step_give_the_same_objective() -> None:
    def drawn(seed: int) -> list[str]:
        return [objective_at(RECIPES["cmcl"], seed, step) for step in range(50)]

    assert drawn(0) == drawn(0) != drawn(1)


def test_an_objective_without_a_proportion_is_never_drawn() -> None:
    assert {objective_at({"matching": 0, "masking": 2}, 0, step) for step in range(100)} == {"masking"}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"guessing": 1}, "objective 'guessing': choose from matching, association, masking, word_region, contrast"),
        ({"matching": -1, "masking": 2}, "objective matching: its proportion must be a number of 0 or more, not -1"),
        ({"matching": float("nan")}, "must be a number of 0 or more, not nan"),
        ({"matching": float("inf")}, "must be a number of 0 or more, not inf"),
        ({"matching": 0}, "an objective with a proportion above 0"),
        ({}, "an objective with a proportion above 0"),
    ],
)
def test_bad_recipes_are_refused(recipe: dict[Any, float], message: str) -> None:
    with pytest.raises(PolysenseError, match=message) as error:
        objective_at(recipe, 0, 0)
    assert "\n" not in str(error.value)


# One word a phrase and one phrase a region: where several positives compete, no contrast reaches zero.
LEARNT: dict[str, Any] = {
    "phrases": ({(1,): (0,), (4,): (2,)}, {(2,): (1,)}, {(3,): (0,)}),
    "lengths": (9, 7, 6),
    "counts": (5, 3, 2),
}
ANCHORS_ALONE = {"mask_words": 0.0, "mask_regions": 0.0}


@pytest.mark.parametrize(
    ("objective", "changes", "below"),
    [
        ("association", {**ANCHORS_ALONE, "swap": "both"}, 0.05),
        ("association", {**ANCHORS_ALONE, "swap": "text"}, 0.05),
        ("association", {**ANCHORS_ALONE, "swap": "region"}, 0.05),
        ("association", {**ANCHORS_ALONE, "swap": "either"}, 0.05),
        ("association", {**ANCHORS_ALONE, "swap": "text", "variant": "released"}, 0.05),
        # Other words and regions are masked at each step, a few of them all but unseen before: far below chance (6.2).
        ("masking", {}, 1.5),
        ("word_region", {}, 0.05),
        ("matching", {"initializer_range": 0.3}, 0.05),
        ("contrast", {}, 0.05),
    ],
)
def test_one_batch_is_learnt(objective: str, changes: dict[str, Any], below: float) -> None:
    layers = {"text_layers": 1, "visual_layers": 1, "unified_layers": 1}
    model = make(**{"hidden_size": 32, "intermediate_size": 64, "initializer_range": 0.1, **layers, **changes})
    batch = tiny_batch(**LEARNT)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0)
    steps = 100
    losses = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * min(1, (step + 1) / 20) * (1 - step / steps)
        loss = model(**batch, objective=objective).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.2
    last = sorted(losses[-20:])
    assert last[10] < below, last


@pytest.mark.parametrize(("swap", "copies"), [("both", True), ("either", False)])
def test_copying_solves_the_task_with_both_sides_filled(swap: str, copies: bool) -> None:
    """Anchor words drawn anew each step, unrelated to the regions: only a copy in the prompt can tell them."""
    words = tuple(range(MASK + 1, MASK + 9))
    layers = {"text_layers": 1, "visual_layers": 1, "unified_layers": 1}
    model = make(
        **ANCHORS_ALONE, **layers, swap=swap, target_words=words, hidden_size=32, intermediate_size=64,
        initializer_range=0.1,
    )  # fmt: skip
    rows = 32
    batch = tiny_batch(phrases=({(1,): (0,)},) * rows, lengths=(4,) * rows, counts=(2,) * rows)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0)
    steps = 200
    losses = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * min(1, (step + 1) / 20) * (1 - step / steps)
        batch["input_ids"][:, 1] = torch.tensor(words)[torch.randint(len(words), (rows,))]
        output = model(**batch)
        optimiser.zero_grad()
        output.loss.backward()
        optimiser.step()
        losses.append(output.losses["words"].item())
    chance, last = math.log(len(words)), sum(losses[-20:]) / 20
    assert last < 0.1 if copies else last > 0.9 * chance, last
