from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from polysense.errors import PolysenseError
from polysense.vision_language import fine_tuning
from polysense.vision_language.fine_tuning import (
    evaluate,
    fresh_start,
    load_start,
    load_trained,
    read_split,
    train,
)
from polysense.vision_language.models.pretraining import CmalForPreTraining
from polysense.vision_language.processing import PROCESSOR_FILE, CmalProcessor
from polysense.vision_language.region_files import open_regions, write_regions
from polysense.vision_language.regions import Regions
from polysense.vision_language.tasks import TASKS, get_task
from polysense.vision_language.training import CmalTrainer
from support import save_bert
from tiny_runs import hashes
from vision_language.data_folder import QUICK, Stopped, model_config, processor_of, same, stop_at, weights, write_split

pytest_plugins = ("vision_language.data_folder",)


def encoders(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if name.startswith("backbone.")}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_trains_and_its_saved_model_scores_what_was_reported(vl_models, vl_data, vl_start, name):
    folder = vl_models[name]
    results = json.loads((folder / "results.json").read_text())
    assert (results["task"], results["metric"]) == (name, get_task(name).metric)
    assert results["start"] == str(vl_start) and results["data"] == str(vl_data)
    assert results["fresh"] is None and results["look"] is True and results["left_out"] == {}
    assert results["settings"]["steps"] == 4 and results["settings"]["warmup"] == get_task(name).defaults.warmup
    assert set(results["scores"]) == {"validation", "test"} and set(results["rows"]) == {"train", "validation", "test"}
    assert results["metric"] in results["scores"]["test"]
    log = json.loads((folder / "training_log.json").read_text())["log"]
    assert len([entry for entry in log if "loss" in entry]) == 4
    for split in ("validation", "test"):
        scored = evaluate(folder, vl_data / split, batch_size=3, progress=False)
        # Pictures are nearly alike to a model of four steps: in retrieval the last digit of a sum may turn a rank.
        close = {"abs": 0.15} if name == "retrieval" else {}
        assert scored["scores"] == pytest.approx(results["scores"][split], **close)
        assert scored["rows"] == results["rows"][split] and scored["task"] == name
    model, processor, task = load_trained(folder)
    assert type(model) is TASKS[name].model and not model.training and task.name == name
    assert same(dict(model.state_dict()), weights(folder))
    assert processor.settings == CmalProcessor.from_pretrained(vl_start).settings


def test_a_run_of_some_length_learns(tmp_path, vl_data):
    torch.manual_seed(0)
    config = model_config(hidden_size=32, unified_layers=2, initializer_range=0.1)
    CmalForPreTraining(config).save_pretrained(tmp_path / "start")
    processor_of().save_pretrained(tmp_path / "start")
    settings = {**QUICK, "steps": 120, "batch_size": 24, "learning_rate": 3e-3}
    results = train(tmp_path / "m", "rec", vl_data, tmp_path / "start", **settings)
    assert results["scores"]["test"]["accuracy"] > 0.7  # by chance a third
    with pytest.raises(PolysenseError, match="rec: without pictures there is nothing to choose from"):
        evaluate(tmp_path / "m", vl_data / "test", look=False, progress=False)


def test_a_seed_gives_the_same_weights_and_another_one_others(tmp_path, vl_data, vl_start):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(tmp_path / name, "nlvr2", vl_data, vl_start, **QUICK, seed=seed)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_an_interrupted_run_goes_on_to_the_very_same_weights(tmp_path, vl_data, vl_start, monkeypatch):
    monkeypatch.setattr(fine_tuning, "CHECKPOINT_STEPS", 2)
    settings = {**QUICK, "steps": 6, "batch_size": 20, "head_factor": 10}
    data = Path(shutil.copytree(vl_data, tmp_path / "data"))
    where = ("retrieval", data, vl_start)  # its mismatches are drawn
    train(tmp_path / "whole", *where, **settings)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Stopped):
            train(tmp_path / "m", *where, **settings)
    assert [file.name for file in (tmp_path / "m.partial").glob("checkpoint-*")] == ["checkpoint-4"]
    with pytest.raises(PolysenseError, match="add --resume to go on, or --overwrite"):
        train(tmp_path / "m", *where, **settings)
    for change in ({"seed": 5}, {"fresh": "minilm"}):
        with pytest.raises(PolysenseError, match=r"the run in .* had other"):
            train(tmp_path / "m", *where, resume=True, **{**settings, **change})
    captions = data / "train" / "captions.json"
    before = captions.read_text()
    captions.write_text(before.replace("the ", "that ", 1))
    with pytest.raises(PolysenseError, match="had other examples"):
        train(tmp_path / "m", *where, resume=True, **settings)
    captions.write_text(before)
    results = train(tmp_path / "m", *where, resume=True, **settings)
    assert same(weights(tmp_path / "m"), weights(tmp_path / "whole"))
    assert results["scores"] == json.loads((tmp_path / "whole" / "results.json").read_text())["scores"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "m", "whole"]


