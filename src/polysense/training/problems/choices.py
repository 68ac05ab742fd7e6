"""Multiple choice: each row has choices of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PretrainedConfig

from polysense.models import PolysenseProcessor
from polysense.report import Answer, Row
from polysense.report.look import read_classes
from polysense.tasks import TaskData, compute
from polysense.training.divergence import check_finite
from polysense.training.problems.base import Collate, Prediction, Problem
from polysense.training.problems.sentences import by_name, class_settings, class_shares


class ChoiceRows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The rows of a split, the pairs of text and choice tokenised once.

    Args:
        by_length: put them in the order of their numbers of tokens.
    """

    def __init__(self, split: Dataset, processor: PolysenseProcessor, by_length: bool = False) -> None:
        pairs = [
            [(text, choice) for choice in choices]
            for text, choices in zip(split["text"][:], split["choices"][:], strict=True)
        ]
        tokens = [[processor.tokenize(pair) for pair in row] for row in pairs]
        longest = [max(len(pair["input_ids"]) for pair in row) for row in tokens]
        order = sorted(range(len(pairs)), key=longest.__getitem__) if by_length else range(len(pairs))
        self.pairs = [pairs[i] for i in order]
        self.tokens = [tokens[i] for i in order]
        self.lengths = [longest[i] for i in order]
        labels = split["label"][:] if "label" in split.column_names else None
        self.labels = None if labels is None else [labels[i] for i in order]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = {"tokens": self.tokens[index], "pairs": self.pairs[index]}
        if self.labels is not None:
            row["label"] = self.labels[index]
        return row


def collate_choices(processor: PolysenseProcessor, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows of `ChoiceRows` to the inputs of `PolysenseForMultipleChoice`; a row of fewer choices repeats its first."""
    most = max(len(row["pairs"]) for row in rows)
    places = [[i if i < len(row["pairs"]) else 0 for i in range(most)] for row in rows]
    tokens = [row["tokens"][i] for row, chosen in zip(rows, places, strict=True) for i in chosen]
    texts = [row["pairs"][i] for row, chosen in zip(rows, places, strict=True) for i in chosen]
    batch = dict(processor.collate(tokens, texts))
    for name, value in batch.items():
        if isinstance(value, torch.Tensor):
            batch[name] = value.unflatten(0, (len(rows), most))
    for name in ("prototypes", "prototype_masks"):
        if name in batch:
            batch[name] = {m: values.unflatten(0, (len(rows), most)) for m, values in batch[name].items()}
    batch["candidates"] = torch.tensor([[i < len(row["pairs"]) for i in range(most)] for row in rows])
    if "label" in rows[0]:
        batch["labels"] = torch.tensor([row["label"] for row in rows])
    return batch


class Choice(Problem):
    """One of a row's own choices; where the task names classes, all rows have the same ones (prompts)."""

    def target(self, data: TaskData) -> dict[str, Any]:
        return {"frequency": class_shares(data) if data.label_names else None}

    def label_settings(self, data: TaskData) -> dict[str, Any]:
        if data.prompt is None:
            return {}
        return {**class_settings(data), "prompt": asdict(data.prompt)}

    def rows(self, split: Dataset, processor: PolysenseProcessor, by_length: bool = False) -> ChoiceRows:
        return ChoiceRows(split, processor, by_length)

    def collator(self, processor: PolysenseProcessor) -> Collate:
        return lambda rows: collate_choices(processor, rows)

    def score(
        self,
        data: TaskData,
        rows: ChoiceRows,
        predictions: np.ndarray,
        config: PretrainedConfig,  # noqa: ARG002
    ) -> dict[str, float]:
        check_finite(predictions)
        return {metric: compute(metric, predictions.argmax(axis=-1), rows.labels or []) for metric in data.metrics}

    def predictions(self, rows: ChoiceRows, outputs: np.ndarray, config: PretrainedConfig) -> list[Prediction]:  # noqa: ARG002
        texts = [[choice for _, choice in pairs] for pairs in rows.pairs]
        return [by_name(names, log_p[: len(names)]) for names, log_p in zip(texts, outputs, strict=True)]

    def answers(
        self,
        rows: ChoiceRows,
        outputs: np.ndarray,
        seen: Sequence[Row],
        config: PretrainedConfig,  # noqa: ARG002
    ) -> list[Answer]:
        return read_classes(rows, outputs, seen)
