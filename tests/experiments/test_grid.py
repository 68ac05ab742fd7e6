from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.experiments.grid import Grid, Run, source_digest
from polysense.methods.catalog import method_config
from polysense.training.settings import TrainingSettings
from support import save_clip

pytest_plugins = ("tiny_runs",)


def test_a_run_is_a_method_with_what_is_swapped():
    run = Run.parse("macsc,combination=concatenation,heads=4,stack=joint,residual=false,image=noise")
    assert run.name == "macsc(combination=concatenation,heads=4,stack=joint,residual=false,image=noise)"
    assert run.method.combination == "concatenation" and run.method.interaction == "cross_attention"
    assert run.method.options == {"interaction": {"heads": 4, "stack": "joint", "residual": False}}
    assert run.towers == {"image": "noise"} and run.modalities == ["text", "image"]


def test_the_towers_of_a_run():
    common = {"audio": "noise", "image": "image"}
    assert Run.parse("macsc").towers == {"image": "image"}
    assert Run.parse("macsc", common).towers == common
    assert Run.parse("macsc,video=encoder:minilm", common).towers == {"video": "encoder:minilm"}
    assert Run.parse("text", common).towers == {} and Run.parse("text", common).modalities == ["text"]
    assert Run.parse("macsc").name == "macsc" and Run.parse("macsc").method == method_config("macsc")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("masc", ["masc", "macsc"]),
        ("macsc,heads", ["macsc,heads", "NAME=VALUE"]),
        ("macsc,smell=noise", ["smell", "heads"]),
        ("macsc,interaction=foo", ["foo", "cross_attention"]),
        ("macsc,heads=abc", ["heads", "abc"]),
        ("text,heads=2", ["heads"]),
    ],
)
def test_a_bad_run_is_named(text: str, parts: list[str]):
    with pytest.raises(PolysenseError) as caught:
        Run.parse(text)
    for part in parts:
        assert part in str(caught.value)


@pytest.fixture
def grid(tmp_path: Path, tiny: dict[str, Any], clip_folder: Path) -> Grid:
    runs = [Run.parse("text"), Run.parse("macsc", {"image": str(clip_folder)})]
    return Grid(runs, ["tiny"], [0, 1], {}, 16, tiny["backbone"], tmp_path / "cells")


def test_rows_by_task_split_and_method(grid, tiny_task):
    rows = grid.rows()
    splits = ["validation", "coda_test", "memory_color"]
    assert [(row.task, row.method) for row in rows] == [
        (f"tiny/{split}", method) for method in ("text", "macsc") for split in splits
    ]
    assert all(len(row.scores) == 2 and row.seeds == [0, 1] and row.seconds > 0 for row in rows)
    assert all(0 <= score <= 100 for row in rows for score in row.scores) and max(r.mean for r in rows) > 1
    # By hand, one cell.
    data, run = tiny_task.load(), grid.runs[1]
    cell, _ = grid.train(data, run, TrainingSettings.for_task(tiny_task.defaults, seed=1))
    assert [row.scores[1] for row in rows[3:]] == [round(100 * cell["scores"][split], 2) for split in splits]


def test_finished_cells_are_not_trained_again(grid, tiny_task, monkeypatch):
    rows = grid.rows()
    trained: list[int] = []
    run = Grid.train

    def note(self: Grid, data: Any, which: Run, settings: TrainingSettings) -> Any:
        trained.append(settings.seed)
        return run(self, data, which, settings)

    monkeypatch.setattr(Grid, "train", note)
    assert replace(grid, _processors={}).rows() == rows
    assert trained == []
    next(grid.cells.glob("*-macsc-1-*")).unlink()
    assert [row.scores for row in grid.rows()] == [row.scores for row in rows]
    assert trained == [1]
    replace(grid, seeds=[0, 1, 2]).rows()
    assert trained == [1, 2, 2]


