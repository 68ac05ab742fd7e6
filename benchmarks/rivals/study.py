"""The whole comparison: settings chosen on held-out rows, then a cell a task, size, competitor and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.rivals.competitor import BATCH_SIZE, BF16, MAX_LENGTH, WEIGHT_DECAY, Competitor, Seconds, Setting
from benchmarks.rivals.ours import Polysense
from benchmarks.rivals.plain import PlainTrainer
from benchmarks.rivals.rows import SCORED, SHARE_ROWS, Size, task_rows
from benchmarks.rivals.set_fit import SetFit
from polysense.cache import Store
from polysense.embedded import EMBEDDED
from polysense.experiments.cells import compute_once, finished
from polysense.experiments.runs import Run
from polysense.experiments.workers import complete
from polysense.modality import MODALITIES

LEARNING_RATES = (2e-5, 1e-4, 3e-4)
"""To choose from: that of the tutorials of transformers, Polysense's default, and one above."""

METHODS = ("text", "macsc", "mase")
CELLS = Path("build/rivals")


def competitors(towers: Mapping[str, str] | None = None, store: Store = None) -> dict[str, Competitor]:
    """All of them by name.

    Args:
        towers: of Polysense's methods, {modality: spec}; None: the three that ship.
        store: of their prototypes, as in `train`.
    """
    used = towers or {modality: modality for modality in MODALITIES}
    ours = [Polysense(Run.parse(method, used), store) for method in METHODS]
    return {one.name: one for one in (PlainTrainer(), SetFit(), *ours)}


@dataclass(frozen=True)
class Place:
    """Where a competitor is run: task, number of rows, competitor."""

    task: str
    size: Size
    competitor: Competitor

    @property
    def name(self) -> str:
        return f"{self.task}, {self.size.name}"


@dataclass
class Study:
    """Competitors on tasks and sizes over seeds.

    Attributes:
        tasks: by name, of classes or choices.
        sizes: numbers of training rows.
        competitors: in the order of the table.
        seeds: one run a seed; the first one's rows are those that settings are chosen on.
        learning_rates: with the epochs the grid that settings are chosen from.
        backbone: the same for all.
        threads: of torch, the same for all.
        cells: folder of finished cells.
        accept_older: take cells of Polysense's that other code made.
    """

    tasks: Sequence[str]
    sizes: Sequence[Size]
    competitors: Sequence[Competitor]
    seeds: Sequence[int]
    learning_rates: Sequence[float] = LEARNING_RATES
    backbone: str = EMBEDDED
    threads: int = 1
    cells: Path = CELLS
    accept_older: bool = False

    def run(self, workers: int = 1) -> None:
        """Compute what is not there yet: first what settings are chosen by, then what is reported.

        Raises:
            PolysenseError: a task or competitor cannot be had; or cells failed, when all others are done.
        """
        places = list(self.places())
        for place in places:
            place.competitor.identity()  # what is not installed shows before hours of work
        complete([cell for place in places for cell in self.trials(place)], workers, unit="trial")
        complete([cell for place in places for cell in self.runs(place)], workers)

    def places(self) -> Iterator[Place]:
        """Where a competitor applies."""
        for task in self.tasks:
            data = task_rows(task).data
            for size in filter(lambda size: size.applies(data), self.sizes):
                for competitor in self.competitors:
                    if competitor.refusal(data) is None:
                        yield Place(task, size, competitor)

    def refusals(self) -> dict[tuple[str, str], str]:
        """Why a competitor does not apply, by task and competitor."""
        found = {
            (task, each.name): each.refusal(task_rows(task).data) for task in self.tasks for each in self.competitors
        }
        return {key: reason for key, reason in found.items() if reason is not None}

    def grid(self, place: Place) -> list[Setting]:
        """What a competitor's settings are chosen from, the cheaper ones first."""
        passes = place.competitor.epochs or place.size.epochs
        return [Setting(rate, epochs) for epochs in passes for rate in self.learning_rates]

    def trials(self, place: Place) -> list[Cell]:
        """What a competitor's settings are chosen by: one run a point of the grid, scored on held-out rows."""
        return [Cell(self, place, setting, self.seeds[0], True) for setting in self.grid(place)]

    def chosen(self, place: Place) -> Setting:
        """The setting with the best score on the held-out rows, the cheapest of equals.

        Raises:
            PolysenseError: a trial is not finished.
        """
        # `max` keeps the first of equals.
        return max(self.trials(place), key=lambda cell: float(cell.read()["scores"][SCORED])).setting

    def runs(self, place: Place) -> list[Cell]:
        """The runs that are reported; their trials must be finished.

        Raises:
            PolysenseError: a trial is not finished.
        """
        setting = self.chosen(place)
        return [Cell(self, place, setting, seed, False) for seed in self.seeds]


@dataclass(frozen=True)
class Cell:
    """One training and scoring.

    Attributes:
        held_out: whether the held-out rows are scored, not those that are reported.
    """

    study: Study
    place: Place
    setting: Setting
    seed: int
    held_out: bool

    @property
    def name(self) -> str:
        return f"{self.place.name} {self.place.competitor.name} ({self.setting.name}) seed {self.seed}"

    @cached_property
    def file(self) -> Path:
        """Where it is kept; the name says all that the numbers depend on but Polysense's code."""
        digests = task_rows(self.place.task).digests
        parts = [
            self.place.competitor.identity(),
            self.place.competitor.source_digest(),
            [self.place.size.shots, self.place.size.share],
            [digests["train"], digests["held_out" if self.held_out else SCORED]],
            asdict(self.setting),
            self.study.backbone,
            self.study.threads,
            [SHARE_ROWS, BATCH_SIZE, BF16, MAX_LENGTH, WEIGHT_DECAY],
        ]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
        use = "trial" if self.held_out else "run"
        size = self.place.size.name.partition(" ")[0].replace("%", "pc")
        name = f"{self.place.task}-{size}-{self.place.competitor.name}-{use}-{self.seed}-{digest}.json"
        return self.study.cells / name

    def read(self) -> dict[str, Any]:
        """What the run gave.

        Raises:
            PolysenseError: it is not finished.
        """
        return finished(self.file)

    def attempt(self, progress: bool) -> bool:  # noqa: ARG002 - the bar of the cells says enough
        """Compute it unless it is done; False where another process is at it.

        Raises:
            PolysenseError: as `Competitor.run`.
        """
        return compute_once(self.file, self._compute, self.study.accept_older or self.place.competitor.older)

    def _compute(self) -> dict[str, Any]:
        torch.set_num_threads(self.study.threads)
        competitor, backbone = self.place.competitor, self.study.backbone
        data = task_rows(self.place.task).drawn(self.place.size, self.seed, self.held_out)
        outcome = competitor.run(data, backbone, self.setting, self.seed)
        reading = Seconds(0.0, 0.0) if self.held_out else competitor.reading(data, backbone)
        return {
            "scores": {SCORED: outcome.score},
            "seconds": outcome.training.wall + reading.wall,
            "training": asdict(outcome.training),
            "reading": asdict(reading),
            "rows": {name: len(split) for name, split in data.splits.items()},
            "weights": outcome.weights,
            "e_steps": [],
        }
