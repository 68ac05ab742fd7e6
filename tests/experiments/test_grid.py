from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from grid_support import fresh, names
from polysense.errors import PolysenseError
from polysense.experiments.cells import source_digest
from polysense.experiments.grid import Grid, notes_of
from polysense.experiments.runs import Run
from polysense.tasks import TaskData
from polysense.training.settings import TrainingSettings
from support import save_clip
from tiny_runs import TinyTask

pytest_plugins = ("tiny_runs", "grid_support")

SPLITS = ["validation", "coda_test", "memory_color"]


def test_rows_by_task_split_and_method(grid, tiny_task):
    rows = grid.rows()
    assert [(row.task, row.split, row.method, row.baseline) for row in rows] == [
        (f"tiny/{split}", split, method, method == "text") for method in ("text", "macsc") for split in SPLITS
    ]
    assert all(len(row.scores) == 2 and row.seeds == [0, 1] and row.seconds > 0 for row in rows)
    assert all(0 <= score <= 100 for row in rows for score in row.scores) and max(r.mean for r in rows) > 1
    assert grid.notes == ["tiny: made up", "tiny: trained on 16 of 24 rows, drawn by the seed"]
    # By hand, one cell.
    data, run = tiny_task.load(), grid.runs[1]
    cell, _ = grid.train(data, run, TrainingSettings.for_task(tiny_task.defaults, seed=1))
    assert [row.scores[1] for row in rows[3:]] == [round(100 * cell["scores"][split], 2) for split in SPLITS]


def test_finished_cells_are_not_trained_again(grid, trained_seeds):
    rows = grid.rows()
    assert trained_seeds == [0, 1, 0, 1]
    trained_seeds.clear()
    assert fresh(grid).rows() == rows
    assert trained_seeds == []
    next(grid.cells.glob("*-macsc-1-*.json")).unlink()
    assert [row.scores for row in fresh(grid).rows()] == [row.scores for row in rows]
    assert trained_seeds == [1]
    fresh(grid, seeds=[0, 1, 2]).rows()
    assert trained_seeds == [1, 2, 2]


def test_a_run_that_stops_leaves_nothing_behind(grid, monkeypatch):
    monkeypatch.setattr("polysense.experiments.grid.score_splits", lambda *_: 1 / 0)
    with pytest.raises(PolysenseError, match=r"tiny text seed 0: ZeroDivisionError: .*4 of 4 runs failed"):
        grid.rows()
    assert list(grid.cells.glob("*.*")) == []


def test_what_is_given_twice_is_refused(grid):
    for again in ({"runs": [grid.runs[0], grid.runs[0]]}, {"tasks": ["tiny", "tiny"]}):
        with pytest.raises(PolysenseError, match="is given twice"):
            replace(grid, **again).plan()


def test_a_run_that_fails_is_told_when_the_others_are_done(grid, monkeypatch, trained_seeds):
    run = Grid.train

    def fail(self: Grid, data: Any, which: Run, settings: TrainingSettings, *more: Any) -> Any:
        if (which.name, settings.seed) == ("text", 1):
            raise PolysenseError("training diverged")
        return run(self, data, which, settings, *more)

    monkeypatch.setattr(Grid, "train", fail)
    with pytest.raises(PolysenseError, match=r"tiny text seed 1: training diverged \(1 of 4 runs failed, the others"):
        grid.rows()
    assert trained_seeds == [0, 0, 1] and len(list(grid.cells.glob("*.json"))) == 3


def test_a_cells_name_is_everything_that_is_asked(grid, tiny_task, tmp_path, monkeypatch):
    grid = replace(grid, runs=grid.runs[1:], seeds=[0])
    towers = grid.runs[0].towers
    before = names(grid)
    assert before == names(grid, runs=[Run.parse("macsc", towers)], accept_older=True)
    others = [
        names(grid, settings={name: value})
        for name, value in {
            "learning_rate": 2e-3, "method_learning_rate": 1e-3, "batch_size": 15, "epochs": 2, "weight_decay": 0.1,
            "warmup": 0.1, "max_length": 64, "k": 3, "dropout": 0.2, "selection": "pooled",
        }.items()
    ]  # fmt: skip
    other_tower = save_clip(tmp_path / "clip", seed=1)
    runs = ("mpb", "macsc,heads=4", "macsc,regulariser=none", f"macsc,image={other_tower}", "macsc,epochs=7")
    others += [names(grid, runs=[Run.parse(text, towers)]) for text in runs]
    others += [names(grid, seeds=[1]), names(grid, train_rows=5), names(grid, eval_rows=5), names(grid, train_rows=25)]
    assert names(grid, train_rows=25) == names(grid, train_rows=None)  # a task of 24 rows has no more
    others += [names(grid, train_rows=None, train_share=0.5), names(grid, train_rows=None, shots=2)]
    others += [names(grid, backbone="minilm"), names(grid, splits=["coda_test"])]
    data = tiny_task.load()
    for name, split in data.splits.items():
        labels = [1 - split["label"][0], *split["label"][1:]]
        changed = split.remove_columns("label").add_column("label", labels)
        other = replace(data, splits={**data.splits, name: changed})
        monkeypatch.setattr(TinyTask, "load", lambda _, other=other: other)
        others.append(names(grid))
    assert len({before[0], *(name for (name,) in others)}) == 1 + len(others)


