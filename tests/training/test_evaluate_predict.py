from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from polysense.errors import PolysenseError
from polysense.tasks import TaskData
from polysense.training.evaluate import evaluate
from polysense.training.predict import Inputs, Predictor, read_inputs
from polysense.training.train import train
from tiny_runs import text_rows, write_rows

pytest_plugins = ("tiny_runs",)


def test_evaluate_scores_a_file_as_predictions_do(trained, tmp_path):
    rows = text_rows(15, seed=9)
    predicted = [p.label for p in Predictor.load(trained, batch_size=4).predict([row["text"] for row in rows])]
    right = sum(p == row["label"] for p, row in zip(predicted, rows, strict=True))
    results = evaluate(trained, file=write_rows(tmp_path / "x.jsonl", rows), batch_size=2, progress=False)
    assert results["scores"] == {"x.jsonl": pytest.approx(right / 15)}
    assert results["rows"] == {"x.jsonl": 15}
    turned = [{**row, "label": {"long": "short", "short": "long"}[row["label"]]} for row in rows]
    results = evaluate(trained, file=write_rows(tmp_path / "x.jsonl", turned), progress=False)
    assert results["scores"] == {"x.jsonl": pytest.approx(1 - right / 15)}


def test_evaluate_ranks_values(tmp_path, tiny):
    from scipy.stats import spearmanr

    rows = text_rows(15, seed=9)
    train(tmp_path / "m", label_column="value", **tiny)
    predicted = [p.label for p in Predictor.load(tmp_path / "m").predict([row["text"] for row in rows])]
    results = evaluate(tmp_path / "m", file=write_rows(tmp_path / "x.jsonl", rows), label_column="value")
    expected = spearmanr(predicted, [row["value"] for row in rows]).statistic
    assert results["metric"] == "spearman" and results["scores"]["x.jsonl"] == pytest.approx(expected)


def test_evaluate_on_a_task_scores_its_labelled_splits_but_train(tmp_path, tiny, tiny_task):
    own = {k: v for k, v in tiny.items() if k != "train_file"}
    results = train(tmp_path / "m", "tiny", **own)
    again = evaluate(tmp_path / "m", "tiny", progress=False)
    assert list(again["scores"]) == ["validation", "coda_test", "memory_color"]
    assert again["scores"] == results["scores"]
    one = evaluate(tmp_path / "m", "tiny", split="train", progress=False)
    assert list(one["scores"]) == ["train"] and one["rows"] == {"train": 24}
    with pytest.raises(PolysenseError, match=r"no labelled split 'dev'.*coda_test"):
        evaluate(tmp_path / "m", "tiny", split="dev")


def test_evaluate_needs_one_of_task_and_file_and_the_models_labels(trained, rows_file, tiny_task):
    for arguments in ({}, {"task": "tiny", "file": rows_file}):
        with pytest.raises(PolysenseError, match="either a task by name or a file"):
            evaluate(trained, **arguments)
    with pytest.raises(
        PolysenseError, match="was trained on the labels long, short; those of the task tiny are red, yellow"
    ):
        evaluate(trained, "tiny")


def test_predictions_do_not_depend_on_the_batch(trained):
    texts = ["the cat", "", "a yellow banana is on the mat", "dog"]
    predictor = Predictor.load(trained, batch_size=3)
    together = torch.stack(list(predictor.scores(texts)))
    alone = torch.stack([next(iter(predictor.scores([text]))) for text in texts])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert predictor.predict([]) == []
    assert predictor.predict("the cat") == predictor.predict(["the cat"])
    assert not predictor.model.training


def test_inputs_come_from_texts_or_a_file(rows_file: Path):
    rows = text_rows()
    assert read_inputs(["a\ud800", "b\0"]) == Inputs(["a\ufffd", "b\ufffd"])
    assert read_inputs(["a"], ["c\udfff"], ["x", "y"]) == Inputs(["a"], ["c\ufffd"], [["x", "y"]])
    assert read_inputs(None, file=rows_file, text_columns=["other"]) == Inputs([row["other"] for row in rows])
    both = read_inputs(None, file=rows_file, text_columns=["text", "other"], choices=["x", "y"])
    assert both == Inputs([row["text"] for row in rows], [row["other"] for row in rows], [["x", "y"]] * len(rows))
    for arguments in ((None, None, None), (["a"], None, rows_file), ([], None, None), (None, ["a"], rows_file)):
        text, pair, file = arguments
        with pytest.raises(PolysenseError, match="--text"):
            read_inputs(text, pair, file=file)