def test_what_was_loaded_may_be_saved_in_its_place(tmp_path, vl_start):
    folder = Path(shutil.copytree(vl_start, tmp_path / "m"))
    processor = CmalProcessor.from_pretrained(folder)
    processor.settings = dataclasses.replace(processor.settings, max_regions=3)
    processor.save_pretrained(folder)
    assert CmalProcessor.from_pretrained(folder).settings == processor.settings
    folder = Path(shutil.copytree(vl_start, tmp_path / "n"))
    model = CmalForPreTraining.from_pretrained(folder)
    model.backbone.words.weight.data.zero_()
    model.save_pretrained(folder)
    assert not CmalForPreTraining.from_pretrained(folder).backbone.words.weight.any()


def test_a_model_by_itself_is_checked_too(tmp_path, vl_start):
    folder = Path(shutil.copytree(vl_start, tmp_path / "m"))
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-20] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(PolysenseError, match=r"model\.safetensors is not as it was written"):
        CmalForPreTraining.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "cmal_processor.json"])
def test_a_flipped_bit_is_found_in_a_model_and_in_a_start(tmp_path, vl_data, vl_models, vl_start, name):
    for number, (folder, read) in enumerate(
        [
            (vl_models["vqa"], lambda folder: evaluate(folder, vl_data / "test", progress=False)),
            (vl_start, lambda folder: train(tmp_path / "m", "vqa", vl_data, folder, **QUICK)),
        ]
    ):
        copy = Path(shutil.copytree(folder, tmp_path / str(number)))
        content = bytearray((copy / name).read_bytes())
        content[-20] ^= 1
        (copy / name).write_bytes(content)
        with pytest.raises(PolysenseError, match=rf"{number}/{name} is not as it was written"):
            read(copy)


def test_only_an_old_result_is_replaced_when_asked(tmp_path, vl_data, vl_start, vl_models):
    folder = shutil.copytree(vl_models["rec"], tmp_path / "m")
    before = hashes(folder)
    with pytest.raises(PolysenseError, match="add --overwrite"):
        train(folder, "vqa", vl_data, vl_start, **QUICK)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Stopped):
            train(folder, "vqa", vl_data, vl_start, overwrite=True, **QUICK)
    assert hashes(folder) == before
    train(folder, "vqa", vl_data, vl_start, overwrite=True, **QUICK)
    assert load_trained(folder)[2].name == "vqa"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "diary.txt").write_text("mine")
    with pytest.raises(PolysenseError, match=f"holds something else.*{PROCESSOR_FILE}"):
        train(tmp_path / "other", "vqa", vl_data, vl_start, overwrite=True, **QUICK)


def test_a_fresh_start_has_the_sizes_and_nothing_of_what_was_learnt(vl_data, vl_start, bert_folder):
    task = get_task("vqa")
    examples = read_split(vl_data / "train", task).examples
    learnt, _ = load_start(vl_start, task, examples)
    fresh, processor = fresh_start(vl_start, str(bert_folder), task, examples)
    assert {n: p.shape for n, p in fresh.named_parameters()} == {n: p.shape for n, p in learnt.named_parameters()}
    assert fresh.config.task == "vqa" and processor.settings == CmalProcessor.from_pretrained(vl_start).settings
    torch.testing.assert_close(encoders(dict(learnt.state_dict())), encoders(weights(vl_start)), rtol=0, atol=0)
    bert = weights(bert_folder)
    torch.testing.assert_close(fresh.backbone.words.weight, bert["embeddings.word_embeddings.weight"], rtol=0, atol=0)
    for name, parameter in fresh.backbone.named_parameters():
        started_as = learnt.backbone.get_parameter(name)
        if parameter.std() > 0:  # biases and norms may start alike
            assert not torch.equal(parameter, started_as), name


