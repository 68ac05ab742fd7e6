"""Searches for settings that come before the runs of a grid, kept on disk like them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from polysense.experiments.cells import SEARCH, compute_once, finished, maker
from polysense.experiments.runs import Run
from polysense.tasks import get_task
from polysense.training.search import search

if TYPE_CHECKING:
    from polysense.experiments.grid import Cell, Grid


@dataclass(frozen=True)
class Tuning:
    """A search for the settings of a run on a task.

    Attributes:
        cell: the run of the first seed as it would be without a search.
    """

    grid: Grid
    cell: Cell

    @property
    def name(self) -> str:
        return f"{self.cell.task} {self.cell.run.name}"

    @property
    def file(self) -> Path:
        """Of what was found; the trials are in the folder of the same name.

        The name says what was given too: a setting that is given is not searched, though it be the default.
        """
        given = hashlib.sha256(json.dumps(sorted(self._given)).encode()).hexdigest()[:6]
        return self.cell.file.parent / "searches" / f"{self.cell.file.stem}-{self.grid.search}-{given}.json"

    @property
    def _given(self) -> dict[str, Any]:
        return {**self.grid.settings, **self.cell.run.settings}

    def attempt(self, progress: bool) -> bool:
        """Search unless it is done; False where another process is at it."""
        cell, grid = self.cell, self.grid

        def find() -> dict[str, Any]:
            data = grid.seen(grid.data(cell.task), cell.settings)
            # No trial of other code is gone on from.
            folder = self.file.with_suffix("") / maker()
            return search(
                data, get_task(cell.task).defaults, cell.run.method, grid.backbone, cell.run.towers,
                cast("int", grid.search), folder, given=self._given, store=grid.store, seed=cell.seed,
                progress=progress,
            ).to_dict()  # fmt: skip

        return compute_once(self.file, find, grid.accept_older, SEARCH)

    def read(self) -> dict[str, Any]:
        """What was found (see `finished`).

        Raises:
            PolysenseError: it is not finished.
        """
        return finished(self.file, SEARCH)

    def run(self) -> Run:
        """The run with the settings and options that were found."""
        found, run = self.read(), self.cell.run
        method = run.method.with_options(found["options"])
        return replace(run, method=method, settings={**run.settings, **found["settings"]})