@pytest.fixture
def of_pairs(tmp_path: Path, tiny: dict[str, Any]) -> Path:
    """A model that was trained on pairs, with values for labels."""
    train(tmp_path / "pairs", text_columns=["text", "other"], label_column="value", **tiny)
    return tmp_path / "pairs"


def test_a_model_of_pairs_asks_for_both_texts(cli, of_pairs, rows_file, tiny_task, monkeypatch):
    """It would answer to single texts all the same, and score them."""
    needed = "this model was trained on pairs of texts: give the second texts, too (--text-pair"
    for given in (["--text", "a"], ["--text", "a", "--text", "b"], ["--file", rows_file]):
        assert cli("predict", of_pairs, *given).error == f"{needed}, or --text-column twice)"
    assert cli("explain", of_pairs, "a", "--no-html").error == f"{needed})"
    labelled = ["--file", rows_file, "--label-column", "value"]
    told = cli("evaluate", of_pairs, *labelled).error
    assert told == f"{of_pairs} was trained on pairs of texts: give --text-column twice"
    monkeypatch.setattr(type(tiny_task), "kind", "regression")
    told = cli("evaluate", of_pairs, "--task", "tiny").error
    assert told.endswith("on pairs of texts; the task tiny is one of single texts: give a task of pairs of texts")
    both = ["--text-column", "text", "--text-column", "other", "--json"]
    assert len(cli("predict", of_pairs, "--file", rows_file, *both).json["predictions"]) == 24
    assert cli("evaluate", of_pairs, *labelled, *both).json["rows"] == {"rows.jsonl": 24}
    found = cli("predict", of_pairs, "--text", "a", "--text-pair", "b", "--json").json["predictions"]
    assert [(row["text"], row["text_pair"]) for row in found] == [("a", "b")]
    assert cli("explain", of_pairs, "a", "--text-pair", "b", "--no-html", "--json").json["texts"] == ["a", "b"]
    predictor = Predictor.load(of_pairs)
    assert predictor.predict([]) == [] and predictor.has_pair is True
    with pytest.raises(PolysenseError, match="trained on pairs"):
        predictor.scores(["a"])


def test_a_model_of_single_texts_takes_no_pairs(cli, trained, rows_file, tiny_task, monkeypatch):
    refused = "this model was trained on single texts: leave the second texts out (--text-pair, or --text-column twice)"
    both = ["--file", rows_file, "--text-column", "text", "--text-column", "other"]
    for given in (["--text", "a", "--text-pair", "b"], both):
        assert cli("predict", trained, *given).error == refused
    assert cli("evaluate", trained, *both).error == f"{trained} was trained on single texts: give --text-column once"
    load = type(tiny_task).load

    def paired(task: Any, data_dir: Path | None = None) -> TaskData:
        data = load(task, data_dir)
        splits = {name: split.add_column("text_pair", split["text"][:]) for name, split in data.splits.items()}
        return replace(data, splits=splits, label_names=("long", "short"), has_pair=True)

    monkeypatch.setattr(type(tiny_task), "load", paired)
    told = cli("evaluate", trained, "--task", "tiny").error
    assert told.endswith("on single texts; the task tiny is one of pairs of texts: give a task of single texts")
    assert Predictor.load(trained).has_pair is False


def test_a_model_of_before_that_says_neither_takes_both(of_pairs):
    file = of_pairs / "config.json"
    config = json.loads(file.read_text())
    assert config.pop("has_pair") is True
    (of_pairs / "checksums.json").unlink()
    file.write_text(json.dumps(config))
    predictor = Predictor.load(of_pairs)
    assert predictor.has_pair is None
    assert len(predictor.predict(["a", "b"])) == len(predictor.predict(["a", "b"], ["c", "d"])) == 2


def test_a_split_is_of_a_task(trained, rows_file):
    with pytest.raises(PolysenseError, match="--split test is of a task"):
        evaluate(trained, file=rows_file, split="test")
