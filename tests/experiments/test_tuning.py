"""Searches for settings before the runs of a grid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grid_support import fresh
from polysense.errors import PolysenseError
from polysense.experiments.cells import source_digest
from polysense.experiments.grid import notes_of
from polysense.experiments.runs import Run
from polysense.tasks import TaskData
from polysense.training.search import Search
from polysense.training.settings import TrainingSettings

pytest_plugins = ("tiny_runs", "grid_support")


def test_a_search_comes_before_the_cells(grid, trained_seeds, monkeypatch):
    asked: list[Any] = []

    def found(
        data: TaskData, _defaults: Any, method: Any, _backbone: str, _towers: Any, trials: int, *_: Any, **more: Any
    ):
        asked.append((len(data.splits["train"]), method.name, trials, more["given"]))
        options = {"weight": 0.5} if method.name == "macsc" else {}
        return Search({"learning_rate": 2e-3}, options, 0.5, "some rows", [])

    monkeypatch.setattr("polysense.experiments.tuning.search", found)
    grid = replace(grid, runs=[grid.runs[0], Run.parse("macsc,dropout=0.2", grid.runs[1].towers)], search=7)
    rows = grid.rows()
    assert asked == [(16, "text", 7, {}), (16, "macsc", 7, {"dropout": 0.2})] and len(trained_seeds) == 4
    cells = grid.plan()
    assert [(c.settings.learning_rate, c.settings.dropout) for c in cells] == [(2e-3, 0.1)] * 2 + [(2e-3, 0.2)] * 2
    assert cells[-1].run.method.options["regulariser"] == {"weight": 0.5}
    assert grid.used["tiny"]["search"]["macsc(dropout=0.2)"]["settings"] == {"learning_rate": 2e-3}
    assert [row.method for row in rows[::3]] == ["text", "macsc(dropout=0.2)"]
    assert fresh(grid).rows() == rows and len(asked) == 2 and len(trained_seeds) == 4
    fresh(grid, search=8).rows()
    assert len(asked) == 4 and len(trained_seeds) == 4
    with pytest.raises(PolysenseError, match="1 trial or more"):
        fresh(grid, search=0).rows()


def searched(asked: list[TaskData]) -> Any:
    """A search that finds a learning rate, and what it was given."""

    def search(data: TaskData, *given: Any, **_: Any) -> Search:
        asked.append(data)
        folder: Path = given[5]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trial").touch(exist_ok=False)
        return Search({"learning_rate": 2e-3}, {}, 0.5, "some rows", [])

    return search


def test_a_search_sees_prompts_where_the_run_learns_from_them(grid, monkeypatch):
    asked: list[TaskData] = []
    monkeypatch.setattr("polysense.experiments.tuning.search", searched(asked))
    for run in ("text", "text,prompt=true"):
        (tuning,) = replace(grid, runs=[Run.parse(run)], search=3).tunings()
        assert tuning.attempt(progress=False)
    assert [(data.kind, len(data.splits["train"])) for data in asked] == [("classification", 16), ("choice", 16)]
    assert asked[1].splits["train"][0]["choices"] == ["It is red.", "It is yellow."]


def test_what_is_given_is_not_searched_so_it_names_the_search(grid, tiny_task):
    """Also where it is the default: the cells are the same, the searches are not."""
    grid = replace(grid, search=3)
    rate = TrainingSettings.for_task(tiny_task.defaults, **grid.settings).learning_rate
    given = replace(grid, settings={**grid.settings, "learning_rate": rate})
    (left, *_), (right, *_) = grid.tunings(), given.tunings()
    assert left.cell.file == right.cell.file and left.file != right.file


def test_a_search_of_other_code_counts_only_where_that_is_accepted(grid, monkeypatch):
    asked: list[TaskData] = []
    monkeypatch.setattr("polysense.experiments.tuning.search", searched(asked))
    grid = replace(grid, runs=grid.runs[:1], search=3)
    (tuning,) = grid.tunings()
    assert tuning.attempt(progress=False) and tuning.attempt(progress=False) and len(asked) == 1
    found = json.loads(tuning.file.read_text())
    del found["sha256"]
    assert found["made"]["source"] == source_digest() and tuning.read() == found
    for made in ({"source": "0123456789ab", "versions": found["made"]["versions"], "date": "2020-02-02"}, None):
        tuning.file.write_text(json.dumps({**found, "made": made}))
        older = replace(tuning, grid=replace(grid, accept_older=True))
        assert older.attempt(progress=False) and len(asked) == 1
        taken = fresh(grid, accept_older=True, seeds=[0])
        taken.rows()
        which = "code 0123456789ab, 2020-02-02" if made else "unknown code"
        assert notes_of([taken])[-1] == f"1 of 1 searches are of another revision: {which}" and len(asked) == 1
    monkeypatch.setattr("polysense.experiments.tuning.maker", lambda: "other")  # its trials are not gone on from
    assert tuning.attempt(progress=False) and len(asked) == 2
    assert json.loads(tuning.file.read_text())["made"]["source"] == source_digest()
    tuning.file.write_text("{}")
    with pytest.raises(PolysenseError, match="is no finished cell: delete it"):
        tuning.attempt(progress=False)
