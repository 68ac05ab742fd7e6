"""A table at small scale: runs on what comes with the package, and what they say beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from polysense.cache import Store
from polysense.embedded import EMBEDDED
from polysense.errors import PolysenseError
from polysense.experiments.cells import maker
from polysense.experiments.grid import CELLS, Cell, Grid, notes_of
from polysense.experiments.reproduce.assemble import assemble, of_column, probe_rows
from polysense.experiments.reproduce.catalogue import UNTRAINED, Column, Entry
from polysense.experiments.reproduce.scales import SMALL, SMALL_NOTES, SMALL_SEEDS, SMALL_TOWERS, SmallTask
from polysense.experiments.results import Row
from polysense.experiments.runs import Run
from polysense.experiments.workers import complete
from polysense.tasks import get_task
from polysense.training.new_backbone import new_backbone
from polysense.training.zero_shot import zero_shot_tower

BACKBONES = "backbones"
"""Folder of untrained backbones, beside the cells."""


@dataclass(frozen=True)
class _Part:
    """The cells that fill some columns."""

    grid: Grid
    columns: Sequence[Column]
    cells: Sequence[Cell]


def reproduce_small(
    entry: Entry,
    command: str,
    *,
    tasks: Sequence[str] = (),
    seeds: int = SMALL_SEEDS,
    workers: int = 1,
    backbone: str = EMBEDDED,
    cells: Path = CELLS,
    store: Store = None,
    accept_older: bool = False,
    small: Callable[[str], SmallTask] = SMALL.__getitem__,
) -> dict[str, Any]:
    """Run what has not been run yet of a table at small scale.

    Args:
        entry: of the catalogue.
        command: that asked for it.
        tasks: only the columns of these; else all.
        seeds: runs a cell of the table, seeds 0, 1, ...
        workers: processes.
        backbone: name, hub id or folder.
        cells: folder of finished runs.
        store: of prototypes, as in `train`.
        accept_older: take finished runs of other code.
        small: how a task is run.

    Returns:
        as `assemble`.

    Raises:
        PolysenseError: the table has no runs or not those tasks, nothing of it can be run here, or a run fails.
    """
    if not entry.columns:
        raise PolysenseError(f"{entry.id}: made by commands (see `script_of`), not by a comparison")
    lines = entry.runs("small", SMALL_TOWERS)
    runs = [Run.parse(text) for text in lines]
    parts: list[_Part] = []
    missing: list[str] = []
    groups = entry.groups()
    known = dict.fromkeys(task for task, _ in groups)
    for task in tasks:
        if task not in known:
            raise PolysenseError(f"{entry.id} has no task {task!r}: one of {', '.join(known)}")
    for (task, share), columns in groups.items():
        titles = " and ".join(column.title for column in columns)
        if tasks and task not in tasks:
            missing.append(f"not run: {titles}: not asked for")
            continue
        size = small(task)
        if share is None and size.is_low and any(low for of, low in groups if of == task):
            missing.append(f"not run: {titles}: no more training rows here than the column of fewer has")
            continue
        splits = tuple(dict.fromkeys(split for column in columns for split in column.splits))
        try:
            applying = [run for run in runs if run.applies(get_task(task))]
            grid = Grid(
                applying, [task], range(seeds), size.settings, size.rows_of(share),
                _untrained(task, cells) if size.untrained and backbone == EMBEDDED else backbone, cells, store,
                eval_rows=size.scored, splits=splits, accept_older=accept_older,
            )  # fmt: skip
            parts.append(_Part(grid, columns, grid.plan()))
        except PolysenseError as error:
            missing.append(f"not run: {titles}: {error}")
    if not parts:
        raise PolysenseError(f"{entry.id}: nothing of it can be run here: {missing[0]}")
    complete([cell for part in parts for cell in part.cells], workers)
    rows: list[Row] = []
    notes: list[str] = [*missing]
    used: dict[str, Any] = {}
    for part in parts:
        found = part.grid.collect(part.cells)
        rows += [row for column in part.columns for row in of_column(column, found)]
        used[", ".join(column.title for column in part.columns)] = {
            **part.grid.used[part.grid.tasks[0]],
            "backbone": backbone if part.grid.backbone == backbone else UNTRAINED,
            "train_rows": part.grid.train_rows,
            "eval_rows": part.grid.eval_rows,
        }
        probed, probe_notes = _probed(entry, part.grid.tasks[0], part.columns)
        rows, notes = [*rows, *probed], [*notes, *probe_notes]
    notes += notes_of([part.grid for part in parts])
    said = [f"{line.label}: {line.note}" for line in entry.lines if line.note]
    untrained = [UNTRAINED] if any(part.grid.backbone != backbone for part in parts) else []
    notes = [*entry.differs, *entry.differs_small, *SMALL_NOTES, *untrained, *said, *dict.fromkeys(notes)]
    return assemble(entry, rows, command, notes, {"backbone": backbone, **used}, "small", SMALL_TOWERS)


def _untrained(task: str, cells: Path) -> str:
    """The folder of an untrained encoder-decoder of a task, made where this code has not made it yet."""
    folder = cells / BACKBONES / f"{task}-{maker()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            new_backbone(folder, task)
    return str(folder)


def _probed(entry: Entry, task: str, columns: Sequence[Column]) -> tuple[list[Row], list[str]]:
    """The rows of lines without training, one score without a seed each, and notes on the data."""
    rows: list[Row] = []
    notes: list[str] = []
    for line in entry.lines:
        if "small" not in line.probe:
            continue
        found = zero_shot_tower(line.probe["small"].removeprefix("--tower "), task)
        notes += [f"{task}, {line.label}: {note}" for note in found["notes"]]
        of_splits = probe_rows(found, line, "small")
        rows += [row for column in columns for row in of_column(column, of_splits)]
    return rows, notes
