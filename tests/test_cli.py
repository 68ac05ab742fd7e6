from __future__ import annotations

import importlib
import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

import polysense
from polysense.cli.options import parse_options
from polysense.errors import PolysenseError
from polysense.experiments.grid import Grid, Run
from polysense.models import PolysenseForSequenceClassification
from polysense.training.predict import Predictor
from tiny_runs import TinyTask, text_rows, write_rows

pytest_plugins = ("tiny_runs",)


def test_train_evaluate_predict_in_json(cli, tmp_path, flags, rows_file):
    model = tmp_path / "model"
    trained = cli("train", "--output-dir", model, *flags, "--seed", 1, "--json").json
    assert {"task", "method", "modalities", "metric", "scores", "rows", "seconds", "settings"} <= trained.keys()
    assert trained["settings"]["seed"] == 1 and trained == json.loads((model / "results.json").read_text())

    scored = cli("evaluate", model, "--file", rows_file, "--json").json
    rows = text_rows()
    predicted = [p.label for p in Predictor.load(model).predict([row["text"] for row in rows])]
    right = sum(p == row["label"] for p, row in zip(predicted, rows, strict=True)) / len(rows)
    assert scored == {
        "model": str(model),
        "data": str(rows_file),
        "metric": "accuracy",
        "metrics": ["accuracy"],
        "scores": {"rows.jsonl": pytest.approx(right)},
        "rows": {"rows.jsonl": 24},
        "notes": [],
    }

    found = cli("predict", model, "--text", "the cat 😀", "--text", "", "--json").json
    assert found["model"] == str(model) and [row["text"] for row in found["predictions"]] == ["the cat 😀", ""]
    for row in found["predictions"]:
        assert set(row) == {"text", "prediction", "probabilities"}
        assert row["prediction"] == max(row["probabilities"], key=row["probabilities"].get)
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_tables_for_people(cli, tmp_path, flags, trained, rows_file):
    shown = cli("train", "--output-dir", tmp_path / "[m]", *flags)
    assert shown.status == 0
    for part in ("rows, macsc, text+image", "validation", "accuracy", "[m]"):
        assert part in shown.out
    shown = cli("evaluate", trained, "--file", rows_file)
    assert shown.status == 0 and "rows.jsonl" in shown.out and "24" in shown.out
    shown = cli("predict", trained, "--text", "the cat")
    assert shown.status == 0 and "the cat" in shown.out and ("long" in shown.out or "short" in shown.out)


@pytest.mark.parametrize("text", ["[/b] odd", "[red]odd[/red]", "[link=x]odd", "odd \\[b]"])
def test_texts_are_no_markup(cli, trained, text):
    shown = cli("predict", trained, "--text", text)
    assert shown.status == 0 and text in shown.out


