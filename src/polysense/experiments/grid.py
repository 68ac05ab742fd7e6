"""A grid of runs: tasks, methods and seeds, each cell kept on disk so that a grid goes on where it stopped."""

from __future__ import annotations

import copy
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from transformers import PreTrainedConfig

from polysense.cache import Store
from polysense.embedded import EMBEDDED
from polysense.errors import PolysenseError
from polysense.experiments.cells import compute_once, elsewhere, finished, older, on_others, revision
from polysense.experiments.results import Row, in_points
from polysense.experiments.runs import Run
from polysense.experiments.tuning import Tuning
from polysense.experiments.workers import complete
from polysense.folder import file_digest
from polysense.models import MODELS, PolysensePreTrainedModel, PolysenseProcessor
from polysense.retrieval.opening import open_source
from polysense.scene_graphs.extractor import GraphExtractor
from polysense.tasks import Kind, TaskData, get_task
from polysense.tasks.prompts import prompted
from polysense.training.compilation import check_compiler
from polysense.training.e_step import e_step_history
from polysense.training.fine_tune import build_processor, check_method, check_settings, fine_tune, score_splits
from polysense.training.sampling import sample_rows
from polysense.training.settings import TrainingSettings
from polysense.training.trainer import PolysenseTrainer

CELLS = Path("build/cells")
"""Folder of finished runs, unless told otherwise."""


