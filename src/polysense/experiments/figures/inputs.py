"""What the figures of trained models start from: the rows of a task's split, and the models, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.tasks import TaskData, get_task
from polysense.tasks.tables import near
from polysense.training.evaluate import check_labels
from polysense.training.predict import Predictor


@dataclass(frozen=True)
class ScoredSplit:
    """The rows that a figure is about.

    Attributes:
        data: of the whole task.
        name: of the split.
        rows: of the split, with labels.
    """

    data: TaskData
    name: str
    rows: Dataset

    def to_dict(self) -> dict[str, object]:
        """For a figure's numbers."""
        return {"task": self.data.name, "split": self.name, "rows": len(self.rows), "notes": list(self.data.notes)}


def scored_split(task: str, split: str, data_dir: Path | None = None, kinds: Sequence[str] = ()) -> ScoredSplit:
    """A labelled split of a task.

    Args:
        task: by name.
        split: of the task.
        data_dir: as for `tasks.load_task`.
        kinds: of task that the figure can show; empty: any.

    Raises:
        PolysenseError: no such task or data, another kind, no such split, or one without labels or rows.
    """
    known = get_task(task)
    if kinds and known.kind not in kinds:
        raise PolysenseError(f"task {task} is {known.kind}; this figure is of tasks of {' or '.join(kinds)}")
    data = known.load(data_dir)
    if split not in data.splits:
        some = ", ".join(data.labelled)
        raise PolysenseError(f"task {task} has no split {split!r}{near(split, data.splits)}: one of {some}")
    if split not in data.labelled:
        raise PolysenseError(f"split {split!r} of {task} has no labels: take one of {', '.join(data.labelled)}")
    if not len(data.splits[split]):
        raise PolysenseError(f"split {split!r} of {task} has no rows: take one of {', '.join(data.labelled)}")
    return ScoredSplit(data, split, data.splits[split])


def open_model(folder: Path, data: TaskData, batch_size: int, store: Store) -> Predictor:
    """A trained model that answers a task's rows.

    Raises:
        PolysenseError: no trained model, one of other labels, or one that learnt from prompts.
    """
    predictor = Predictor.load(folder, batch_size, store)
    if predictor.prompt is not None:
        raise PolysenseError(f"{folder} learnt classes from prompts: figures are of models trained without --prompt")
    check_labels(predictor, str(folder), data)
    return predictor


def model_names(folders: Sequence[Path], given: Sequence[str] = ()) -> list[str]:
    """A name for each model: the given ones, else the ends of their paths, as long as it takes to tell them apart.

    Raises:
        PolysenseError: a model stands twice, two have one name, or there are more or fewer names than models.
    """
    whole = [folder.expanduser().resolve() for folder in folders]
    for i, folder in enumerate(whole):
        if folder in whole[:i]:
            raise PolysenseError(f"{folders[i]} is given twice: give each model once")
    if given:
        if len(given) != len(folders):
            raise PolysenseError(f"{len(given)} names for {len(folders)} models: give --name once a model, or never")
        for i, name in enumerate(given):
            if name in given[:i]:
                raise PolysenseError(f"--name {name} is given twice: give each model a name of its own")
        return list(given)
    length = 1
    while len({folder.parts[-length:] for folder in whole}) < len(whole):
        length += 1
    return [str(Path(*folder.parts[-length:])) for folder in whole]