def test_a_runs_own_settings_come_before_the_grids(grid):
    grid = replace(
        grid, runs=[Run.parse("text,epochs=2"), Run.parse("text")], settings={"epochs": 3, "k": 2}, seeds=[5]
    )
    assert [(cell.settings.epochs, cell.settings.k, cell.settings.seed) for cell in grid.plan()] == [
        (2, 2, 5),
        (3, 2, 5),
    ]
    assert names(grid)[0] == names(grid, settings={"epochs": 2, "k": 2})[1]


def test_another_tower_in_the_same_place_is_another_cell(grid, tmp_path):
    found = []
    for seed in (0, 1):
        save_clip(tmp_path / "clip", seed=seed)
        found += names(grid, runs=[Run.parse("macsc", {"image": str(tmp_path / "clip")})], seeds=[0])
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["tiny", "tini"]}, "unknown task 'tini'"),
        ({"settings": {"epoch": 1}}, "unknown setting 'epoch'"),
        ({"shots": 2}, "give one of train-rows, train-share and shots"),
        ({"train_rows": None, "train_share": 2.0}, "tiny: train-share must be above 0 and at most 1"),
        ({"eval_rows": 0}, "eval-rows must be 1 or more"),
        ({"runs": [Run.parse("macsc,image=nowhere/tower")]}, "nowhere/tower"),
    ],
)
def test_a_mistake_shows_before_the_first_run(grid, changes, message, trained_seeds):
    with pytest.raises(PolysenseError, match=message):
        replace(grid, **changes).rows()
    assert trained_seeds == []


def test_fewer_rows_are_scored_the_same_for_all(grid, tiny_task):
    grid = replace(grid, eval_rows=4, splits=["coda_test"])
    data, whole = grid.data("tiny"), tiny_task.load()
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 24, "validation": 4, "coda_test": 4}
    kept = data.splits["coda_test"]["text"][:]
    order = whole.splits["coda_test"]["text"][:]
    assert kept == sorted(kept, key=order.index) != order[:4]
    assert fresh(grid).data("tiny").splits["coda_test"]["text"][:] == kept
    rows = grid.rows()
    assert [row.task for row in rows] == ["tiny/validation", "tiny/coda_test"] * 2
    assert all(round(4 * score / 100) == 4 * score / 100 for row in rows for score in row.scores)
    assert "tiny: coda_test: 4 of 10 rows are scored, always the same" in grid.notes


def test_every_metric_has_its_row(grid, tiny_task, monkeypatch):
    """Of several metrics the scores are named "split/metric"."""

    def several(_trainer: Any, data: TaskData, _processor: Any) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in SPLITS[:2]:
            found |= data.scores(name, {"bleu4": 0.25, "cider": 1.77})
        return found

    load = TinyTask.load
    monkeypatch.setattr(TinyTask, "load", lambda self: replace(load(self), metrics=("bleu4", "cider")))
    monkeypatch.setattr("polysense.experiments.grid.fine_tune", lambda *_, **__: Fake())
    monkeypatch.setattr("polysense.experiments.grid.score_splits", several)
    rows = replace(grid, runs=grid.runs[:1]).rows()
    assert [(row.task, row.split, row.metric, row.mean) for row in rows] == [
        ("tiny/validation", "validation", "bleu4", 25.0),
        ("tiny/validation", "validation", "cider", 17.7),
        ("tiny/coda_test", "coda_test", "bleu4", 25.0),
        ("tiny/coda_test", "coda_test", "cider", 17.7),
    ]


class Fake:
    """A trainer of nothing."""

    @property
    def model(self) -> Fake:
        return self

    combination = state = model
    log_history: tuple[Any, ...] = ()

    def weights(self) -> dict[str, float]:
        return {}


def test_cells_are_plain_json(grid):
    (cell, *_) = grid.plan()
    assert cell.attempt(progress=False)
    found = json.loads(cell.file.read_text())
    assert set(found) == {"scores", "seconds", "weights", "e_steps", "made", "sha256"}
    assert (
        set(found["made"]) == {"source", "versions", "machine", "date"} and found["made"]["source"] == source_digest()
    )
    found["scores"]["validation"] = 0.123
    for text in ("[" * 200_000, json.dumps(found)):
        cell.file.write_text(text)
        with pytest.raises(PolysenseError, match="is no finished cell: delete it"):
            cell.read()
    del found["sha256"]  # as in older cells, or where the change was meant
    cell.file.write_text(json.dumps(found))
    assert cell.read() == found


