"""How a kind of task is trained and scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from datasets import Dataset
from torch import Tensor
from transformers import PretrainedConfig

from polysense.methods.catalog import MethodConfig
from polysense.models import PolysenseProcessor
from polysense.report import Answer, Row
from polysense.tasks import TaskData
from polysense.training.e_step import head_information
from polysense.training.settings import TrainingSettings

Collate = Callable[[Sequence[dict[str, Any]]], dict[str, Any]]
"""Rows to the inputs of a model, with `labels` where they are known."""


class Rows(Protocol):
    """The rows of a split as the Trainer takes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> dict[str, Any]: ...

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one row.

    Attributes:
        label: the name of the class, the value, or the text: of the choice, the answer ("" for none), what was written.
        probabilities: by class or choice; empty where there are none.
    """

    label: str | float
    probabilities: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        if not self.probabilities:
            return {"prediction": self.label}
        return {"prediction": self.label, "probabilities": self.probabilities}


class Problem(ABC):
    """What the steps of training and scoring ask of a kind of task.

    Attributes:
        generates: whether `outputs` are written token by token, not the `logits` that the loss is computed from.
    """

    generates: ClassVar[bool] = False

    def with_settings(self, settings: TrainingSettings) -> Problem:  # noqa: ARG002
        """The same as a run's settings ask for it."""
        return self

    def check(self, data: TaskData) -> None:  # noqa: B027
        """Before any training: raises PolysenseError where scoring needs what this machine does not have."""

    def notes(self, method: MethodConfig) -> tuple[str, ...]:  # noqa: ARG002
        """What a report must say of the method on such a task."""
        return ()

    def score_note(self, config: PretrainedConfig) -> str:  # noqa: ARG002
        """How the scores after each epoch differ from those at the end, for under their charts; "" where they do not.

        Args:
            config: of the trained model.
        """
        return ""

    @abstractmethod
    def target(self, data: TaskData) -> dict[str, Any]:
        """What a model has to know of its labels: the arguments of a `Target`, without its kind."""

    def fit(self, model: Any, rows: Any) -> None:  # noqa: B027
        """Before training: what a model has to know of the training rows once they are tokenised; nothing here."""

    def label_settings(self, data: TaskData) -> dict[str, Any]:  # noqa: ARG002
        """What the configuration says of the labels beside the target."""
        return {}

    @abstractmethod
    def rows(self, split: Dataset, processor: PolysenseProcessor, by_length: bool = False) -> Rows:
        """A split, tokenised once; `by_length` in the order of the numbers of tokens."""

    @abstractmethod
    def collator(self, processor: PolysenseProcessor) -> Collate:
        """Makes batches of rows."""

    def outputs(self, model: Any, inputs: Mapping[str, Any]) -> Tensor:
        """What a prediction is made of, (B, ...), from the inputs of a batch."""
        logits: Tensor = model(**{name: value for name, value in inputs.items() if name != "labels"}).logits
        return logits

    @abstractmethod
    def predictions(self, rows: Any, outputs: np.ndarray, config: PretrainedConfig) -> list[Prediction]:
        """What the outputs say, one prediction a row of the split, in its order."""

    @abstractmethod
    def answers(self, rows: Any, outputs: np.ndarray, seen: Sequence[Row], config: PretrainedConfig) -> list[Answer]:
        """The same for a report: with confidence, and right or wrong, where `seen` says what is right."""

    def samples(self, model: Any, processor: PolysenseProcessor, data: TaskData) -> list[dict[str, Any]]:  # noqa: ARG002
        """A few rows with what the model writes of them; none where it does not write."""
        return []

    def information(self, model: Any, batches: Iterable[dict[str, Any]]) -> dict[str, float]:
        """I(h^m, y) of each modality in nats (MASE Eq. 10), from inputs with "labels", for the E-step."""
        return head_information(model, batches)

    @abstractmethod
    def score(self, data: TaskData, rows: Any, predictions: np.ndarray, config: PretrainedConfig) -> dict[str, float]:
        """Each of the task's metrics of a model's `logits`, in the order of `rows`.

        Raises:
            PolysenseError: training diverged.
        """

    def calibrate(self, rows: Any, predictions: np.ndarray, model: Any) -> None:  # noqa: B027
        """Choose on the validation rows what a prediction needs beside the weights; nothing here.

        Args:
            predictions: the model's `logits`, in the order of `rows`.
            model: its configuration keeps what was chosen.
        """
