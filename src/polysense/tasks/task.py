"""The common shape of a task's data, and the base class of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from datasets import Dataset, Features, Value

Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class TaskData:
    """Splits of one task in the common shape.

    Columns of every split: "text" (str), "text_pair" (str, only when has_pair), "label" (int class index or
    float; absent for unlabelled data).

    Attributes:
        name: the task's name; for the user's files the name of the training file.
        kind: classification or regression.
        splits: "train", "validation", maybe more, e.g. "test", "validation_mismatched", "memory_color".
        label_names: names of the classes in the order of their indices; None for regression.
        metric: "accuracy" or "spearman", a name that `metrics.compute` knows.
        has_pair: whether a sample is a pair of texts.
        notes: what a report on these data must say, e.g. that a split is a sample of the published one.
    """

    name: str
    kind: Kind
    splits: dict[str, Dataset]
    label_names: tuple[str, ...] | None
    metric: str
    has_pair: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Defaults:
    """Hyper-parameters a task is trained with unless told otherwise; the values here are MaCSC's for GLUE.

    Attributes:
        learning_rate: of AdamW, at its peak.
        batch_size: samples a step, over all devices.
        epochs: passes over the training split.
        weight_decay: of AdamW.
        method_learning_rate: for the layers of a method, which start from nothing; None: the same.
    """

    learning_rate: float = 1e-4
    batch_size: int = 32
    epochs: int = 3
    weight_decay: float = 0.01
    method_learning_rate: float | None = None


class Task(ABC):
    """A task with a name: what is predicted, how it is scored, and where its data are.

    Attributes:
        name: key in the registry.
        kind: classification or regression.
        metric: a name that `metrics.compute` knows.
        label_names: names of the classes by index; None for regression.
        has_pair: whether a sample is a pair of texts.
        defaults: hyper-parameters.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = "classification"
    metric: ClassVar[str] = "accuracy"
    label_names: ClassVar[tuple[str, ...] | None] = None
    has_pair: ClassVar[bool] = False
    defaults: ClassVar[Defaults] = Defaults()

    @abstractmethod
    def load(self, data_dir: Path | None = None) -> TaskData:
        """All splits; `data_dir` is the task's folder or its parent. Raises PolysenseError where there are no data."""

    def task_data(self, splits: dict[str, Dataset], notes: Sequence[str] = ()) -> TaskData:
        """The splits with what the class says about them."""
        return TaskData(self.name, self.kind, splits, self.label_names, self.metric, self.has_pair, tuple(notes))


def build_split(texts: Sequence[Sequence[str]], labels: Sequence[int] | Sequence[float] | None, kind: Kind) -> Dataset:
    """A split in the common shape.

    Args:
        texts: one column of texts, or two for pairs, each of the same length.
        labels: class indices or targets of that length; None for unlabelled data.
        kind: decides the type of "label": int64 or float64.
    """
    names = ("text", "text_pair")[: len(texts)]
    columns: dict[str, Sequence[str] | Sequence[int] | Sequence[float]] = dict(zip(names, texts, strict=True))
    # Types are stated, not told from the rows, so that an unusual split (all texts empty) keeps the shape.
    types = {name: Value("string") for name in names}
    if labels is not None:
        columns["label"] = labels
        types["label"] = Value("int64" if kind == "classification" else "float64")
    return Dataset.from_dict(columns, features=Features(types))