def test_a_cell_of_other_code_counts_only_where_that_is_accepted(grid, trained_seeds):
    grid = replace(grid, runs=grid.runs[:1])
    rows = grid.rows()
    older = grid.plan()[0].file
    cell = json.loads(older.read_text())
    del cell["sha256"]
    cell["made"] |= {"source": "0123456789ab", "date": "2020-02-02"}
    cell["scores"]["validation"] = 0.5
    older.write_text(json.dumps(cell))
    trained_seeds.clear()
    taken = fresh(grid, accept_older=True)
    assert taken.rows()[0].scores == [50.0, rows[0].scores[1]] and trained_seeds == []
    assert notes_of([taken])[-1] == "1 of 2 runs are of another revision: code 0123456789ab, 2020-02-02"
    again = fresh(grid)
    assert again.rows()[0].scores == rows[0].scores and trained_seeds == [0]
    assert not any("revision" in note for note in notes_of([again]))
    cell["made"]["source"] = source_digest()
    cell["made"]["versions"]["torch"] = "1.0"
    older.write_text(json.dumps(cell))
    taken = fresh(grid, accept_older=True)
    taken.rows()
    assert notes_of([taken])[-1] == "1 of 2 runs are of another revision: torch 1.0, 2020-02-02"
    assert trained_seeds == [0]


def test_a_cell_of_another_machine_counts_and_is_told(grid, trained_seeds):
    grid = replace(grid, runs=grid.runs[:1])
    first, second = (cell.file for cell in grid.plan() if cell.attempt(progress=False))
    for file, change in ((first, {"machine": "an abacus"}), (second, {})):
        cell = json.loads(file.read_text())
        del cell["made"]["machine"], cell["sha256"]
        cell["made"] |= change
        file.write_text(json.dumps(cell))
    trained_seeds.clear()
    taken = fresh(grid)
    taken.rows()
    assert notes_of([taken])[-2:] == [
        "1 of 2 runs were made on another machine: an abacus",
        "1 of 2 runs were made on another machine: one that was not noted",
    ]
    assert trained_seeds == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": ["text", "macsc,heads=5"]}, "method macsc: .*choose other options"),
        ({"runs": ["tower,adapter=lora"]}, "method tower: .*ignores the backbone, .*leave the adapter out"),
        ({"backbone": "nope/nope"}, "backbone nope/nope: "),
        ({"runs": ["text,prompt=true"], "tasks": ["tiny", "stsb"]}, r"run text\(prompt=true\): .*stsb has none"),
    ],
)
def test_what_cannot_be_run_shows_before_anything_is_trained(grid, trained_seeds, changes, message):
    if "runs" in changes:
        changes = {**changes, "runs": [Run.parse(text, grid.runs[1].towers) for text in changes["runs"]]}
    with pytest.raises(PolysenseError, match=message):
        fresh(grid, **changes).rows()
    assert trained_seeds == []


@pytest.mark.parametrize("text", ["{", "[]", '{"scores": {}, "seconds": 1}', '{"scores": 1}'])
def test_a_damaged_cell_is_named(grid, text):
    (cell, *_) = grid.plan()
    cell.file.parent.mkdir(parents=True)
    cell.file.write_text(text)
    with pytest.raises(PolysenseError, match="is no finished cell: delete it") as caught:
        grid.rows()
    assert str(cell.file) in str(caught.value)


def test_methods_on_the_same_towers_share_a_processor_only_if_they_read_the_same(grid):
    towers = grid.runs[1].towers
    settings = TrainingSettings()
    macsc, mpb, mase = (grid.processor(Run.parse(name, towers), settings) for name in ("macsc", "mpb", "mase"))
    assert macsc.extractors is mpb.extractors is not mase.extractors
    assert (macsc.graphs, mase.graphs is None) == (None, False)


def test_what_training_does_to_a_processor_stays_in_its_run(grid, tiny_task):
    """A prompt takes its part of the backbone's positions; the next run has them all."""
    seen: list[int] = []
    settings = TrainingSettings.for_task(tiny_task.defaults, max_length=30)
    for changes in ({"adapter": "prompt", "adapter_options": {"virtual_tokens": 12}}, {}):
        trainer = grid.train(tiny_task.load(), grid.runs[1], replace(settings, **changes), False)[1]
        seen.append(trainer.data_collator.processor.max_length)
    assert seen == [20, 30]
    assert grid.processor(grid.runs[1], replace(settings, max_length=7)).max_length == 7


def test_another_parser_is_another_cell(grid, monkeypatch):
    runs = [Run.parse(name, grid.runs[1].towers) for name in ("macsc", "mase")]
    before = names(grid, runs=runs, seeds=[0])
    monkeypatch.setattr("polysense.scene_graphs.parser.VERSION", 0)
    after = names(grid, runs=runs, seeds=[0])
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_any_module_that_a_run_uses_is_in_the_digest_of_the_code(monkeypatch, tmp_path):
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


def test_the_names_of_finished_cells_stay(grid):
    """A change of this value makes every finished run of every user one to be computed again."""
    grid = replace(grid, backbone="minilm")
    run = Run.parse("macsc,image=image,epochs=2,heads=4")
    assert grid.key("tiny", run, 3, {"train": "a", "validation": "b"}, {"image": "c"}) == "tiny-macsc-3-3ddcdabdf944"
