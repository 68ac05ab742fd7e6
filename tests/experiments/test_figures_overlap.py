"""MaCSC Eq. 15 and Figure 4, of arrays and of trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from datasets import Dataset

from figure_support import made_split, numbers
from polysense.errors import PolysenseError
from polysense.experiments.figures.inputs import ScoredSplit, model_names
from polysense.experiments.figures.outputs import correct_rows
from polysense.experiments.figures.overlap import Overlap, draw_overlap, overlap, overlap_matrix, overlap_of
from polysense.tasks import Task, TaskData
from polysense.tasks.registry import TASKS
from polysense.training.predict import Predictor
from polysense.training.train import train
from tiny_runs import Cli

pytest_plugins = ("tiny_runs", "figure_support")


def test_the_share_of_the_first_models_right_rows() -> None:
    first, second = np.array([1, 1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 0, 1, 0], bool)
    assert overlap(first, second) == pytest.approx(1 / 4)
    assert overlap(second, first) == pytest.approx(1 / 2)
    assert np.isnan(overlap(np.zeros(6, bool), first))
    with pytest.raises(PolysenseError, match="the same rows"):
        overlap(first, second[:5])


def test_the_matrix_against_sets() -> None:
    random = np.random.default_rng(0)
    correct = {name: random.random(50) < share for name, share in {"a": 0.9, "b": 0.5, "c": 0.2}.items()}
    sets = [set(np.flatnonzero(rows).tolist()) for rows in correct.values()]
    expected = [[len(one & other) / len(one) for other in sets] for one in sets]
    assert overlap_matrix(correct) == pytest.approx(np.array(expected))


def test_a_model_that_is_never_right_has_dashes() -> None:
    correct = {"one": np.array([True, False, True]), "none": np.zeros(3, bool)}
    result = Overlap(("one", "none"), overlap_matrix(correct), (2, 0), made_split([0, 1, 0], ("x", "y")))
    assert result.to_dict()["overlap"] == {"one": {"one": 1.0, "none": 0.0}, "none": {"one": None, "none": None}}
    drawn = [text.get_text() for text in draw_overlap(result).axes[0].texts]
    assert drawn == ["1.00", "0.00", "–", "–"]


def test_of_trained_models(figure: Cli, two: list[Path], tiny_task: Task, tmp_path: Path) -> None:
    result = figure(
        "figure", "overlap", *two, "--task", "tiny", "--split", "train", "--output", tmp_path / "o.png", "--json"
    ).json
    assert result == numbers(tmp_path / "o.png")
    assert result["rows"] == 24 and result["notes"] == ["tiny: made up"]
    split = tiny_task.load().splits["train"]
    names = tiny_task.label_names
    right = {}
    for folder in two:
        predictions = Predictor.load(folder).predict(list(split["text"]))
        right[folder.name] = {i for i, p in enumerate(predictions) if p.label == names[split["label"][i]]}
    assert result["correct"] == {name: len(rows) for name, rows in right.items()}
    for one, rows in right.items():
        for other in right:
            share = len(rows & right[other]) / len(rows) if rows else None
            assert result["overlap"][one][other] == (pytest.approx(share, abs=1e-4) if rows else None)


def test_tables_and_names(figure: Cli, two: list[Path], tiny_task: Task, tmp_path: Path) -> None:
    names = ["--name", "R$o$BERTa", "--name", "[ours]"]
    shown = figure("figure", "overlap", *two, "--task", "tiny", "--output", tmp_path / "o.svg", *names)
    assert shown.status == 0 and "[ours]" in shown.out and "R$o$BERTa" in shown.out and "o.svg" in shown.out
    assert set(numbers(tmp_path / "o.svg")["overlap"]) == {"R$o$BERTa", "[ours]"}


class TinySpans(Task):
    """Where is the bird?"""

    name = "tiny-spans"
    kind = "span"
    metrics: ClassVar[tuple[str, ...]] = ("exact_match", "f1")

    def load(self, data_dir: Path | None = None) -> TaskData:
        contexts = ["the red bird sits", "a yellow bird sings", "the dog sits on the mat", "a cat"] * 4
        answers = [["red bird"], ["yellow bird"], [], []] * 4
        rows = Dataset.from_dict(
            {
                "id": [str(i) for i in range(len(contexts))],
                "text": ["a bird"] * len(contexts),
                "text_pair": contexts,
                "answers": answers,
                "starts": [[c.index(a[0])] if a else [] for c, a in zip(contexts, answers, strict=True)],
            }
        )
        return self.task_data({"train": rows, "validation": rows})


def test_answers_are_right_where_they_are_exact(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "tiny-spans", TinySpans())
    given = {name: value for name, value in tiny.items() if name not in ("train_file", "epochs")}
    results = train(tmp_path / "m", "tiny-spans", **given, epochs=3, learning_rate=1e-2)
    data = TinySpans().load()
    predictor = Predictor.load(tmp_path / "m", batch_size=3)
    right = correct_rows(predictor, ScoredSplit(data, "validation", data.splits["validation"]))
    assert right.mean() == pytest.approx(results["scores"]["validation/exact_match"])
    found = predictor.predict(list(data.splits["validation"]["text"]), list(data.splits["validation"]["text_pair"]))
    truth = [answers[0] if answers else "" for answers in data.splits["validation"]["answers"][:]]
    assert right.tolist() == [p.label == answer for p, answer in zip(found, truth, strict=True)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "stsb"], "task stsb is regression; this figure is of tasks of classification or choice or span"),
        (["--task", "tinny"], r"unknown task 'tinny' \(did you mean 'tiny'\?\)"),
        (["--task", "tiny", "--split", "test"], "task tiny has no split 'test'.*: one of train, validation"),
        (["--task", "tiny", "--split", "blank"], "split 'blank' of tiny has no labels: take one of train"),
        (["--task", "tiny", "--split", "empty"], "split 'empty' of tiny has no rows"),
        (["--task", "tiny", "--name", "a"], "1 names for 2 models"),
        (["--task", "tiny", "--name", "a", "--name", "a"], "--name a is given twice"),
        (["--task", "tiny", "--output", "o.gif"], "o.gif: figures are .png or .svg"),
    ],
)
def test_bad_input(
    figure: Cli, two: list[Path], tiny_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    whole = tiny_task.load()
    whole.splits["blank"] = whole.splits["train"].remove_columns("label")
    whole.splits["empty"] = whole.splits["train"].select([])
    monkeypatch.setattr(tiny_task, "load", lambda _: whole, raising=False)
    output = [] if "--output" in arguments else ["--output", "o.png"]
    with pytest.raises(PolysenseError, match=message):
        raise PolysenseError(figure("figure", "overlap", *two, *arguments, *output).error)
    assert not list(tmp_path.glob("o.*"))


def test_bad_models(two: list[Path], tiny_task: Task, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(PolysenseError, match="two models or more"):
        overlap_of(two[:1], "tiny")
    with pytest.raises(PolysenseError, match="is given twice"):
        overlap_of([two[0], two[0].parent / "." / "text"], "tiny")
    with pytest.raises(PolysenseError, match="was trained on the labels"):
        overlap_of([two[0], trained], "tiny", progress=False)
    with pytest.raises(PolysenseError, match="is no trained Polysense model"):
        overlap_of([two[0], tmp_path], "tiny", progress=False)


def test_models_are_named_by_what_tells_them_apart(tmp_path: Path) -> None:
    assert model_names([tmp_path / "a" / "model", tmp_path / "b" / "model"]) == ["a/model", "b/model"]
    assert model_names([tmp_path / "a" / "x", tmp_path / "b" / "y"]) == ["x", "y"]
    assert model_names([Path("a"), Path("b")], ["one", "two"]) == ["one", "two"]


def test_no_foreign_file_is_written_over(figure: Cli, two: list[Path], tiny_task: Task, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    results.write_bytes((two[0] / "results.json").read_bytes())
    failed = figure("figure", "overlap", *two, "--task", "tiny", "--output", tmp_path / "results.png")
    assert "results.json holds something else" in failed.error
    assert results.read_bytes() == (two[0] / "results.json").read_bytes()
    assert not (tmp_path / "results.png").exists()
    for _ in range(2):  # a figure's own numbers may be replaced
        assert figure("figure", "overlap", *two, "--task", "tiny", "--output", tmp_path / "new" / "o.png").status == 0
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["o.json", "o.png"]
    (tmp_path / "folder.png").mkdir()
    failed = figure("figure", "overlap", *two, "--task", "tiny", "--output", tmp_path / "folder.png")
    assert "folder.png is a folder" in failed.error
