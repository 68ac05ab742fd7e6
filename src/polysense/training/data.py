"""A task's splits as the Trainer takes them: tokens ahead of time, prototypes looked up when a batch is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset

from polysense.models.processing import PolysenseProcessor
from polysense.text import Text


class Samples(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The rows of a split, tokenised once.

    Args:
        split: of a task.
        processor: of the model.
        by_length: put them in the order of their numbers of tokens, so that batches hold little padding.
    """

    def __init__(self, split: Dataset, processor: PolysenseProcessor, by_length: bool = False) -> None:
        texts = split_texts(split)
        tokens = [processor.tokenize(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]["input_ids"])) if by_length else range(len(texts))
        self.texts = [texts[i] for i in order]
        self.tokens = [tokens[i] for i in order]
        labels = split["label"][:] if "label" in split.column_names else None
        self.labels = None if labels is None else [labels[i] for i in order]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(row["input_ids"]) for row in self.tokens]

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = {"tokens": self.tokens[index], "text": self.texts[index]}
        if self.labels is not None:
            row["label"] = self.labels[index]
        return row


class Collator:
    """Rows of `Samples` to the inputs of a model."""

    def __init__(self, processor: PolysenseProcessor) -> None:
        self.processor = processor

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch = dict(self.processor.collate([row["tokens"] for row in rows], [row["text"] for row in rows]))
        if "label" in rows[0]:
            batch["labels"] = torch.tensor([row["label"] for row in rows])
        return batch


def has_pairs(split: Dataset) -> bool:
    """Whether a split's rows are pairs of texts."""
    return "text_pair" in split.column_names


def split_texts(split: Dataset) -> list[Text]:
    """The texts that a split's rows are read as, alone or in pairs; of a multiple choice one with each choice."""
    if "choices" in split.column_names:
        rows = zip(split["text"], split["choices"], strict=True)
        return [(text, choice) for text, choices in rows for choice in choices]
    if has_pairs(split):
        return list(zip(split["text"], split["text_pair"], strict=True))
    return list(split["text"])
