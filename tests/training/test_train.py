from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

import polysense
from polysense.errors import PolysenseError
from polysense.folder import CHECKSUMS, RESULTS_FILE
from polysense.tasks import load_files
from polysense.training import runs
from polysense.training.evaluate import evaluate
from polysense.training.fine_tune import fine_tune
from polysense.training.predict import Predictor
from polysense.training.progress import ProgressBar
from polysense.training.sampling import sample_rows
from polysense.training.train import train
from polysense.training.trainer import PolysenseTrainer
from tiny_runs import hashes, text_rows, write_rows

pytest_plugins = ("tiny_runs",)

# The package has a function of that name.
train_module = sys.modules["polysense.training.train"]

TEXTS = ["the yellow banana", "", "a dog", "a cat sits on the mat a cat sits on the mat"]


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> list[PolysenseTrainer]:
    """The trainers of the runs, with the models as they were before saving."""
    seen: list[PolysenseTrainer] = []

    def remember(*args: Any, **kwargs: Any) -> PolysenseTrainer:
        seen.append(fine_tune(*args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(train_module, "fine_tune", remember)
    return seen


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_folder_holds_the_model_that_was_trained(tmp_path, tiny, trainers):
    folder = tmp_path / "model"
    results = train(folder, **tiny)
    assert sorted(tmp_path.iterdir()) == [folder]
    memory = trainers[0].model.eval()
    loaded = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert type(loaded) is polysense.PolysenseForSequenceClassification
    processor = polysense.PolysenseProcessor.from_pretrained(folder)
    inputs = processor(TEXTS)
    with torch.no_grad():
        expected, got = memory(**inputs).logits, loaded(**inputs).logits
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    assert expected.std(dim=0).max() > 1e-4
    predictions = Predictor.load(folder).predict(TEXTS)
    assert [list(p.probabilities) for p in predictions] == [["long", "short"]] * 4
    probabilities = torch.tensor([list(p.probabilities.values()) for p in predictions])
    torch.testing.assert_close(probabilities, expected.exp(), rtol=1e-5, atol=1e-6)
    assert [p.label for p in predictions] == [["long", "short"][i] for i in expected.argmax(dim=-1).tolist()]
    assert json.loads((folder / "results.json").read_text()) == results


@pytest.mark.parametrize(("share", "steps"), [(0, 0), (0.5, 5), (1, 10)])
def test_warming_up_takes_a_share_of_the_steps(tmp_path, tiny, trainers, share, steps):
    train(tmp_path / "m", **tiny, warmup=share)
    assert trainers[0].args.get_warmup_steps(10) == steps


def test_the_reported_score_is_the_saved_models(tmp_path, tiny):
    rows = text_rows(20, seed=5)
    validation = write_rows(tmp_path / "validation.jsonl", rows)
    results = train(tmp_path / "m", validation_file=validation, learning_rate=1e-3, **{**tiny, "epochs": 3})
    predicted = [p.label for p in Predictor.load(tmp_path / "m").predict([row["text"] for row in rows])]
    by_hand = sum(p == row["label"] for p, row in zip(predicted, rows, strict=True)) / len(rows)
    assert results["scores"] == {"validation": pytest.approx(by_hand)}
    assert evaluate(tmp_path / "m", file=validation, progress=False)["scores"]["validation.jsonl"] == by_hand
    assert results["rows"] == {"train": 24, "validation": 20}
    assert results["modalities"] == ["text", "image"] and results["metric"] == "accuracy"


def test_a_seed_gives_the_same_weights_and_another_one_others(tmp_path, tiny):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(tmp_path / name, seed=seed, **tiny)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.parametrize("columns", [["text"], ["text", "other"]], ids=["text", "pair"])
@pytest.mark.parametrize(("label", "kind", "metric"), [("label", "classification", "accuracy"),
                                                       ("value", "regression", "spearman")])  # fmt: skip
def test_kinds_of_labels_and_texts(tmp_path, tiny, trainers, columns, label, kind, metric):
    results = train(tmp_path / "m", text_columns=columns, label_column=label, **tiny)
    assert (results["kind"], results["metric"]) == (kind, metric)
    predictor = Predictor.load(tmp_path / "m")
    pairs = None if len(columns) == 1 else ["a dog", "a bird sings"]
    got = predictor.predict(["the cat", "yellow banana"], pairs)
    inputs = predictor.processor(["the cat", "yellow banana"], pairs)
    with torch.no_grad():
        expected = trainers[0].model.eval()(**inputs).logits
    if kind == "regression":
        assert [p.probabilities for p in got] == [{}, {}]
        assert [p.label for p in got] == pytest.approx(expected.tolist())
        assert set(got[0].to_dict()) == {"prediction"}
    else:
        assert [p.probabilities["long"] for p in got] == pytest.approx(expected[:, 0].exp().tolist())
    if pairs:
        changed = predictor.predict(["the cat", "yellow banana"], ["a mat", "red"])
        assert [p.to_dict() for p in changed] != [p.to_dict() for p in got]


def test_train_rows_are_drawn_by_the_seed_and_kept_in_order(rows_file):
    data = load_files(rows_file, text_columns=["text"], label_column="label")
    drawn = [sample_rows(data, 9, seed).splits["train"]["text"][:] for seed in (0, 0, 1)]
    whole = data.splits["train"]["text"][:]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 9
    places = [whole.index(text) for text in drawn[0]]
    assert places == sorted(places) or len(set(whole)) < len(whole)
    assert sample_rows(data, 9, 0).splits["validation"] is data.splits["validation"]
    for rows in (0, -1, len(whole) + 1):
        with pytest.raises(PolysenseError, match=f"{rows} training rows"):
            sample_rows(data, rows, 0)


def test_train_trains_on_that_many_rows(tmp_path, tiny, trainers):
    results = train(tmp_path / "m", train_rows=7, **tiny)
    assert results["rows"]["train"] == 7
    assert len(trainers[0].train_dataset) == 7
    assert trainers[0].state.global_step == math.ceil(7 / 8)


class _Stop(Exception):  # noqa: N818
    pass


def interrupt(monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> pytest.MonkeyPatch:
    """Break the run off when its second epoch begins."""

    def on_epoch_begin(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.epoch and state.epoch >= 1:
            raise error

    monkeypatch.setattr(ProgressBar, "on_epoch_begin", on_epoch_begin)
    return monkeypatch


def test_an_interrupted_run_goes_on_to_the_very_same_weights(tmp_path, tiny):
    settings = {**tiny, "epochs": 3, "progress": True, "method_learning_rate": 1e-3, "dropout": 0.3}
    train(tmp_path / "whole", **settings)
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "m", **settings)
    assert not (tmp_path / "m").exists()
    (checkpoint,) = (tmp_path / "m.partial").glob("checkpoint-*")
    assert checkpoint.name == "checkpoint-3"
    known = json.loads((checkpoint / CHECKSUMS).read_text())  # so that a damaged one is found
    assert {"model.safetensors", "optimizer.pt", "trainer_state.json"} < {file.name for file in checkpoint.iterdir()}
    assert set(known) == {file.name for file in checkpoint.iterdir()} - {CHECKSUMS}
    begun: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressBar, "on_epoch_begin", lambda _, __, state, ___, **____: begun.append(state.epoch))
        train(tmp_path / "m", resume=True, **settings)
    assert begun == [1, 2]  # the first epoch is not run again
    assert same(weights(tmp_path / "m"), weights(tmp_path / "whole"))
    assert not (tmp_path / "m.partial").exists()
    log = json.loads((tmp_path / "m" / "training_log.json").read_text())["log"]
    assert [entry["epoch"] for entry in log if "loss" in entry] == [1, 2, 3]


def test_a_new_run_forgets_the_checkpoints_of_an_interrupted_one(tmp_path, tiny, monkeypatch):
    stale = tmp_path / "m.partial" / "checkpoint-999"
    stale.mkdir(parents=True)
    with pytest.raises(PolysenseError, match="--resume to go on"):
        train(tmp_path / "m", **tiny)
    assert stale.exists()
    interrupt(monkeypatch, _Stop)
    with pytest.raises(_Stop):
        train(tmp_path / "m", overwrite=True, **{**tiny, "epochs": 2, "progress": True})
    assert [file.name for file in (tmp_path / "m.partial").glob("checkpoint-*")] == ["checkpoint-3"]


def test_another_run_is_not_resumed(tmp_path, tiny, monkeypatch):
    interrupt(monkeypatch, _Stop)
    with pytest.raises(_Stop):
        train(tmp_path / "m", **{**tiny, "epochs": 2, "progress": True})
    for change in ({"seed": 5}, {"learning_rate": 1e-6}, {"method": "mpb"}, {"train_rows": 5}):
        with pytest.raises(PolysenseError, match=r"the run in .* had other"):
            train(tmp_path / "m", resume=True, **{**tiny, "epochs": 2, **change})
    assert list((tmp_path / "m.partial").glob("checkpoint-*"))


def test_what_was_learnt_of_the_modalities_is_told(tmp_path, tiny):
    weights = train(tmp_path / "m", **tiny)["weights"]
    assert sum(weights["rho"].values()) == pytest.approx(1)
    assert weights["pi_z"] == {"text,image": 1.0, "image,text": 1.0}


def test_a_run_of_before_newer_settings_goes_on(tmp_path, tiny, monkeypatch):
    settings = {**tiny, "epochs": 2, "progress": True}
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, _Stop)
        with pytest.raises(_Stop):
            train(tmp_path / "m", **settings)
    noted = json.loads((tmp_path / "m.partial" / "run.json").read_text())["settings"]
    assert not {"compile", "gradient_accumulation"} & set(noted) and "batch_size" in noted
    told = train(tmp_path / "m", resume=True, **settings)["settings"]
    assert told["compile"] is False and told["gradient_accumulation"] == 1


def test_nothing_to_resume_is_an_error(tmp_path, tiny):
    with pytest.raises(PolysenseError, match="nothing to resume"):
        train(tmp_path / "m", resume=True, **tiny)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["fine_tune", "score_splits", "write_results"])
