from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ElectraConfig, ElectraModel

from polysense.errors import PolysenseError
from polysense.vision_language import pretraining
from polysense.vision_language.captions import read_caption_folder
from polysense.vision_language.examples import Caption
from polysense.vision_language.fine_tuning import train
from polysense.vision_language.lexicon import Lexicon
from polysense.vision_language.models.pretraining import CmalForPreTraining, objective_at
from polysense.vision_language.pretraining import CaptionBatches, object_classes, pretrain, read_tags
from polysense.vision_language.processing import CmalProcessor
from polysense.vision_language.with_method import train_with_method
from support import WORDS, save_bert
from tiny_runs import hashes
from vision_language.data_folder import (
    OPTIONS,
    QUICK,
    WIDTH,
    Stopped,
    processor_of,
    regions_of,
    same,
    scenes,
    stop_at,
    weights,
)

pytest_plugins = ("vision_language.data_folder",)


@pytest.fixture(scope="module")
def tiny(vl_data: Path, bert_folder: Path) -> dict[str, Any]:
    captions, regions, _ = read_caption_folder(vl_data / "train")
    return {"captions": captions, "regions": regions, "backbone": str(bert_folder), "config": OPTIONS, **QUICK}


@pytest.fixture
def objectives(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each step was asked for."""
    seen: list[str] = []
    forward = CmalForPreTraining.forward

    def remember(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["objective"])
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(CmalForPreTraining, "forward", remember)
    return seen


def test_a_run_writes_a_model_that_loads(tmp_path, tiny, objectives):
    folder = tmp_path / "m"
    results = pretrain(folder, **tiny, max_regions=3, detector="grid")
    assert sorted(tmp_path.iterdir()) == [folder]
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["captions"] == 48 and results["pictures"] == 24 and results["object_classes"] == 5
    assert results["recipe"] == {"matching": 1, "association": 3, "word_region": 2}
    assert results["settings"]["steps"] == 4 and results["with_anchors"] == 1
    assert objectives == [objective_at(results["recipe"], 0, step) for step in range(4)]
    log = json.loads((folder / "training_log.json").read_text())["log"]
    assert len([entry for entry in log if "loss" in entry]) == 4
    assert set(results["losses"]) == {n.removeprefix("loss_") for n in log[3] if n.startswith("loss_")}
    processor = CmalProcessor.from_pretrained(folder)
    assert (processor.settings.region_width, processor.settings.max_regions) == (WIDTH, 3)
    assert processor.settings.detector == "grid"
    assert processor.settings.max_length == 32  # all that this backbone reads
    model = CmalForPreTraining.from_pretrained(folder)
    assert same(dict(model.state_dict()), weights(folder))
    assert sorted(model.config.object_classes) == ["banana", "bird", "cat", "dog", "mat"]
    assert model.config.mask_token_id == processor.tokenizer.mask_token_id
    with torch.no_grad():
        states = model.backbone(**processor(["the cat"], [regions_of([("red", "cat")])]))
    assert states.last_hidden_state.shape == (1, 4, 16)


def test_a_seed_gives_the_same_weights_and_another_one_others(tmp_path, tiny):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        pretrain(tmp_path / name, **tiny, seed=seed)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_an_interrupted_run_goes_on_to_the_very_same_weights(tmp_path, tiny, objectives, monkeypatch):
    monkeypatch.setattr(pretraining, "CHECKPOINT_STEPS", 2)
    settings = {**tiny, "steps": 8, "batch_size": 20}  # 3 steps an epoch: a checkpoint is in the middle of one
    pretrain(tmp_path / "whole", **settings)
    expected = objectives.copy()
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Stopped):
            pretrain(tmp_path / "m", **settings)
    assert not (tmp_path / "m").exists()
    assert [file.name for file in (tmp_path / "m.partial").glob("checkpoint-*")] == ["checkpoint-4"]
    with pytest.raises(PolysenseError, match="add --resume to go on, or --overwrite"):
        pretrain(tmp_path / "m", **settings)
    for change in ({"seed": 5}, {"recipe": "cmcl"}, {"config": {**OPTIONS, "swap": "text"}}, {"max_regions": 2},
                   {"captions": [*tiny["captions"][1:], tiny["captions"][0]]}):  # fmt: skip
        with pytest.raises(PolysenseError, match=r"the run in .* had other"):
            pretrain(tmp_path / "m", resume=True, **{**settings, **change})
    objectives.clear()
    pretrain(tmp_path / "m", resume=True, **settings)
    assert objectives == expected[4:]
    assert same(weights(tmp_path / "m"), weights(tmp_path / "whole"))
    assert not (tmp_path / "m.partial").exists()


def test_a_run_that_goes_on_tells_the_same_losses(tmp_path, tiny, monkeypatch):
    """A line of the log is a mean over some steps, here two; none of them may be lost."""
    monkeypatch.setattr(pretraining, "CHECKPOINT_STEPS", 93)
    settings = {**tiny, "steps": 100}
    whole = pretrain(tmp_path / "whole", **settings)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 97)
        with pytest.raises(Stopped):
            pretrain(tmp_path / "m", **settings)
    assert pretrain(tmp_path / "m", resume=True, **settings)["losses"] == whole["losses"]


def test_nothing_to_resume_is_an_error(tmp_path, tiny):
    with pytest.raises(PolysenseError, match="nothing to resume"):
        pretrain(tmp_path / "m", resume=True, **tiny)
    assert list(tmp_path.iterdir()) == []


def test_an_old_result_is_only_replaced_when_asked_and_only_by_a_whole_one(tmp_path, tiny, vl_start, monkeypatch):
    folder = shutil.copytree(vl_start, tmp_path / "m")
    before = hashes(folder)
    with pytest.raises(PolysenseError, match="add --overwrite"):
        pretrain(folder, **tiny)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Stopped):
            pretrain(folder, overwrite=True, **tiny)
    assert hashes(folder) == before
    pretrain(folder, overwrite=True, **tiny, seed=9)
    assert json.loads((folder / "results.json").read_text())["settings"]["seed"] == 9


def test_a_foreign_folder_is_never_replaced(tmp_path, tiny):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "diary.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(PolysenseError, match="holds something else"):
            pretrain(tmp_path / "m", overwrite=overwrite, **tiny)
    (tmp_path / "f").write_text("")
    with pytest.raises(PolysenseError, match="is a file"):
        pretrain(tmp_path / "f", **tiny)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"captions": []}, "pre-training needs captions"),
        ({"recipe": "clip"}, r"unknown recipe 'clip'.*cmal, cmcl"),
        ({"recipe": {"guessing": 1}}, "guessing"),
        ({"recipe": {"matching": "x"}}, "its proportion must be a number, not 'x'"),
        ({"recipe": {"matching": -1}}, "matching"),
        ({"recipe": {"matching": 0}}, "above 0"),
        ({"recipe": {}}, "above 0"),
        ({"stepz": 3}, "unknown setting 'stepz'"),
        ({"max_regions": 0}, "max-regions must be a whole number of 1 or more, not 0"),
        ({"max_regions": -1}, "max-regions must be a whole number of 1 or more, not -1"),
        ({"config": {"unified_layer": 3}}, r"unknown option 'unified_layer'.*unified_layers"),
        ({"config": {"object_classes": ["x"]}}, "unknown option 'object_classes'"),
        ({"config": {"unified_layers": "many"}}, "unified_layers must be a whole number, not 'many'"),
        ({"config": {"unified_layers": True}}, "unified_layers must be a whole number"),
        ({"config": {"mask_words": "x"}}, "mask_words must be a number"),
        ({"config": {"hide_anchors": 1}}, "hide_anchors must be true or false"),
        ({"config": {"swap": "sideways"}}, "swap"),
        ({"config": {"unified_layers": 0}}, "unified_layers"),
        ({"backbone": "/no/such/folder"}, "backbone /no/such/folder"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(tmp_path, tiny, change, message):
    with pytest.raises(PolysenseError, match=message) as error:
        pretrain(tmp_path / "m", **{**tiny, **change})
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_captions_of_pictures_without_regions_are_counted(tmp_path, tiny):
    captions = [*tiny["captions"], Caption("ghost", "a cat"), Caption("ghost", "a dog"), Caption("other", "a mat")]
    with pytest.raises(PolysenseError, match=r"picture ghost: .*\(3 captions have none\)"):
        pretrain(tmp_path / "m", **{**tiny, "captions": captions})


@pytest.mark.parametrize(
    ("recipe", "config"),
    [
        ("cmcl", {}),
        ("cmal", {"variant": "released"}),
        ({"masking": 1}, {"swap": "either"}),
        ({"association": 1, "contrast": 0.5}, {"hide_anchors": False, "mask_words": 0, "mask_regions": 1}),
    ],
)
def test_recipes_and_variants_train(tmp_path, tiny, objectives, recipe, config):
    options = {k: v for k, v in OPTIONS.items() if config.get("variant") != "released" or "layers" not in k}
    results = pretrain(tmp_path / "m", **{**tiny, "config": {**options, "unified_layers": 1, **config}}, recipe=recipe)
    assert set(objectives) <= set(results["recipe"]) and len(objectives) == 4
    assert all(value == value and value > 0 for value in results["losses"].values())
    assert CmalProcessor.from_pretrained(tmp_path / "m").settings.region_width == WIDTH


def test_pictures_without_regions_and_captions_without_anchors_are_fine(tmp_path, tiny):
    regions = {"a": regions_of([]), "b": regions_of([("red", "cat")])}

    class Source(dict):  # type: ignore[type-arg]
        width = WIDTH

    captions = [Caption("a", "a cat"), Caption("b", "sings"), Caption("b", "😀"), Caption("a", "cat " * 200)]
    given = {**tiny, "regions": Source(regions)}
    for recipe in ("cmcl", {"association": 0, "matching": 1}):
        results = pretrain(tmp_path / "m", **{**given, "captions": captions}, recipe=recipe, overwrite=True)
        assert results["with_anchors"] == 0 and results["object_classes"] == 1
    for recipe in ("cmal", {"association": 1}, {"matching": 9, "word_region": 0.1}):
        with pytest.raises(PolysenseError, match=r"none of 4 captions names a region \(tags are e\.g\. cat\)"):
            pretrain(tmp_path / "n", **{**given, "captions": captions}, recipe=recipe)
    assert not (tmp_path / "n").exists()
    results = pretrain(tmp_path / "n", **{**given, "captions": [*captions, Caption("b", "a cat")]})
    assert results["with_anchors"] == 0.2


def test_diverged_training_is_said(tmp_path, tiny):
    with pytest.raises(PolysenseError, match=r"diverged.*learning rate"):
        pretrain(tmp_path / "m", **{**tiny, "learning_rate": 1e38})
    assert not (tmp_path / "m").exists()


def test_pre_training_learns(tmp_path, tiny):
    def loss(steps: int) -> float:
        folder = tmp_path / str(steps)
        settings = {**tiny, "steps": steps, "batch_size": 16, "learning_rate": 2e-2}
        losses = pretrain(folder, **settings, recipe={"association": 1})["losses"]
        return losses["words"] + losses["regions"]

    assert loss(25) < 0.6 * loss(1)


def test_object_classes_are_those_of_the_pictures_most_frequent_first():
    regions = {
        "a": regions_of([("red", "cat"), ("red", "mat")]),
        "b": regions_of([("red", "mat"), ("red", "cat")]),
        "c": regions_of([("red", "mat"), ("red", "bird")]),
        "unused": regions_of([("red", "dog")]),
    }
    captions = [Caption(p, "t") for p in ("a", "a", "a", "b", "c")]
    tags = read_tags(captions, regions)
    assert object_classes(tags) == ["mat", "cat", "bird"]
    assert object_classes(tags, min_count=2) == ["mat", "cat"]


def test_features_are_read_once_a_picture_for_its_tags(tmp_path, tiny, monkeypatch):
    read: Counter[str] = Counter()

    class Source(dict):  # type: ignore[type-arg]
        width = WIDTH

        def __getitem__(self, name: str) -> Any:
            read[name] += 1
            return super().__getitem__(name)

    monkeypatch.setattr(pretraining, "run_training", lambda *args, **kwargs: (_ for _ in ()).throw(Stopped))
    source = Source({name: tiny["regions"][name] for name in tiny["regions"]})
    with pytest.raises(Stopped):
        pretrain(tmp_path / "m", **{**tiny, "regions": source})
    assert len(read) == 24 and set(read.values()) == {1}


def test_all_of_a_warm_up_may_be_warm_up(tmp_path, tiny):
    pretrain(tmp_path / "m", **tiny, warmup=1)
    log = json.loads((tmp_path / "m" / "training_log.json").read_text())["log"]
    rates = [entry["learning_rate"] for entry in log if "learning_rate" in entry]
    assert rates == sorted(rates) and rates[-1] > 2 * rates[1] > 0


def test_batches_hold_what_the_captions_name():
    processor = processor_of()
    regions = {name: regions_of(things) for name, things in scenes("train", 3).items()}
    names = list(regions)
    captions = [Caption(names[i], f"the {regions[names[i]].tags[0]} sits") for i in (0, 1, 0, 2)]
    classes = {name: i for i, name in enumerate(WORDS)}
    tags = read_tags(captions, regions)
    batches = CaptionBatches.read(captions, regions, tags, processor, classes, Lexicon.default())
    assert batches.with_anchors == 1
    other = CaptionBatches.read(captions, regions, dict.fromkeys(names, ()), processor, classes, Lexicon.default())
    assert batches.digest != other.digest  # the same captions, without anchors
    batch = batches([2, 1, 0])
    assert batch["pictures"].tolist() == [0, 1, 0]
    for row, i in enumerate((2, 1, 0)):
        tags = regions[captions[i].picture].tags
        assert batch["region_classes"][row, : len(tags)].tolist() == [classes[tag] for tag in tags]
        assert batch["anchor_spans"][row].tolist() == [0, 0, 1, 0, 0]
        assert batch["anchor_links"][row, 2].nonzero().squeeze(1).tolist() == [0]
        assert not batch["anchor_links"][row, [0, 1, 3, 4]].any()


def test_a_backbone_that_is_no_bert_is_said(tmp_path, tiny, clip_folder, bert_folder):
    with pytest.raises(PolysenseError, match="no mask token, which pre-training needs"):
        pretrain(tmp_path / "m", **{**tiny, "backbone": str(clip_folder)})
    other = shutil.copytree(bert_folder, tmp_path / "electra")
    ElectraModel(
        ElectraConfig(vocab_size=64, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(other)
    with pytest.raises(PolysenseError, match="a electra model; CMAL starts from a BERT"):
        pretrain(tmp_path / "m", **{**tiny, "backbone": str(other)})


def test_a_backbone_of_few_positions_reads_what_it_can(tmp_path, tiny):
    short = save_bert(tmp_path / "bert", max_length=6)
    pretrain(tmp_path / "m", **{**tiny, "backbone": str(short)})
    assert CmalProcessor.from_pretrained(tmp_path / "m").settings.max_length == 6
    # A tokenizer that says nothing of its longest text.
    settings = json.loads((short / "tokenizer_config.json").read_text())
    (short / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 10**30}))
    captions = [Caption(tiny["captions"][0].picture, tiny["captions"][0].text + " a cat" * 40)]
    pretrain(tmp_path / "n", **{**tiny, "backbone": str(short), "captions": captions})
    assert CmalProcessor.from_pretrained(tmp_path / "n").settings.max_length == 6


def test_a_run_that_was_killed_after_its_last_step_does_none_more(tmp_path, tiny, monkeypatch):
    """Ten steps of a log's line each, and none of them ends an epoch."""
    settings = {**tiny, "steps": 10, "batch_size": 20}
    whole = pretrain(tmp_path / "whole", **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "finish_run", fail)
        with pytest.raises(Stopped):
            pretrain(tmp_path / "m", **settings)
    assert [file.name for file in (tmp_path / "m.partial").glob("checkpoint-*")] == ["checkpoint-10"]
    assert pretrain(tmp_path / "m", resume=True, **settings)["losses"] == whole["losses"]
    logs = [json.loads((tmp_path / name / "training_log.json").read_text())["log"] for name in ("whole", "m")]
    assert [line["step"] for line in logs[1]] == [line["step"] for line in logs[0]]
    assert same(weights(tmp_path / "m"), weights(tmp_path / "whole"))


def fail(*_: object) -> None:
    raise Stopped


def test_several_processes_are_refused(tmp_path, tiny, vl_start, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = "runs in one process: start it without torchrun or accelerate launch"
    with pytest.raises(PolysenseError, match=f"pre-training {message}"):
        pretrain(tmp_path / "m", **tiny)
    with pytest.raises(PolysenseError, match=f"fine-tuning with pictures {message}"):
        train(tmp_path / "m", "vqa", tmp_path, vl_start)
    with pytest.raises(PolysenseError, match=f"fine-tuning with pictures {message}"):
        train_with_method(tmp_path / "m", tmp_path, vl_start, "mase")
    assert not list(tmp_path.iterdir())
