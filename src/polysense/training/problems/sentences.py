"""Classification and regression of texts and pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PretrainedConfig

from polysense.methods.targets import value_target
from polysense.models import PolysenseProcessor
from polysense.report import Answer, Row
from polysense.report.look import read_classes, read_values
from polysense.tasks import TaskData, compute
from polysense.training.data import Collator, Samples
from polysense.training.divergence import check_finite
from polysense.training.problems.base import Collate, Prediction, Problem


def class_shares(data: TaskData) -> list[float]:
    """Each class's share of the training rows (MaCSC Eq. 4: pi_e)."""
    labels = data.splits["train"]["label"][:]
    counts = Counter(labels)
    return [counts[i] / len(labels) for i in range(len(data.label_names or ()))]


def class_settings(data: TaskData) -> dict[str, Any]:
    """What a configuration says of a task's classes."""
    names = data.label_names or ()
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


class Classification(Problem):
    """One of the task's classes."""

    def target(self, data: TaskData) -> dict[str, Any]:
        return {"frequency": class_shares(data)}

    def label_settings(self, data: TaskData) -> dict[str, Any]:
        return {**class_settings(data), "problem_type": "single_label_classification"}

    def rows(self, split: Dataset, processor: PolysenseProcessor, by_length: bool = False) -> Samples:
        return Samples(split, processor, by_length)

    def collator(self, processor: PolysenseProcessor) -> Collate:
        return Collator(processor)

    def score(
        self,
        data: TaskData,
        rows: Samples,
        predictions: np.ndarray,
        config: PretrainedConfig,  # noqa: ARG002
    ) -> dict[str, float]:
        check_finite(predictions)
        return {metric: compute(metric, predictions.argmax(axis=-1), rows.labels or []) for metric in data.metrics}

    def predictions(self, rows: Samples, outputs: np.ndarray, config: PretrainedConfig) -> list[Prediction]:  # noqa: ARG002
        labels: Any = config.id2label
        names = [labels[i] for i in range(len(labels))]
        return [by_name(names, log_p) for log_p in outputs]

    def answers(
        self,
        rows: Samples,
        outputs: np.ndarray,
        seen: Sequence[Row],
        config: PretrainedConfig,  # noqa: ARG002
    ) -> list[Answer]:
        return read_classes(rows, outputs, seen)


def by_name(names: Sequence[str], log_p: np.ndarray) -> Prediction:
    """The likeliest of some names, and the probabilities of all."""
    probabilities: dict[str, float] = {}
    for name, p in zip(names, np.exp(log_p).tolist(), strict=True):  # two choices may read the same
        probabilities[name] = probabilities.get(name, 0.0) + p
    return Prediction(names[int(log_p.argmax())], probabilities)


class Regression(Classification):
    """A value."""

    def target(self, data: TaskData) -> dict[str, Any]:
        return value_target(data.splits["train"]["label"][:])

    def label_settings(self, data: TaskData) -> dict[str, Any]:  # noqa: ARG002
        return {"num_labels": 1, "problem_type": "regression"}

    def score(
        self,
        data: TaskData,
        rows: Samples,
        predictions: np.ndarray,
        config: PretrainedConfig,  # noqa: ARG002
    ) -> dict[str, float]:
        check_finite(predictions)
        return {metric: compute(metric, predictions, rows.labels or []) for metric in data.metrics}

    def predictions(self, rows: Samples, outputs: np.ndarray, config: PretrainedConfig) -> list[Prediction]:  # noqa: ARG002
        return [Prediction(float(value), {}) for value in outputs]

    def answers(
        self,
        rows: Samples,
        outputs: np.ndarray,
        seen: Sequence[Row],
        config: PretrainedConfig,  # noqa: ARG002
    ) -> list[Answer]:
        return read_values(rows, outputs, seen)
