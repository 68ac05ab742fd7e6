"""The common shape of a task's data, and the base class of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from datasets import Dataset, Features, Value

Kind = Literal["classification", "regression", "choice", "span", "generation"]
"""What is predicted: one of the task's classes, a value, one of the row's own choices, a part of a text, or a text."""


@dataclass(frozen=True)
class Prompt:
    """Statements in the place of classes, of which a model chooses one.

    Attributes:
        statements: one a class, in the order of the classes.
        has_pair: whether {} in a statement stands for the second text of a pair.
    """

    statements: tuple[str, ...]
    has_pair: bool

    def choices(self, second: str = "") -> list[str]:
        """What is to choose from for a text, or for a pair with that second text."""
        # Not str.format: a text may hold braces of its own.
        return [s.replace("{}", second) if self.has_pair else s for s in self.statements]


@dataclass(frozen=True)
class TaskData:
    """Splits of one task in the common shape.

    Columns of a split by kind, the labels absent from unlabelled data:

    | kind | columns |
    | --- | --- |
    | classification, regression | "text", "text_pair" (only when has_pair), "label" (class index or float) |
    | choice | "text", "choices" (list of texts), "label" (index into them) |
    | span | "id", "text" (question), "text_pair" (context), "answers" and "starts" (lists of texts and of the |
    | | characters they start at; empty where the context has no answer) |
    | generation | "text", and "target" (a text) to train on or "references" (list of texts) to score against |

    Attributes:
        name: the task's name; for the user's files the name of the training file.
        kind: what is predicted.
        splits: "train", "validation", maybe more, e.g. "test", "validation_mismatched", "memory_color".
        label_names: names of the classes in the order of their indices; None where there are none.
        metrics: names of the scores, the one that counts first.
        has_pair: whether a sample is a pair of texts.
        notes: what a report on these data must say, e.g. that a split is a sample of the published one.
        prompt: of a choice between statements of classes; None where rows have choices of their own.
    """

    name: str
    kind: Kind
    splits: dict[str, Dataset]
    label_names: tuple[str, ...] | None
    metrics: tuple[str, ...]
    has_pair: bool
    notes: tuple[str, ...] = ()
    prompt: Prompt | None = None

    @property
    def metric(self) -> str:
        """The score that counts."""
        return self.metrics[0]

    @property
    def labelled(self) -> dict[str, Dataset]:
        """The splits that can be trained on or scored."""
        return {name: split for name, split in self.splits.items() if LABELS[self.kind] & set(split.column_names)}

    def scores(self, split: str, values: Mapping[str, float]) -> dict[str, float]:
        """A split's scores by the name that reports give them: the split's, with the metric's where there are several.

        Args:
            values: by metric.
        """
        if len(self.metrics) == 1:
            return {split: values[self.metric]}
        return {f"{split}/{metric}": values[metric] for metric in self.metrics}


LABELS: dict[Kind, set[str]] = {
    "classification": {"label"},
    "regression": {"label"},
    "choice": {"label"},
    "span": {"answers"},
    "generation": {"target", "references"},
}
"""Columns of which a labelled split has one."""


@dataclass(frozen=True)
class Defaults:
    """Hyper-parameters a task is trained with unless told otherwise; the values here are MaCSC's for GLUE.

    Attributes:
        learning_rate: of AdamW, at its peak.
        batch_size: samples a step, over all devices.
        epochs: passes over the training split.
        weight_decay: of AdamW.
        method_learning_rate: for the layers of a method, which start from nothing; None: the same.
        max_length: tokens of the backbone's sequences.
    """

    learning_rate: float = 1e-4
    batch_size: int = 32
    epochs: int = 3
    weight_decay: float = 0.01
    method_learning_rate: float | None = None
    max_length: int = 128


class Task(ABC):
    """A task with a name: what is predicted, how it is scored, and where its data are.

    Attributes:
        name: key in the registry.
        kind: what is predicted.
        metrics: names of the scores, the one that counts first.
        label_names: names of the classes by index; None where there are none.
        has_pair: whether a sample is a pair of texts.
        defaults: hyper-parameters.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = "classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    label_names: ClassVar[tuple[str, ...] | None] = None
    has_pair: ClassVar[bool] = False
    defaults: ClassVar[Defaults] = Defaults()

    @abstractmethod
    def load(self, data_dir: Path | None = None) -> TaskData:
        """All splits; `data_dir` is the task's folder or its parent. Raises PolysenseError where there are no data."""

    def task_data(self, splits: dict[str, Dataset], notes: Sequence[str] = ()) -> TaskData:
        """The splits with what the class says about them."""
        return TaskData(self.name, self.kind, splits, self.label_names, self.metrics, self.has_pair, tuple(notes))


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
