"""A tiny grid of two methods, and what it computes.

A plugin, as `tiny_runs` is, and imported by name too: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polysense.experiments.grid import Grid
from polysense.experiments.runs import Run
from polysense.training.settings import TrainingSettings
from tiny_runs import TinyTask


@pytest.fixture
def grid(tmp_path: Path, tiny: dict[str, Any], clip_folder: Path, tiny_task: TinyTask) -> Grid:
    runs = [Run.parse("text"), Run.parse("macsc", {"image": str(clip_folder)})]
    return Grid(runs, ["tiny"], [0, 1], {}, 16, tiny["backbone"], tmp_path / "cells")


@pytest.fixture
def trained_seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the runs that are computed from here on."""
    seeds: list[int] = []
    run = Grid.train

    def note(self: Grid, data: Any, which: Run, settings: TrainingSettings, *more: Any) -> Any:
        seeds.append(settings.seed)
        return run(self, data, which, settings, *more)

    monkeypatch.setattr(Grid, "train", note)
    return seeds


def fresh(grid: Grid, **changes: Any) -> Grid:
    """The same grid as another process has it."""
    empty: dict[str, Any] = {"notes": [], "used": {}, "made": {"runs": [], "searches": []}, "machines": []}
    return replace(grid, **empty, _processors={}, _loaded={}, _backbones={}, **changes)


def names(grid: Grid, **changes: Any) -> list[str]:
    return [cell.file.name for cell in fresh(grid, **changes).plan()]