def test_an_interrupted_cell_leaves_nothing_behind(grid, tiny_task, monkeypatch):
    monkeypatch.setattr("polysense.experiments.grid.evaluate_splits", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        grid.rows()
    assert not grid.cells.exists() or list(grid.cells.iterdir()) == []


def test_a_cells_key_is_everything_that_counts(grid, tiny_task, tmp_path):
    data, run = tiny_task.load(), grid.runs[1]
    settings = TrainingSettings.for_task(tiny_task.defaults)
    key = grid._key(data, run, settings)
    assert key == grid._key(tiny_task.load(), Run.parse("macsc", run.towers), settings)
    others = [
        grid._key(data, run, replace(settings, **{name: value}))
        for name, value in {
            "learning_rate": 2e-3, "method_learning_rate": 1e-3, "batch_size": 15, "epochs": 2, "weight_decay": 0.1,
            "warmup": 0.1, "max_length": 64, "k": 3, "dropout": 0.2, "seed": 1,
        }.items()
    ]  # fmt: skip
    other_tower = save_clip(tmp_path / "clip", seed=1)
    runs = ("mpb", "macsc,heads=4", "macsc,regulariser=none", f"macsc,image={other_tower}")
    others += [grid._key(data, Run.parse(text, run.towers), settings) for text in runs]
    others += [replace(grid, train_rows=5)._key(data, run, settings)]
    everything, more = (replace(grid, train_rows=rows)._key(data, run, settings) for rows in (None, 25))
    assert everything == more  # a task of 24 rows has no more
    others += [replace(grid, backbone="minilm")._key(data, run, settings)]
    for name, split in data.splits.items():
        labels = [1 - split["label"][0], *split["label"][1:]]
        changed = split.remove_columns("label").add_column("label", labels)
        others.append(grid._key(replace(data, splits={**data.splits, name: changed}), run, settings))
    assert len({key, *others}) == 1 + len(others)


def test_another_tower_in_the_same_place_is_another_cell(grid, tiny_task, tmp_path):
    data, settings = tiny_task.load(), TrainingSettings()
    keys = []
    for seed in (0, 1):
        save_clip(tmp_path / "clip", seed=seed)
        keys.append(grid._key(data, Run.parse("macsc", {"image": str(tmp_path / "clip")}), settings))
    assert keys[0] != keys[1]


def test_a_mistake_shows_before_the_first_run(grid, tiny_task, monkeypatch):
    monkeypatch.setattr(Grid, "train", lambda *_: pytest.fail("trained"))
    with pytest.raises(PolysenseError, match="unknown task 'tini'"):
        replace(grid, tasks=["tiny", "tini"]).rows()
    with pytest.raises(PolysenseError, match="unknown setting 'epoch'"):
        replace(grid, settings={"epoch": 1}).rows()


def test_cells_are_plain_json(grid, tiny_task):
    data, settings = tiny_task.load(), tiny_task.defaults
    cell = grid.cell(data, settings, grid.runs[0], 0)
    file = next(grid.cells.iterdir())
    assert json.loads(file.read_text()) == cell and set(cell) == {"scores", "seconds", "weights", "e_steps"}
    cell["scores"]["validation"] = 0.123
    file.write_text(json.dumps(cell))
    assert grid.cell(data, settings, grid.runs[0], 0) == cell


def test_methods_on_the_same_towers_share_a_processor_only_if_they_read_the_same(grid):
    towers = grid.runs[1].towers
    settings = TrainingSettings()
    macsc, mpb, mase = (grid.processor(Run.parse(name, towers), settings) for name in ("macsc", "mpb", "mase"))
    assert macsc is mpb
    assert (macsc.graphs, mase.graphs is None) == (None, False)


def test_another_parser_is_another_cell(grid, tiny_task, monkeypatch):
    data, settings = tiny_task.load(), TrainingSettings()
    runs = [Run.parse(name, grid.runs[1].towers) for name in ("macsc", "mase")]
    before = [grid._key(data, run, settings) for run in runs]
    monkeypatch.setattr("polysense.scene_graphs.parser.VERSION", 0)
    after = [grid._key(data, run, settings) for run in runs]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_any_module_that_a_run_uses_is_in_its_key(monkeypatch, tmp_path):
    import polysense

    (tmp_path / "scene_graphs").mkdir()
    (tmp_path / "explain").mkdir()
    (tmp_path / "scene_graphs" / "words.py").write_text("1")
    monkeypatch.setattr(polysense, "__file__", str(tmp_path / "__init__.py"))
    digests = []
    for name, content in (("", ""), ("explain/page.py", "2"), ("scene_graphs/words.py", "2"), ("text.py", "2")):
        if name:
            (tmp_path / name).write_text(content)
        source_digest.cache_clear()
        digests.append(source_digest())
    source_digest.cache_clear()
    assert digests[0] == digests[1] != digests[2] != digests[3]