def test_no_text_commands_the_terminal(cli, trained, tmp_path, caplog):
    """Of labels, texts, errors and warnings."""
    folder = shutil.copytree(trained, tmp_path / "model")
    (folder / "checksums.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {number: f"{label}\x1b[31m" for number, label in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    shown = cli("predict", folder, "--text", "the cat\x1b]0;x\x07")
    assert shown.status == 0 and "\ufffd[31m" in shown.out and "the cat\ufffd]0;x\ufffd" in shown.out
    assert "\x1b" not in shown.out and "\x07" not in shown.out
    assert (
        len({len(line) for line in shown.out.splitlines() if line}) == 1
    )  # the table's lines are as long as each other
    assert (
        cli("predict", folder, "--text", "the cat\x1b]0;x", "--json")
        .json["predictions"][0]["text"]
        .endswith("\x1b]0;x")
    )
    told = cli("predict", folder, "--text", "the cat\x9b31m", "--json")
    assert "\x9b" not in told.out and told.json["predictions"][0]["text"] == "the cat\x9b31m"
    assert "no\ufffd[2Jmodel" in cli("predict", tmp_path / "no\x1b[2Jmodel", "--text", "x").error
    logging.getLogger("polysense").warning("left out: %s", "a\x1b[31m")
    assert caplog.messages[-1] == "left out: a\ufffd[31m"


def test_predictions_for_a_file(cli, tmp_path, trained, rows_file):
    output = tmp_path / "new" / "predictions.jsonl"
    found = cli("predict", trained, "--file", rows_file, "--text-column", "other", "--output", output, "--json").json
    written = [json.loads(line) for line in output.read_text().splitlines()]
    assert written == found["predictions"]
    assert [row["text"] for row in written] == [row["other"] for row in text_rows()]
    many = write_rows(tmp_path / "many.jsonl", [{"text": f"cat {i}"} for i in range(60)])
    assert "and 10 more" in cli("predict", trained, "--file", many).out


def test_choices_and_options_of_a_method(cli, tmp_path, flags):
    swap = ["--combination", "concatenation", "--regulariser", "none", "--option", "heads=4", "--option", "stack=joint"]
    results = cli("train", "--output-dir", tmp_path / "m", *flags, *swap, "--option", "residual=false", "--json").json
    assert results["method"] == "macsc(combination=concatenation,regulariser=none)"
    choices = results["method_choices"]
    assert (choices["interaction"], choices["combination"], choices["regulariser"]) == (
        "cross_attention", "concatenation", "none")  # fmt: skip
    assert choices["options"] == {"interaction": {"heads": 4, "stack": "joint", "residual": False}}
    model = PolysenseForSequenceClassification.from_pretrained(tmp_path / "m")
    assert (model.interaction.heads, model.interaction.stack, model.interaction.residual) == (4, "joint", False)
    assert type(model.combination).__name__ == "Concatenation" and model.regulariser is None


def test_settings_of_a_run(cli, tmp_path, flags):
    given = {"learning-rate": 2e-4, "method-learning-rate": 3e-3, "weight-decay": 0.2, "dropout": 0.3,
             "max-length": 12, "k": 2, "seed": 9}  # fmt: skip
    arguments = [part for name, value in given.items() for part in (f"--{name}", value)]
    results = cli("train", "--output-dir", tmp_path / "m", *flags, *arguments, "--train-rows", 9, "--json").json
    for name, value in given.items():
        assert results["settings"][name.replace("-", "_")] == value
    assert results["settings"]["epochs"] == 1 and results["settings"]["batch_size"] == 8
    assert results["rows"]["train"] == 9
    processor = Predictor.load(tmp_path / "m").processor
    assert processor.max_length == 12 and processor.extractors["image"].reading.k == 2


def test_assignments():
    assert parse_options(["a=4", "b=true", "c=x", "d=0.5", "e=a=b", "f="]) == {
        "a": 4, "b": True, "c": "x", "d": 0.5, "e": "a=b", "f": ""}  # fmt: skip
    for wrong in ("a", "=4"):
        with pytest.raises(PolysenseError, match="NAME=VALUE"):
            parse_options([wrong])


@pytest.fixture
def compare(cli, tmp_path, bert_folder, clip_folder, tiny_task):
    def run(*extra: object, runs: tuple[str, ...] = ("text", "macsc", "macsc,regulariser=none")) -> Any:
        flags = [part for text in runs for part in ("--run", text)]
        return cli("compare", "--output", tmp_path / "out" / "x.json", "--task", "tiny", *flags, "--seeds", 2,
                   "--tower", f"image={clip_folder}", "--backbone", bert_folder, "--cells", tmp_path / "cells",
                   "--setting", "batch_size=12", "--train-rows", 12, *extra)  # fmt: skip

    return run


def test_compare_writes_its_numbers_and_goes_on_from_its_cells(compare, tmp_path, monkeypatch):
    result = compare("--json").json
    saved = json.loads((tmp_path / "out" / "x.json").read_text())
    assert {"command", "date", "machine", "rows"} <= saved.keys()
    assert saved["command"].startswith("polysense compare --output ") and "--run 'macsc" not in saved["command"]
    assert result == {name: saved[name] for name in ("averages", "rows", "tests", "against_best")}
    methods = ("text", "macsc", "macsc(regulariser=none)")
    assert [row["method"] for row in saved["rows"][::3]] == list(methods)
    for row in saved["rows"]:
        assert {"task", "method", "modalities", "metric", "scores", "mean", "std"} <= row.keys()
        assert len(row["scores"]) == 2 and all(0 <= score <= 100 for score in row["scores"])
        assert all(abs(score / 10 - round(score / 10)) < 1e-6 for score in row["scores"])  # points, of ten rows
    assert max(row["mean"] for row in saved["rows"]) > 1

    monkeypatch.setattr("polysense.experiments.grid.fine_tune", lambda *_, **__: pytest.fail("trained again"))
    assert compare("--json").json == result
    shown = compare()
    assert "6 runs" in shown.err and "search" not in shown.err
    assert shown.status == 0 and "macsc" in shown.out and "against" in shown.out and "±" in shown.out


def test_compare_trains_what_another_setting_asks(compare, monkeypatch):
    assert compare(runs=("text",)).status == 0

    def trained(*_: Any, **__: Any) -> None:
        raise PolysenseError("it trains")

    monkeypatch.setattr("polysense.experiments.grid.fine_tune", trained)
    assert compare(runs=("text",)).status == 0
    assert "it trains" in compare("--setting", "epochs=2", runs=("text",)).error


def test_demo(cli, tmp_path, monkeypatch, bert_folder, clip_folder):
    def grid(runs: list[Run], *arguments: Any) -> Grid:
        runs = [replace(run, towers=dict.fromkeys(run.towers, str(clip_folder))) for run in runs]
        return Grid(runs, *arguments, backbone=str(bert_folder))

    module = importlib.import_module("polysense.experiments.demo")
    monkeypatch.setattr(module, "Grid", grid)
    monkeypatch.setattr(module, "get_task", lambda _: TinyTask())
    folder = tmp_path / "demo"
    report = cli("demo", "--output-dir", folder, "--seeds", 1, "--json").json
    assert [row["method"] for row in report["rows"]] == ["text", "macsc"]
    for row in report["rows"]:
        assert set(row) == {"method", "modalities", "seeds", "coda_test", "memory_color", "seconds"}
    assert {"demo.png", "predictions.jsonl", "model"} <= {file.name for file in folder.iterdir()}
    monkeypatch.setattr(module, "demo", lambda *_: {**report, "rows": [{**report["rows"][0], "memory_color": []}]})
    shown = cli("demo", "--output-dir", folder)
    assert shown.status == 0 and "not here" in shown.out and "made up" in shown.out


def program(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "polysense", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **settings)


def test_the_program_from_outside(trained, rows_file):
    """With the streams apart, as a shell has them; an argument may hold bytes that are no UTF-8."""
    done = program("predict", trained, "--text", "the cat", "--text", "odd \udcff", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["text"] for row in json.loads(done.stdout)["predictions"]] == ["the cat", "odd �"]
    assert done.stdout.count("\n") == 1


def test_the_embedded_model_and_the_shipped_tower(cli, tmp_path):
    """What the defaults name is there and works."""
    rows = write_rows(tmp_path / "rows.jsonl", text_rows(12))
    results = cli("train", "--output-dir", tmp_path / "m", "--train-file", rows, "--epochs", 1, "--json").json
    assert results["backbone"] == "minilm" and results["modalities"] == ["text", "image"]
    assert cli("predict", tmp_path / "m", "--text", "a banana", "--json").json["predictions"][0]["prediction"]
    assert [file.name for file in tmp_path.iterdir() if file.name != "rows.jsonl"] == ["m"]


def test_the_version(cli):
    outcome = cli("--version")
    assert (outcome.status, outcome.out) == (0, f"polysense {polysense.__version__}\n")


def test_no_arguments_show_the_help(cli):
    shown = cli()
    assert shown.status == 2 and "Traceback" not in shown.err and "error:" not in shown.err
    for verb in ("train", "evaluate", "predict", "align", "demo", "compare", "explain"):
        assert verb in shown.out + shown.err