def test_fresh_and_hidden_runs_say_so(tmp_path, vl_data, vl_start, bert_folder):
    results = train(tmp_path / "m", "snli-ve", vl_data, vl_start, fresh=str(bert_folder), look=False, **QUICK)
    assert results["fresh"] == str(bert_folder) and results["look"] is False
    seen = evaluate(tmp_path / "m", vl_data / "test", look=False, progress=False)["scores"]
    assert seen == results["scores"]["test"]


def test_a_fresh_start_from_another_bert_is_refused(tmp_path, vl_data, vl_start, bert_folder):
    longer = save_bert(tmp_path / "longer", max_length=40)
    with pytest.raises(PolysenseError, match=r"fresh .*its sizes are not those of"):
        train(tmp_path / "m", "vqa", vl_data, vl_start, fresh=str(longer), **QUICK)
    other = shutil.copytree(bert_folder, tmp_path / "words")
    file = other / "tokenizer.json"
    file.write_text(file.read_text().replace('"banana"', '"ananas"'))
    with pytest.raises(PolysenseError, match=r"fresh .*its vocabulary is not that of"):
        train(tmp_path / "m", "vqa", vl_data, vl_start, fresh=str(other), **QUICK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "vqaa"}, "unknown task 'vqaa'"),
        ({"stepz": 1}, "unknown setting 'stepz'"),
        ({"batch_size": 0}, "batch-size must be more than 0"),
        ({"start": "/no/such/model"}, "/no/such/model: no vision-language model"),
        ({"data": "/no/such/data"}, "/no/such/data: none of train, validation, test"),
        ({"fresh": "/no/such/bert"}, "backbone /no/such/bert"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, vl_data, vl_start, change, message):
    arguments = {"task": "vqa", "data": vl_data, "start": vl_start, **QUICK, **change}
    with pytest.raises(PolysenseError, match=message) as error:
        train(tmp_path / "m", **arguments)
    assert "\n" not in str(error.value) and not (tmp_path / "m").exists()


def test_other_folders_than_those_of_models_are_said(tmp_path, vl_data, vl_start, vl_models, bert_folder):
    with pytest.raises(PolysenseError, match="no vision-language model"):
        train(tmp_path / "m", "vqa", vl_data, bert_folder, **QUICK)  # a text model
    with pytest.raises(PolysenseError, match="a pre-trained model, of no task yet; train it on one first"):
        evaluate(vl_start, vl_data / "test")
    with pytest.raises(PolysenseError, match="no vision-language model"):
        evaluate(bert_folder, vl_data / "test")
    broken = shutil.copytree(vl_models["vqa"], tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"xx")
    with pytest.raises(PolysenseError, match=r"model\.safetensors is not as it was written"):
        evaluate(broken, vl_data / "test")
    (broken / "checksums.json").unlink()  # as of an older version
    with pytest.raises(PolysenseError, match="holds no model that can be loaded"):
        evaluate(broken, vl_data / "test")
    state = weights(vl_models["vqa"])
    for name in ("backbone.words.weight", "head.0.weight"):
        save_file({k: v for k, v in state.items() if k != name}, broken / "model.safetensors", {"format": "pt"})
        with pytest.raises(PolysenseError, match=f"its weights are not whole: {name} is missing"):
            evaluate(broken, vl_data / "test")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "task": "chess"}))
    with pytest.raises(PolysenseError, match="unknown task 'chess'"):
        evaluate(broken, vl_data / "test")


def test_a_trained_model_may_be_the_start_of_another_task(tmp_path, vl_data, vl_models):
    results = train(tmp_path / "m", "retrieval", vl_data, vl_models["vqa"], **{**QUICK, "learning_rate": 1e-9})
    assert 0 <= results["scores"]["test"]["mean_recall"] <= 1
    before, after = encoders(weights(vl_models["vqa"])), encoders(weights(tmp_path / "m"))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("source", ["vqa", "snli-ve"])
def test_the_head_of_another_start_is_not_gone_on_from(vl_data, vl_models, source):
    task = get_task("snli-ve")
    examples = read_split(vl_data / "train", task).examples
    torch.manual_seed(0)
    model, _ = load_start(vl_models[source], task, examples)
    before = weights(vl_models[source])
    torch.testing.assert_close(encoders(dict(model.state_dict())), encoders(before), rtol=0, atol=0)
    head = model.head[0].weight
    assert not torch.equal(head, before["head.0.weight"]) and 0 < head.std() < 1


