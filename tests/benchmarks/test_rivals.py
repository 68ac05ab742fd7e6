from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers
from benchmarks.rivals import __main__ as command
from benchmarks.rivals import rows, set_fit
from benchmarks.rivals.competitor import Competitor, Outcome, Seconds, Setting
from benchmarks.rivals.plain import PlainTrainer
from benchmarks.rivals.rows import SCORED, SIZES, Size, task_rows
from benchmarks.rivals.set_fit import SetFit, all_pairs
from benchmarks.rivals.study import Study, competitors
from benchmarks.rivals.table import markdown_page, results, table_cells
from datasets import Dataset

from polysense.errors import PolysenseError
from polysense.tasks import TaskData
from support import bert_tokenizer

FEW = Size("4 a class", (1, 2), shots=4)
SETTING = Setting(1e-3, 1)

pytestmark = pytest.mark.usefixtures("tiny_files")


def texts_of(split: Dataset) -> set[str]:
    return set(split["text"])


def test_what_is_trained_on_held_out_and_scored_is_apart_for_every_seed() -> None:
    found = task_rows("sst2")
    scored = found.drawn(FEW, 0).splits[SCORED]
    held_out = found.drawn(FEW, 0, held_out=True).splits[SCORED]
    assert len(scored) == 12
    assert len(held_out) == 8
    drawn = [found.drawn(FEW, seed).splits["train"] for seed in range(5)]
    for train in drawn:
        assert sorted(train["label"]) == [0] * 4 + [1] * 4
        assert not texts_of(train) & (texts_of(held_out) | texts_of(scored))
    assert not texts_of(held_out) & texts_of(scored)
    assert texts_of(drawn[0]) != texts_of(drawn[1])


def test_choosing_and_reporting_train_on_the_same_rows() -> None:
    found = task_rows("sst2")
    alike = [found.drawn(FEW, 3, held_out=held_out).splits["train"].to_dict() for held_out in (False, True)]
    assert alike[0] == alike[1]


def test_a_share_is_of_all_training_rows_and_has_a_most(monkeypatch: pytest.MonkeyPatch) -> None:
    share = replace(SIZES["5%"], share=0.5)
    assert len(task_rows("sst2").drawn(share, 0).splits["train"]) == 30
    monkeypatch.setattr(rows, "SHARE_ROWS", 7)
    assert len(task_rows("sst2").drawn(share, 0).splits["train"]) == 7


