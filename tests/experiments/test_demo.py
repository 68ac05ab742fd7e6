from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from polysense.errors import PolysenseError
from polysense.experiments.demo import demo
from polysense.experiments.grid import Grid, Run
from polysense.tasks import TaskData
from polysense.training.predict import Predictor
from tiny_runs import COLORS, TinyTask, hashes

pytest_plugins = ("tiny_runs",)
demo_module = sys.modules["polysense.experiments.demo"]


@pytest.fixture
def tiny_demo(monkeypatch: pytest.MonkeyPatch, bert_folder: Path, clip_folder: Path) -> None:
    """The demonstration on the task "tiny" and tiny models."""

    def grid(runs: list[Run], *arguments: Any) -> Grid:
        runs = [replace(run, towers=dict.fromkeys(run.towers, str(clip_folder))) for run in runs]
        return Grid(runs, *arguments, backbone=str(bert_folder))

    monkeypatch.setattr(demo_module, "Grid", grid)
    monkeypatch.setattr(demo_module, "get_task", lambda _: TinyTask())


def test_the_report_and_its_files(tmp_path, tiny_demo):
    folder = tmp_path / "demo"
    report = demo(folder, seeds=(0, 1))
    assert [(row["method"], row["modalities"]) for row in report["rows"]] == [
        ("text", ["text"]),
        ("macsc", ["text", "image"]),
    ]
    for row in report["rows"]:
        assert set(row) == {"method", "modalities", "seeds", "coda_test", "memory_color", "seconds"}
        assert row["seeds"] == [0, 1] and row["seconds"] > 0
        assert all(len(row[test]) == 2 and all(0 <= x <= 1 for x in row[test]) for test in demo_module.TESTS)
    assert report["notes"] == ["tiny: made up"]
    assert json.loads((folder / "results.json").read_text()) == report
    assert {file.name for file in folder.iterdir()} == {
        *("model", "predictions.jsonl", "demo.png", "results.json", "checksums.json")
    }
    assert [file.name for file in tmp_path.iterdir()] == ["demo"]
    with Image.open(folder / "demo.png") as picture:
        assert picture.width > 500 and len(set(picture.convert("L").tobytes())) > 50

    predictions = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [row["test"] for row in predictions] == ["coda_test"] * 10 + ["memory_color"] * 10
    texts = [row["text"] for row in predictions]
    saved = Predictor.load(folder / "model").predict(texts)
    assert [p.label for p in saved] == [row["prediction"] for row in predictions]
    best = next(row for row in report["rows"] if row["method"] == report["best"])
    right = sum(row["label"] == row["prediction"] for row in predictions[:10]) / 10
    assert right in [pytest.approx(score) for score in best["coda_test"]]
    assert {row["label"] for row in predictions} <= set(COLORS)


def test_prototypes_stand_beside_the_predictions_of_macsc(tmp_path, tiny_demo, monkeypatch):
    monkeypatch.setattr(demo_module, "METHODS", ("macsc",))
    demo(tmp_path / "demo", seeds=(0,))
    first = json.loads((tmp_path / "demo" / "predictions.jsonl").read_text().splitlines()[0])
    assert 1 <= len(first["prototypes"]["image"]) <= 4 and all(first["prototypes"]["image"])


def test_a_demonstration_is_replaced_and_nothing_else_is(tmp_path, tiny_demo, monkeypatch):
    monkeypatch.setattr(demo_module, "METHODS", ("text",))
    folder = tmp_path / "demo"
    demo(folder, seeds=(0,))
    before = hashes(folder)
    demo(folder, seeds=(1,))
    assert hashes(folder) != before
    with pytest.raises(PolysenseError, match="something else"):
        demo(folder / "model")  # a trained model is no demonstration
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letter").write_text("")
    with pytest.raises(PolysenseError, match="something else"):
        demo(foreign)
    assert [file.name for file in foreign.iterdir()] == ["letter"]


def test_without_memory_color(tmp_path, tiny_demo, monkeypatch):
    class NoMemoryColor(TinyTask):
        def load(self, data_dir: Path | None = None) -> TaskData:
            data = super().load(data_dir)
            return replace(data, splits={k: v for k, v in data.splits.items() if k != "memory_color"})

    monkeypatch.setattr(demo_module, "get_task", lambda _: NoMemoryColor())
    monkeypatch.setattr(demo_module, "METHODS", ("text",))
    report = demo(tmp_path / "demo", seeds=(0,))
    assert [row["memory_color"] for row in report["rows"]] == [[]]
    lines = (tmp_path / "demo" / "predictions.jsonl").read_text().splitlines()
    assert {json.loads(line)["test"] for line in lines} == {"coda_test"}