def test_retrieval_goes_on_from_the_contrast_and_the_matching_of_pre_training(vl_data, vl_start):
    task = get_task("retrieval")
    model, _ = load_start(vl_start, task, read_split(vl_data / "train", task).examples)
    before = weights(vl_start)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def widen(file: Path) -> None:
    """Write a file of regions again, its features twice as wide."""
    source = open_regions(file, in_memory=True)
    found = {name: source[name] for name in source}
    write_regions(
        file,
        (
            (name, Regions(r.features.repeat(2, axis=1), r.boxes, r.width, r.height, r.tags))
            for name, r in found.items()
        ),
    )


def test_a_part_whose_features_do_not_fit_is_found_before_training(tmp_path, vl_data, vl_start, monkeypatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        pytest.fail("it trained")

    monkeypatch.setattr(fine_tuning, "run_training", fail)
    data = shutil.copytree(vl_data, tmp_path / "data")
    widen(data / "test" / "regions.h5")
    with pytest.raises(PolysenseError, match=r"test/regions\.h5: .*features 16 wide, but this model reads 8"):
        train(tmp_path / "m", "vqa", data, vl_start, **QUICK)
    assert not (tmp_path / "m.partial").exists()


def test_a_folder_without_a_training_split_is_said(tmp_path, vl_start):
    write_split(tmp_path / "data" / "test", "test", 3)
    with pytest.raises(PolysenseError, match="there is no train folder in it"):
        train(tmp_path / "m", "vqa", tmp_path / "data", vl_start, **QUICK)
    write_split(tmp_path / "data" / "train", "train", 3)
    results = train(tmp_path / "m", "vqa", tmp_path / "data", vl_start, **QUICK)
    assert set(results["scores"]) == {"test"}


def test_another_file_of_regions(tmp_path, vl_data, vl_models):
    source = open_regions(vl_data / "test" / "regions.h5")
    write_regions(tmp_path / "none.h5", ((name, source[name].take([])) for name in source))
    got = evaluate(vl_models["vqa"], vl_data / "test", regions=tmp_path / "none.h5", progress=False)
    hidden = evaluate(vl_models["vqa"], vl_data / "test", look=False, progress=False)
    assert got["scores"] == hidden["scores"]

    def wider(found: Regions) -> Regions:
        features = found.features.repeat(2, axis=1)
        return Regions(features, found.boxes, found.width, found.height, found.tags)

    write_regions(tmp_path / "wide.h5", ((name, wider(source[name])) for name in source))
    with pytest.raises(PolysenseError, match="features 16 wide, but this model reads 8"):
        evaluate(vl_models["vqa"], vl_data / "test", regions=tmp_path / "wide.h5", progress=False)
    with pytest.raises(PolysenseError, match="no such file"):
        evaluate(vl_models["vqa"], vl_data / "test", regions=Path("/no/such.h5"), progress=False)


def test_diverged_training_is_said(tmp_path, vl_data, vl_start):
    with pytest.raises(PolysenseError, match=r"diverged.*learning rate"):
        train(tmp_path / "m", "vqa", vl_data, vl_start, **{**QUICK, "learning_rate": 1e38})
    assert not (tmp_path / "m").exists()


def test_the_head_learns_at_its_own_rate(tmp_path, vl_data, vl_start, monkeypatch):
    seen: list[CmalTrainer] = []
    create = CmalTrainer.create_optimizer

    def remember(self: Any, *args: Any) -> Any:
        seen.append(self)
        return create(self, *args)

    monkeypatch.setattr(CmalTrainer, "create_optimizer", remember)
    train(tmp_path / "m", "vqa", vl_data, vl_start, **QUICK)
    names = {id(p): name for name, p in seen[0].model.named_parameters()}
    rates = {names[id(p)]: g["initial_lr"] for g in seen[0].optimizer.param_groups for p in g["params"]}
    assert set(rates) == set(names.values())
    for name, rate in rates.items():  # the default of VQA is ten times
        assert rate == pytest.approx(1e-3 if name.startswith("backbone.") else 1e-2), name
    assert {g["betas"] for g in seen[0].optimizer.param_groups} == {(0.9, 0.98)}