def test_too_few_rows_to_hold_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "HELD_OUT_ROWS", 60)
    with pytest.raises(PolysenseError, match="60 of 60 training rows cannot be held out"):
        task_rows("sst2")


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `Trainer.train` and `Trainer.predict` were last given."""
    given: dict[str, Any] = {}
    train, predict = transformers.Trainer.train, transformers.Trainer.predict

    def spy_train(self: Any, *args: Any, **kwargs: Any) -> Any:
        given["train"] = self.train_dataset
        return train(self, *args, **kwargs)

    def spy_predict(self: Any, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        given[SCORED] = dataset
        return predict(self, dataset, *args, **kwargs)

    monkeypatch.setattr(transformers.Trainer, "train", spy_train)
    monkeypatch.setattr(transformers.Trainer, "predict", spy_predict)
    return given


def fake_setfit(given: dict[str, Any]) -> SimpleNamespace:
    """A library of that form, which notes what it is given and predicts class 1."""

    class Model:
        @classmethod
        def from_pretrained(cls, source: str) -> Model:
            given["source"] = source
            return cls()

        def predict(self, texts: Sequence[str], **kwargs: Any) -> Any:
            given[SCORED] = texts
            return np.ones(len(texts), dtype=int)

    class Trainer:
        def __init__(self, model: Any, args: Any, train_dataset: Any) -> None:
            given["train"], given["arguments"] = train_dataset, args

        def train(self) -> None:
            given["trained"] = True

    return SimpleNamespace(SetFitModel=Model, Trainer=Trainer, TrainingArguments=lambda **kwargs: kwargs)


def tokens_and_labels(given: Any) -> list[Any]:
    """Of the rows that a Trainer was given, in no order."""
    found = []
    for i in range(len(given)):
        row = given[i]
        tokens = row.get("tokens", row)
        ids = [each["input_ids"] for each in tokens] if isinstance(tokens, list) else tokens["input_ids"]
        found.append((ids, row["label"]))
    return sorted(found)


@pytest.mark.parametrize("task", ["sst2", "mrpc", "csqa"])
def test_every_competitor_gets_the_very_same_rows(
    task: str,
    spied: dict[str, Any],
    bert_folder: Path,
    clip_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = task_rows(task).drawn(FEW, 0)
    tokenizer = bert_tokenizer()

    def expected(split: Dataset) -> list[Any]:
        columns = split.to_dict()
        if "choices" in columns:
            pairs = zip(columns["text"], columns["choices"], strict=True)
            ids = [tokenizer([text] * len(choices), choices)["input_ids"] for text, choices in pairs]
        else:
            ids = tokenizer(columns["text"], columns.get("text_pair"))["input_ids"]
        return sorted(zip(ids, columns["label"], strict=True))

    for name, competitor in competitors({"image": str(clip_folder)}, store=False).items():
        # MASE reads as MaCSC does; its parser is slow to open.
        if competitor.refusal(data) is not None or (name == "mase" and task != "sst2"):
            continue
        if name == "setfit":
            fake: dict[str, Any] = {}
            monkeypatch.setitem(sys.modules, "setfit", fake_setfit(fake))
            outcome = competitor.run(data, str(bert_folder), SETTING, 0)
            assert fake["train"].to_dict() == data.splits["train"].to_dict()
            assert fake[SCORED] == data.splits[SCORED]["text"][:]
            assert outcome.score == np.mean(data.splits[SCORED]["label"][:])
            continue
        outcome = competitor.run(data, str(bert_folder), SETTING, 0)
        assert 0 <= outcome.score <= 1
        for split in ("train", SCORED):
            assert tokens_and_labels(spied[split]) == expected(data.splits[split]), (name, split)


def test_plain_fine_tuning_learns(bert_folder: Path) -> None:
    told = Dataset.from_dict({"text": ["red cat", "yellow dog"] * 8, "label": [0, 1] * 8})
    data = TaskData("told", "classification", {"train": told, SCORED: told}, ("red", "yellow"), ("accuracy",), False)
    assert PlainTrainer().run(data, str(bert_folder), Setting(1e-2, 20), 0).score == 1.0


def test_reading_is_measured_for_towers_alone(bert_folder: Path, clip_folder: Path) -> None:
    data = task_rows("sst2").drawn(FEW, 0)
    known = competitors({"image": str(clip_folder)}, store=False)
    seconds = {name: each.reading(data, str(bert_folder)).wall for name, each in known.items()}
    assert {name for name, value in seconds.items() if value > 0} == {"macsc", "mase"}


@pytest.mark.parametrize(("counts", "pairs"), [((16, 16), 544), ((64, 64), 8320), ((2, 2, 2), 24)])
def test_pairs_that_setfit_trains_on(counts: tuple[int, ...], pairs: int) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    assert all_pairs(labels) == pairs


def test_setfit_draws_pairs_only_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch, bert_folder: Path) -> None:
    data = task_rows("sst2").drawn(FEW, 0)
    given: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "setfit", fake_setfit(given))
    SetFit().run(data, str(bert_folder), SETTING, 0)
    assert given["arguments"]["num_iterations"] is None
    assert given["arguments"]["body_learning_rate"] == SETTING.learning_rate
    monkeypatch.setattr(set_fit, "MOST_PAIRS", all_pairs(data.splits["train"]["label"][:]) - 1)
    SetFit().run(data, str(bert_folder), SETTING, 0)
    assert given["arguments"]["num_iterations"] == 20


def test_setfit_says_what_it_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SetFit().refusal(task_rows("sst2").data) is None
    assert "pairs" in str(SetFit().refusal(task_rows("mrpc").data))
    assert "choices" in str(SetFit().refusal(task_rows("csqa").data))
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(PolysenseError, match="pip install setfit"):
        SetFit().identity()


class Scripted(Competitor):
    """Scores as told: on the held-out rows by setting, on the scored ones the other way round."""

    def __init__(self, name: str, held_out: dict[tuple[float, int], float], held_out_rows: int = 8) -> None:
        self.name, self.held_out, self.held_out_rows = name, held_out, held_out_rows
        self.ran: list[Any] = []

    def identity(self) -> Any:
        return self.name

    def run(self, data: TaskData, backbone: str, setting: Setting, seed: int) -> Outcome:
        self.ran.append((setting, seed))
        score = self.held_out[setting.learning_rate, setting.epochs]
        choosing = len(data.splits[SCORED]) == self.held_out_rows
        return Outcome(score if choosing else 1 - score, Seconds(2.0 + seed, 1.0))


@pytest.fixture
def scripted() -> Scripted:
    return Scripted("trainer", {(0.1, 1): 0.5, (0.2, 1): 0.75, (0.1, 2): 0.75, (0.2, 2): 0.25})


@pytest.fixture
def study(tmp_path: Path, scripted: Scripted) -> Study:
    other = Scripted("other", dict.fromkeys(scripted.held_out, 0.5))
    return Study(["sst2"], [FEW], [scripted, other], [0, 1], (0.1, 0.2), cells=tmp_path / "cells")


def test_settings_are_chosen_on_held_out_rows_the_cheapest_of_equals(study: Study, scripted: Scripted) -> None:
    study.run()
    # On the scored rows (0.2, 2) would have been the best.
    assert study.chosen(next(study.places())) == Setting(0.2, 1)
    assert [seed for _, seed in scripted.ran] == [0, 0, 0, 0, 0, 1]
    assert {setting for setting, _ in scripted.ran[4:]} == {Setting(0.2, 1)}


def test_finished_cells_are_kept(study: Study, scripted: Scripted) -> None:
    study.run()
    before = len(scripted.ran)
    replace(study, seeds=[0, 1, 2]).run()
    assert scripted.ran[before:] == [(Setting(0.2, 1), 2)]


def test_a_table_of_a_study(study: Study, tmp_path: Path) -> None:
    study = replace(study, tasks=["sst2", "mrpc"], competitors=[*study.competitors, SetFitThatIsThere()])
    study.run()
    result = results(study, "the command")
    first, other, setfit = result["rows"][:3]
    assert [row["method"] for row in result["rows"]] == ["trainer", "other", "setfit", "trainer", "other"]
    assert first["scores"] == [25.0, 25.0]
    assert first["setting"] == {"learning_rate": 0.2, "epochs": 1}
    assert setfit["setting"] == {"learning_rate": 0.1, "epochs": 1}  # its own number of epochs
    assert first["rows"] == 8
    assert (first["training"], first["seconds"]) == ({"wall": 2.5, "cpu": 1.0}, 5.0)
    assert first["reading"] == {"wall": 0.0, "cpu": 0.0}
    assert other["mean"] == 50.0
    against = {(test["task"], test["method"]): test for test in result["tests"]}
    assert against["sst2, 4 a class", "other"]["difference"] == 25.0
    assert against["sst2, 4 a class", "other"]["against"] == "trainer"
    # Tasks are averaged, not the sizes of one.
    assert [(gain["method"], gain["tasks"]) for gain in result["averages"]] == [("4 a class: other", 2)]
    assert len(result["trials"]) == 16 + 2
    assert [refused["task"] for refused in result["refused"]] == ["mrpc, 4 a class"]
    lines = table_cells(result)
    assert [line[:2] + line[3:4] for line in lines if "apply" in line[3]] == [
        ["mrpc, 4 a class", "setfit", "does not apply"]
    ]
    page = markdown_page(result)
    assert "| sst2, 4 a class (8) | other | 1e-01, 1 epochs | 50.0 ± 0.0 | +25.0 |  | 2.5 | 0.0 | 1.0 + 0.0 |" in page
    assert "does not apply to mrpc: SetFit does not take pairs" in page
    assert json.loads(json.dumps(result)) == result


class SetFitThatIsThere(SetFit):
    """Without the library."""

    def identity(self) -> Any:
        return "setfit"

    def run(self, data: TaskData, backbone: str, setting: Setting, seed: int) -> Outcome:
        assert setting.epochs == 1
        return Outcome(0.5, Seconds(1.0, 1.0))


def test_cells_that_others_made_by_another_setup_are_apart(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    place = next(study.places())
    cell = study.trials(place)[0]
    others = [replace(study, threads=2), replace(study, backbone="another")]
    files = {cell.file, *(other.trials(place)[0].file for other in others)}
    for name in ("SHARE_ROWS", "BF16", "BATCH_SIZE"):
        with monkeypatch.context() as changed:
            changed.setattr(f"benchmarks.rivals.study.{name}", 1234)
            files.add(replace(study).trials(place)[0].file)
    assert len(files) == 6


def test_errors_of_the_user_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "rivals.json")
    given = ["--output", output, "--competitor", "trainer", "--cells", str(tmp_path / "cells"), "--task"]
    assert command.main([*given, "sst3"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "unknown task 'sst3'" in told
    assert command.main([*given, "sst2", "--output", str(tmp_path / "rivals.md")]) == 2
    assert "rivals.md does not end in .json" in capsys.readouterr().err
    assert not (tmp_path / "cells").exists()
    with pytest.raises(SystemExit):
        command.main([*given, "sst2", "--seeds", "0"])
    assert "--seeds must be 1 or more, not 0" in capsys.readouterr().err


def test_a_task_without_classes() -> None:
    with pytest.raises(PolysenseError, match="a task of classes or choices"):
        task_rows("stsb")


def test_a_multiple_choice_has_no_rows_a_class(study: Study) -> None:
    wide = replace(study, tasks=["sst2", "csqa"], sizes=[FEW, SIZES["5%"]])
    assert [place.name for place in wide.places() if place.competitor.name == "trainer"] == [
        "sst2, 4 a class",
        "sst2, 5%",
        "csqa, 5%",
    ]
