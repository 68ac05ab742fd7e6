"""A grid of runs: tasks, methods and seeds, each cell kept on disk so that a grid goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from datasets import Dataset
from tqdm.auto import tqdm

import polysense
from polysense.cache import Store
from polysense.embedded import EMBEDDED
from polysense.errors import PolysenseError
from polysense.experiments.results import Row
from polysense.folder import write_whole
from polysense.methods.catalog import MethodConfig, method_config
from polysense.modality import MODALITIES, TEXT
from polysense.models import PolysenseForSequenceClassification, PolysenseProcessor
from polysense.scene_graphs.extractor import GraphExtractor
from polysense.tasks import Defaults, TaskData, get_task
from polysense.text import read_value
from polysense.towers.registry import open_tower
from polysense.training.e_step import e_step_history
from polysense.training.fine_tune import PolysenseTrainer, build_processor, fine_tune
from polysense.training.settings import TrainingSettings
from polysense.training.train import DEFAULT_TOWERS, evaluate_splits, sample_rows, versions

_CHOICES = ("interaction", "combination", "regulariser")
_NOT_IN_A_RUN = ("alignment", "cli", "experiments", "explain", "pictures", "vision_language")


@dataclass(frozen=True)
class Run:
    """One line of a comparison.

    Attributes:
        name: what tables print.
        method: its choices.
        towers: {modality: spec}.
    """

    name: str
    method: MethodConfig
    towers: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, towers: Mapping[str, str] | None = None) -> Run:
        """`METHOD[,CHOICE=VALUE][,MODALITY=TOWER][,OPTION=VALUE]...`, e.g. "macsc,image=noise" (MaCSC Table 5).

        Args:
            text: as on the command line.
            towers: of runs that name none.

        Raises:
            PolysenseError: an unknown method, choice or option.
        """
        name, *assignments = text.split(",")
        swapped: dict[str, str] = {}
        own: dict[str, str] = {}
        options: dict[str, Any] = {}
        for assignment in assignments:
            key, equals, value = assignment.partition("=")
            if not equals:
                raise PolysenseError(f"run {text}: write METHOD,NAME=VALUE,...")
            if key in _CHOICES:
                swapped[key] = value
            elif key in MODALITIES:
                own[key] = value
            else:
                options[key] = read_value(value)
        method = method_config(name, **swapped).with_options(options)
        shown = f"{name}({','.join(assignments)})" if assignments else name
        used = own or towers or dict.fromkeys(DEFAULT_TOWERS, DEFAULT_TOWERS[0])
        return cls(shown, method, used if method.multimodal else {})

    @property
    def modalities(self) -> list[str]:
        return [TEXT, *self.towers]


@dataclass
class Grid:
    """Runs on tasks over seeds.

    Attributes:
        runs: the methods that are compared.
        tasks: names of tasks.
        seeds: one run a seed.
        settings: of every run; what is not given is the task's default.
        train_rows: at most so many training rows, drawn by the seed and so the same for every method.
        backbone: name, hub id or folder.
        cells: folder of finished cells; None keeps none.
        store: of prototypes, as in `train`.
        notes: what the tasks say of their data, filled by `rows`.
        used: the settings by task, all but the seed, filled by `rows`.
    """

    runs: Sequence[Run]
    tasks: Sequence[str]
    seeds: Sequence[int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    train_rows: int | None = None
    backbone: str = EMBEDDED
    cells: Path | None = None
    store: Store = None
    notes: list[str] = field(default_factory=list)
    used: dict[str, Any] = field(default_factory=dict)
    _processors: dict[str, PolysenseProcessor] = field(default_factory=dict, repr=False)

    def rows(self) -> list[Row]:
        """Run what has not been run yet, and return one row a task, test split and method."""
        for task in map(get_task, self.tasks):  # a mistake shows before hours of work
            TrainingSettings.for_task(task.defaults, **self.settings)
        rows = []
        bar = tqdm(total=len(self.tasks) * len(self.runs) * len(self.seeds), unit="run", desc="compare")
        with bar:
            for name in self.tasks:
                task = get_task(name)
                data = task.load()
                self.notes += [f"{name}: {note}" for note in data.notes]
                self.used[name] = asdict(TrainingSettings.for_task(task.defaults, **self.settings))
                self.used[name].pop("seed")
                for run in self.runs:
                    cells = []
                    for seed in self.seeds:
                        bar.set_postfix_str(f"{name} {run.name} seed {seed}")
                        cells.append(self.cell(data, task.defaults, run, seed))
                        bar.update()
                    rows += self._rows_of(data, run, cells)
        return rows

    def cell(self, data: TaskData, defaults: Defaults, run: Run, seed: int) -> dict[str, Any]:
        """What one run gave, from disk if it was done with the very same settings.

        Scores (0 to 1) by split, seconds, the modalities' weights at the end, and the E-steps.
        """
        settings = TrainingSettings.for_task(defaults, **{**self.settings, "seed": seed})
        file = self.cells / f"{self._key(data, run, settings)}.json" if self.cells else None
        if file is not None and file.exists():
            return dict(json.loads(file.read_text()))
        cell, _ = self.train(data, run, settings)
        if file is not None:
            write_whole(file, json.dumps(cell))
        return cell

    def train(self, data: TaskData, run: Run, settings: TrainingSettings) -> tuple[dict[str, Any], PolysenseTrainer]:
        """One run, whatever is on disk: its cell and the trainer with the model."""
        processor = self.processor(run, settings)
        started = time.perf_counter()
        sampled = sample_rows(data, self._most_rows(data), settings.seed)
        with tempfile.TemporaryDirectory() as folder:
            trainer = fine_tune(sampled, run.method, self.backbone, processor, settings, Path(folder), progress=True)
            scores = evaluate_splits(trainer, sampled, processor)
        cell = {
            "scores": scores,
            "seconds": time.perf_counter() - started,
            "weights": cast("PolysenseForSequenceClassification", trainer.model).combination.weights(),
            "e_steps": e_step_history(trainer.state.log_history),
        }
        return cell, trainer

    def processor(self, run: Run, settings: TrainingSettings) -> PolysenseProcessor:
        """The run's processor; runs that read the same share one, and its prototypes."""
        reading = settings.reading().to_dict()
        key = json.dumps([dict(run.towers), reading, settings.max_length, run.method.uses_graph])
        if key not in self._processors:
            self._processors[key] = build_processor(run.method, self.backbone, run.towers, settings, self.store)
        return self._processors[key]

    def _most_rows(self, data: TaskData) -> int | None:
        """`train_rows` of a task that has more, else None: all of them."""
        fewer = self.train_rows is not None and self.train_rows < len(data.splits["train"])
        return self.train_rows if fewer else None

    def _key(self, data: TaskData, run: Run, settings: TrainingSettings) -> str:
        towers = {m: open_tower(spec).fingerprint() for m, spec in run.towers.items()}
        parser = GraphExtractor().identity if run.method.uses_graph else None
        contents = {name: _digest(split) for name, split in data.splits.items()}
        parts = [
            run.method.to_dict(),
            towers,
            asdict(settings),
            self.backbone,
            self._most_rows(data),
            data.name,
            contents,
        ]
        text = json.dumps([*parts, parser, versions(), source_digest()], sort_keys=True)
        return f"{data.name}-{run.method.name}-{settings.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def _rows_of(self, data: TaskData, run: Run, cells: Sequence[Mapping[str, Any]]) -> list[Row]:
        splits = list(cells[0]["scores"])
        seconds = round(sum(cell["seconds"] for cell in cells), 1)
        return [
            Row(
                task=data.name if splits == ["validation"] else f"{data.name}/{split}",
                method=run.name,
                modalities=run.modalities,
                metric=data.metric,
                seeds=list(self.seeds),
                scores=[round(100 * cell["scores"][split], 2) for cell in cells],
                seconds=seconds,
                weights=_mean_weights(cells),
            )
            for split in splits
        ]


def _mean_weights(cells: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = cells[0]["weights"]
    return {m: round(statistics.fmean(cell["weights"][m] for cell in cells), 4) for m in names}


def _digest(split: Dataset) -> str:
    return hashlib.sha256(json.dumps(split.to_dict()).encode()).hexdigest()


@cache
def source_digest() -> str:
    """Of the code that a number depends on: a cell of other code is not this code's result."""
    root = Path(polysense.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        if file.relative_to(root).parts[0] not in _NOT_IN_A_RUN:
            digest.update(file.read_bytes())
    return digest.hexdigest()