def test_a_failing_run_leaves_the_old_result(tmp_path, tiny, monkeypatch, where):
    folder = tmp_path / "m"
    folder.mkdir()
    for name in ("polysense_processor.json", "model.safetensors"):
        (folder / name).write_text("good")
    before = hashes(folder)

    write = runs.write_json

    def fail(*_: Any, **__: Any) -> None:
        raise _Stop

    def fail_at_results(file: Path, *told: Any) -> None:
        (fail if file.name == RESULTS_FILE else write)(file, *told)

    if where == "write_results":
        monkeypatch.setattr(runs, "write_json", fail_at_results)
    else:
        monkeypatch.setattr(train_module, where, fail)
    with pytest.raises(_Stop):
        train(folder, overwrite=True, **tiny)
    assert hashes(folder) == before


def test_an_old_result_is_only_replaced_when_asked(tmp_path, tiny):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "polysense_processor.json").write_text("{}")
    (folder / "old").write_text("old")
    before = hashes(folder)
    with pytest.raises(PolysenseError, match="add --overwrite"):
        train(folder, **tiny)
    assert hashes(folder) == before
    train(folder, overwrite=True, **tiny)
    assert not (folder / "old").exists() and (folder / "model.safetensors").exists()
    assert sorted(tmp_path.iterdir()) == [folder]