@dataclass
class Grid:
    """Runs on tasks over seeds.

    Attributes:
        runs: the methods that are compared.
        tasks: names of tasks.
        seeds: one run a seed.
        settings: of every run; what is not given is the task's default. A run's own settings come before them.
        train_rows: at most so many training rows, drawn by the seed and so the same for every method.
        backbone: name, hub id or folder.
        cells: folder of finished cells.
        store: of prototypes, as in `train`.
        train_share: instead of `train_rows`, this share of them; or
        shots: so many of each class.
        eval_rows: score at most so many rows of each split, drawn once and so the same for every run and seed.
        splits: score these alone (and "validation", where predictions need a threshold); None: all.
        accept_older: take cells that other code or other versions of libraries made.
        search: trials of a search for settings before a method is run on a task (see `polysense.training.search`); the
            same for all seeds, with the training rows of the first.
        notes: what the tasks say of their data, filled by `collect`.
        used: the settings by task, all but the seed, filled by `collect`.
        made: what `cells.revision` says of the runs and of the searches, filled by `collect`.
        machines: what `cells.elsewhere` says of the runs, likewise.
    """

    runs: Sequence[Run]
    tasks: Sequence[str]
    seeds: Sequence[int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    train_rows: int | None = None
    backbone: str = EMBEDDED
    cells: Path = CELLS
    store: Store = None
    train_share: float | None = None
    shots: int | None = None
    eval_rows: int | None = None
    splits: Sequence[str] | None = None
    accept_older: bool = False
    search: int | None = None
    notes: list[str] = field(default_factory=list)
    used: dict[str, Any] = field(default_factory=dict)
    made: dict[str, list[str | None]] = field(default_factory=lambda: {"runs": [], "searches": []})
    machines: list[str | None] = field(default_factory=list)
    _processors: dict[str, PolysenseProcessor] = field(default_factory=dict, repr=False)
    _loaded: dict[str, TaskData] = field(default_factory=dict, repr=False)
    _backbones: dict[Kind, PreTrainedConfig] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """For a worker: what it loads anew stays behind."""
        return {**self.__dict__, "_processors": {}, "_loaded": {}, "_backbones": {}}

    def rows(self, workers: int = 1) -> list[Row]:
        """Run what has not been run yet, and return one row a task, test split, metric and method."""
        complete(self.tunings(), workers, unit="search", units="searches")
        cells = self.plan()
        complete(cells, workers)
        return self.collect(cells)

    def tunings(self) -> list[Tuning]:
        """The searches that come before the cells; none without `search`.

        Raises:
            PolysenseError: as `plan`.
        """
        if self.search is None:
            return []
        if self.search < 1:
            raise PolysenseError(f"a search needs 1 trial or more, not {self.search}")
        return [Tuning(self, cell) for cell in replace(self, search=None, seeds=self.seeds[:1]).plan()]

    def plan(self) -> list[Cell]:
        """All cells, task by task.

        Raises:
            PolysenseError: a task, a setting, a tower, a method or the backbone is wrong, before hours of work.
        """
        self._check()
        tuned = {(tuning.cell.task, tuning.cell.run.name): tuning.run() for tuning in self.tunings()}
        cells = []
        digests: dict[str, str] = {}
        widths: dict[str, int] = {}
        for name in self.tasks:
            data = self.data(name)
            self.sample(data, 0)
            contents = {split: _digest(rows) for split, rows in data.splits.items()}
            for asked in self.runs:
                run = tuned.get((name, asked.name), asked)
                for spec in run.towers.values():
                    if spec not in digests:
                        source = open_source(spec, self._settings(name, run, 0).reading(), False)
                        digests[spec], widths[spec] = source.fingerprint, source.width
                own = {modality: widths[spec] for modality, spec in run.towers.items()}
                check_settings(run.method, data.kind, self._settings(name, run, 0))
                check_method(run.method, self._backbone_config(data.kind), own)
                for seed in self.seeds:
                    key = self.key(name, run, seed, contents, digests)
                    cells.append(Cell(self, name, run, seed, self.cells / f"{key}.json"))
        return cells

    def _check(self) -> None:
        """Let a mistake show before any data are read."""
        if sum(given is not None for given in (self.train_rows, self.train_share, self.shots)) > 1:
            raise PolysenseError("give one of train-rows, train-share and shots")
        for name in ("train_rows", "eval_rows"):
            rows = getattr(self, name)
            if rows is not None and rows < 1:
                raise PolysenseError(f"{name.replace('_', '-')} must be 1 or more, not {rows}")
        for what, names in (("task", list(self.tasks)), ("run", [run.name for run in self.runs])):
            twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
            if twice:
                raise PolysenseError(f"{what} {twice[0]} is given twice: once is enough, --seeds repeats it")
        compiles = False
        for task in map(get_task, self.tasks):
            for run in self.runs:
                compiles |= TrainingSettings.for_task(task.defaults, **{**self.settings, **run.settings}).compile
                if not run.applies(task):
                    raise PolysenseError(
                        f"run {run.name}: prompts are statements of classes, and {task.name} has none; compare it on "
                        "other tasks, or without this run"
                    )
        if compiles:
            check_compiler()

    def data(self, task: str) -> TaskData:
        """A task's data, with the splits and the rows of them that are scored."""
        if task not in self._loaded:
            data = get_task(task).load()
            kept = dict(data.splits)
            notes = list(data.notes)
            for name in [name for name in data.labelled if name != "train"]:
                if self.splits is not None and name not in (*self.splits, "validation"):
                    del kept[name]
                elif self.eval_rows is not None and self.eval_rows < len(kept[name]):
                    notes.append(f"{name}: {self.eval_rows:,} of {len(kept[name]):,} rows are scored, always the same")
                    kept[name] = _some_rows(kept[name], self.eval_rows)
            self._loaded[task] = replace(data, splits=kept, notes=tuple(notes))
        return self._loaded[task]

    def sample(self, data: TaskData, seed: int) -> TaskData:
        """The data with the training rows of one seed."""
        return sample_rows(data, self._most_rows(data), seed, share=self.train_share, shots=self.shots)

    def seen(self, data: TaskData, settings: TrainingSettings) -> TaskData:
        """The data as a run sees them: the training rows of its seed, as prompts where it learns from these."""
        sampled = self.sample(data, settings.seed)
        return prompted(sampled) if settings.prompt else sampled

    def collect(self, cells: Sequence[Cell]) -> list[Row]:
        """The rows of finished cells, as `plan` gave them; fills `notes`, `used` and `made`."""
        rows = []
        for name in self.tasks:
            data = self.data(name)
            self.notes += [f"{name}: {note.removeprefix(f'{name}: ')}" for note in data.notes + self._sampled(data)]
            self.used[name] = asdict(TrainingSettings.for_task(get_task(name).defaults, **self.settings))
            self.used[name].pop("seed")
            for run in self.runs:
                found = [cell.read() for cell in cells if (cell.task, cell.run.name) == (name, run.name)]
                self.made["runs"] += map(revision, found)
                self.machines += map(elsewhere, found)
                rows += self._rows_of(data, run, found)
        for tuning in self.tunings():
            settled, (task, method) = tuning.read(), (tuning.cell.task, tuning.cell.run.name)
            self.used[task].setdefault("search", {})[method] = settled
            self.made["searches"].append(revision(settled))
            seen = "; the scores of that split are not held out" if "validation split" in settled["rows"] else ""
            self.notes.append(
                f"{task}, {method}: settings were chosen by a search of {len(settled['trials'])} trials, scored on "
                f"{settled['rows']}{seen}"
            )
        return rows

    def train(self, data: TaskData, run: Run, settings: TrainingSettings, progress: bool = True) -> Trained:
        """One run, whatever is on disk: what it gave, and the trainer with the model.

        The first holds scores (0 to 1; CIDEr 0 to 10) by the names of `TaskData.scores`, seconds, the modalities'
        weights at the end, and the E-steps.
        """
        processor = self.processor(run, settings)
        started = time.perf_counter()
        sampled = self.seen(data, settings)
        with tempfile.TemporaryDirectory() as folder:
            trainer = fine_tune(
                sampled, run.method, self.backbone, processor, settings, Path(folder), progress=progress
            )
            scores = score_splits(trainer, sampled, processor)
        cell = {
            "scores": scores,
            "seconds": time.perf_counter() - started,
            "weights": cast("PolysensePreTrainedModel", trainer.model).combination.weights(),
            "e_steps": e_step_history(trainer.state.log_history),
        }
        return cell, trainer

    def processor(self, run: Run, settings: TrainingSettings) -> PolysenseProcessor:
        """The run's processor; those of runs that read the same have their prototypes in common."""
        key = json.dumps([dict(run.towers), settings.reading().to_dict(), run.method.uses_graph])
        if key not in self._processors:
            self._processors[key] = build_processor(run.method, self.backbone, run.towers, settings, self.store)
        # One of its own, since training shortens it to what the backbone reads: a prompt's part less.
        own = copy.copy(self._processors[key])
        own.max_length = settings.max_length
        return own

    def key(self, task: str, run: Run, seed: int, contents: Mapping[str, str], digests: Mapping[str, str]) -> str:
        """The name of a cell: what is asked, without the code that answers it.

        Args:
            contents: digests of the splits.
            digests: of the towers, by spec.
        """
        parts = [
            run.method.to_dict(),
            {modality: digests[spec] for modality, spec in run.towers.items()},
            self._settings(task, run, seed).identity(),
            self._backbone_identity,
            [self._most_rows(self.data(task)), self.train_share, self.shots],
            task,
            dict(contents),
            GraphExtractor().identity if run.method.uses_graph else None,
        ]
        text = json.dumps(parts, sort_keys=True)
        return f"{task}-{run.method.name}-{seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @cached_property
    def _backbone_identity(self) -> str:
        """The backbone's name; of a folder what it holds, since that may change and the folder may move."""
        folder = Path(self.backbone)
        if not folder.is_dir():
            return self.backbone
        files = sorted(file for file in folder.iterdir() if file.is_file())
        return hashlib.sha256("".join(map(file_digest, files)).encode()).hexdigest()

    def _backbone_config(self, kind: Kind) -> PreTrainedConfig:
        if kind not in self._backbones:
            self._backbones[kind] = MODELS[kind].load_backbone(self.backbone)[0].config
        return self._backbones[kind]

    def _settings(self, task: str, run: Run, seed: int) -> TrainingSettings:
        given = {**self.settings, **run.settings, "seed": seed}
        return TrainingSettings.for_task(get_task(task).defaults, **given)

    def _most_rows(self, data: TaskData) -> int | None:
        """`train_rows` of a task that has more, else None: all of them."""
        fewer = self.train_rows is not None and self.train_rows < len(data.splits["train"])
        return self.train_rows if fewer else None

    def _sampled(self, data: TaskData) -> tuple[str, ...]:
        """What has to be said where training saw fewer rows than there are."""
        rows = len(data.splits["train"])
        fewer = len(self.sample(data, self.seeds[0]).splits["train"])
        return (f"trained on {fewer:,} of {rows:,} rows, drawn by the seed",) if fewer < rows else ()

    def _rows_of(self, data: TaskData, run: Run, cells: Sequence[Mapping[str, Any]]) -> list[Row]:
        scored = [_split_and_metric(data, name) for name in cells[0]["scores"]]
        alone = {split for split, _ in scored} == {"validation"}
        seconds = round(sum(cell["seconds"] for cell in cells), 1)
        return [
            Row(
                task=data.name if alone else f"{data.name}/{split}",
                split=split,
                method=run.name,
                modalities=run.modalities,
                metric=metric,
                seeds=list(self.seeds),
                scores=[in_points(metric, cell["scores"][name]) for cell in cells],
                seconds=seconds,
                weights=_mean_weights(cells),
                baseline=run.baseline,
            )
            for (split, metric), name in zip(scored, cells[0]["scores"], strict=True)
        ]


def notes_of(grids: Sequence[Grid]) -> list[str]:
    """What is to be said of grids that were collected: of their data, and of what other code made."""
    notes = [note for grid in grids for note in grid.notes]
    for what in ("runs", "searches"):
        notes += older(what, [made for grid in grids for made in grid.made[what]])
    return notes + on_others("runs", [machine for grid in grids for machine in grid.machines])


@dataclass(frozen=True)
class Cell:
    """One run of a grid: what is to be computed, and the file that holds it then."""

    grid: Grid
    task: str
    run: Run
    seed: int
    file: Path

    @property
    def name(self) -> str:
        return f"{self.task} {self.run.name} seed {self.seed}"

    @cached_property
    def settings(self) -> TrainingSettings:
        return self.grid._settings(self.task, self.run, self.seed)

    def read(self) -> dict[str, Any]:
        """What the run gave (see `finished`).

        Raises:
            PolysenseError: it is not finished.
        """
        return finished(self.file)

    def attempt(self, progress: bool) -> bool:
        """Compute the run unless it is done; False where another process is at it."""

        def train() -> dict[str, Any]:
            return self.grid.train(self.grid.data(self.task), self.run, self.settings, progress)[0]

        return compute_once(self.file, train, self.grid.accept_older)


Trained = tuple[dict[str, Any], PolysenseTrainer]
"""What a run gave, and the trainer with its model."""


def _split_and_metric(data: TaskData, name: str) -> tuple[str, str]:
    """Of a score's name, as `TaskData.scores` makes it."""
    if len(data.metrics) == 1:
        return name, data.metric
    split, _, metric = name.rpartition("/")
    return split, metric


def _some_rows(split: Dataset, rows: int) -> Dataset:
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))  # for all the same
    return split.select(sorted(order[:rows].tolist()))


def _mean_weights(cells: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    weights = [cell["weights"] for cell in cells]
    return {m: round(statistics.fmean(each[m] for each in weights), 4) for m in weights[0]}


def _digest(split: Dataset) -> str:
    return hashlib.sha256(json.dumps(split.to_dict()).encode()).hexdigest()