def test_only_the_methods_layers_learn_at_their_own_rate(tmp_path, tiny, trainers):
    train(tmp_path / "m", learning_rate=1e-4, method_learning_rate=5e-3, weight_decay=0.02, **tiny)
    model, groups = trainers[0].model, trainers[0].optimizer.param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    found = [names[id(p)] for group in groups for p in group["params"]]
    assert sorted(found) == sorted(names.values())  # none lost, none twice
    for group in groups:
        own = {not names[id(p)].startswith("backbone.") for p in group["params"]}
        assert own in ({True}, {False}, set())
        for p in group["params"]:
            name = names[id(p)]
            # Scheduled to zero at the end; where it started from is what was asked.
            assert group["initial_lr"] == (1e-4 if name.startswith("backbone.") else 5e-3), name
            plain = name.endswith("bias") or "LayerNorm" in name
            assert group["weight_decay"] == (0.0 if plain else 0.02), name


def test_one_rate_for_all_unless_told(tmp_path, tiny, trainers):
    train(tmp_path / "m", learning_rate=3e-4, **tiny)
    assert {group["initial_lr"] for group in trainers[0].optimizer.param_groups} == {3e-4}


def test_the_log_holds_the_terms_of_the_loss(tmp_path, tiny):
    train(tmp_path / "m", **{**tiny, "epochs": 2})
    log = json.loads((tmp_path / "m" / "training_log.json").read_text())["log"]
    entries = [entry for entry in log if "loss" in entry]
    assert len(entries) == 2
    for entry in entries:
        assert entry["loss_prediction"] > 0 and entry["loss_contrast"] > 0
        assert entry["loss"] == pytest.approx(entry["loss_prediction"] + entry["loss_contrast"], rel=1e-3)
    assert entries[0]["loss"] != entries[1]["loss"]
    assert [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry]


def test_text_alone_opens_no_tower_and_has_no_contrast(tmp_path, tiny):
    results = train(tmp_path / "m", method="text", **{**tiny, "towers": ["image=/no/such/tower"]})
    assert results["modalities"] == ["text"]
    log = json.loads((tmp_path / "m" / "training_log.json").read_text())["log"]
    assert all("loss_contrast" not in entry for entry in log)
    assert Predictor.load(tmp_path / "m").predict("a cat")[0].label in ("long", "short")


def test_training_longer_than_the_backbone_reads(tmp_path, tiny):
    rows = [*text_rows(), {"text": "cat " * 500, "label": "long"}]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    train(tmp_path / "m", max_length=5000, **{**tiny, "train_file": file})
    assert Predictor.load(tmp_path / "m").processor.max_length == 32
    assert Predictor.load(tmp_path / "m").predict("dog " * 500)


def test_diverged_training_is_said(tmp_path, tiny):
    with pytest.raises(PolysenseError, match=r"diverged.*learning rate"):
        train(tmp_path / "m", learning_rate=1e38, **{**tiny, "epochs": 2})
    assert not (tmp_path / "m").exists()


def test_mixed_precision_and_batches_of_like_length(tiny: dict[str, Any], tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", **tiny)
    other = train(tmp_path / "other", **tiny, bf16=True, group_by_length=True)
    assert (other["settings"]["bf16"], other["settings"]["group_by_length"]) == (True, True)
    log = [
        json.loads((tmp_path / name / "training_log.json").read_text())["log"][0]["loss"] for name in ("plain", "other")
    ]
    assert log[0] == pytest.approx(log[1], rel=0.2)
    assert log[0] != log[1]
    assert plain["scores"].keys() == other["scores"].keys()
