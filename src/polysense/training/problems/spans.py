"""Extractive question answering: the answer is a part of the context, which is read in windows where it is long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence
from transformers import PretrainedConfig

from polysense.errors import PolysenseError
from polysense.models import PolysenseProcessor
from polysense.models.processing import PLACES, token_places
from polysense.report import Answer, Row
from polysense.tasks import TaskData
from polysense.tasks.span_metrics import best_threshold, exact_match, score_spans
from polysense.text import clean
from polysense.training.divergence import check_finite
from polysense.training.problems.base import Collate, Prediction, Problem
from polysense.training.problems.span_answers import SpanAnswer, best_answer

STRIDE = 128
"""Tokens that two windows of a context share, at most (Devlin et al., 2019, A.3)."""


SHORTEST = 16
"""Tokens that a window has at least."""


@dataclass(frozen=True)
class Window:
    """A question with a part of its context, as tokens.

    Attributes:
        row: of the split.
        tokens: what the backbone reads, and places for scene graphs.
        starts, ends: (L,) the first character of the context that a token stands for and the one after its last.
        candidates: (L,) bool, tokens of the context.
        label: places of the answer's first and last token; (0, 0) where the window holds no answer.
    """

    row: int
    tokens: dict[str, Any]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    candidates: NDArray[np.bool_]
    label: tuple[int, int]


class SpanRows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The windows of a split's rows.

    A row whose answers are known is trained towards its first one.

    Args:
        by_length: put the windows in the order of their numbers of tokens.

    Raises:
        PolysenseError: the tokenizer gives no character offsets.
    """

    def __init__(self, split: Dataset, processor: PolysenseProcessor, by_length: bool = False) -> None:
        if not processor.tokenizer.is_fast:
            raise PolysenseError(
                f"backbone {processor.tokenizer.name_or_path}: its tokenizer gives no character offsets, which spans "
                "need; choose a backbone with a fast tokenizer"
            )
        if processor.max_length < SHORTEST:
            raise PolysenseError(
                f"max-length {processor.max_length}: a question and a part of its context need {SHORTEST} tokens"
            )
        self.split = split
        self.texts = [
            (clean(question), clean(context))
            for question, context in zip(split["text"][:], split["text_pair"][:], strict=True)
        ]
        answers = [("", -1)] * len(split)
        if "answers" in split.column_names:
            known = zip(split["answers"][:], split["starts"][:], strict=True)
            answers = [(texts[0], starts[0]) if texts else ("", -1) for texts, starts in known]
        windows = [
            window
            for row, (text, (answer, start)) in enumerate(zip(self.texts, answers, strict=True))
            for window in windows_of(processor, row, text, start, start + len(answer))
        ]
        self.windows = sorted(windows, key=lambda w: len(w.starts)) if by_length else windows
        self.lengths = [len(window.starts) for window in self.windows]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        window = self.windows[index]
        return {
            "tokens": window.tokens,
            "text": self.texts[window.row],
            "candidates": window.candidates,
            "label": window.label,
        }

    def answers(self, log_p: np.ndarray) -> list[SpanAnswer]:
        """The best span of each row over all its windows.

        Args:
            log_p: (windows, 1 + at least L, 2) log-probabilities of the places, in the order of the windows.
        """
        best: dict[int, SpanAnswer] = {}
        for window, scores in zip(self.windows, log_p, strict=True):
            found = best_answer(scores[: 1 + len(window.starts)], window.candidates)
            if found.last >= 0:
                begin, end = int(window.starts[found.first]), int(window.ends[found.last])
                found = found.read(self.texts[window.row][1][begin:end], begin)
            best[window.row] = found.better_of(best.get(window.row))
        return [best[row] for row in range(len(self.texts))]


def windows_of(
    processor: PolysenseProcessor, row: int, text: tuple[str, str], begin: int, end: int, stride: int = STRIDE
) -> list[Window]:
    """A question and its context in windows of the processor's length.

    A question that leaves less than half a window to the context is cut to that half.

    Args:
        begin, end: the answer's characters; begin < 0 for none.
    """
    tokenizer, longest = processor.tokenizer, processor.max_length
    question, context = text
    asked = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)
    if len(asked["input_ids"]) > longest // 2:
        question = question[: asked["offset_mapping"][longest // 2 - 1][1]]
    encoding = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=longest,
        stride=min(stride, longest // 4),
        return_overflowing_tokens=True,
    )
    windows = []
    for i, part in enumerate(encoding.encodings):
        candidates = np.array([owner == 1 for owner in part.sequence_ids])
        starts, ends = np.array(part.offsets, np.int32).reshape(-1, 2).T
        tokens = {name: encoding[name][i] for name in tokenizer.model_input_names if name in encoding}
        if processor.graphs is not None:
            tokens[PLACES] = token_places(part)
        inside = np.flatnonzero(candidates & (starts < end) & (ends > begin)) if begin >= 0 else np.array([], int)
        # An answer that a window cuts is none of its.
        whole = len(inside) and starts[inside[0]] <= begin and ends[inside[-1]] >= end
        label = (1 + int(inside[0]), 1 + int(inside[-1])) if whole else (0, 0)
        windows.append(Window(row, tokens, starts, ends, candidates, label))
    return windows


def collate_spans(processor: PolysenseProcessor, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows of `SpanRows` to the inputs of `PolysenseForQuestionAnswering`."""
    batch = dict(processor.collate([row["tokens"] for row in rows], [row["text"] for row in rows]))
    batch["candidates"] = pad_sequence([torch.from_numpy(row["candidates"]) for row in rows], batch_first=True)
    batch["labels"] = torch.tensor([row["label"] for row in rows])
    return batch


class Span(Problem):
    """A part of the context, or no answer where training has rows without one."""

    def target(self, data: TaskData) -> dict[str, Any]:
        answers = data.splits["train"]["answers"][:]
        share = sum(not texts for texts in answers) / len(answers)
        return {"frequency": [share, 1 - share] if share else None}

    def score_note(self, config: PretrainedConfig) -> str:
        if config.target["frequency"] is None:
            return ""
        return (
            "After each epoch the best span is the answer unless “no answer” is likelier. The scores at the end ask "
            f"that its log-probability is larger by {config.no_answer_margin:+.2f}, chosen on these rows then."
        )

    def fit(self, model: Any, rows: SpanRows) -> None:
        """The shares of Eq. 4 are those of the windows: the rows that a prediction is made of and trained on.

        A long context has many windows without its answer, so "no answer" is more frequent than among the questions.
        """
        if model.target.always_answered:
            return
        share = sum(window.label == (0, 0) for window in rows.windows) / len(rows.windows)
        model.target.frequency = [share, 1 - share]
        model.config.target = {**model.config.target, "frequency": model.target.frequency}

    def rows(self, split: Dataset, processor: PolysenseProcessor, by_length: bool = False) -> SpanRows:
        return SpanRows(split, processor, by_length)

    def collator(self, processor: PolysenseProcessor) -> Collate:
        return lambda rows: collate_spans(processor, rows)

    def score(
        self, data: TaskData, rows: SpanRows, predictions: np.ndarray, config: PretrainedConfig
    ) -> dict[str, float]:
        check_finite(predictions)
        found = rows.answers(predictions)
        texts = {i: answer.text_or_none(config) for i, answer in zip(rows.split["id"][:], found, strict=True)}
        scores = score_spans(texts, _gold(rows.split))
        return {metric: scores[metric] for metric in data.metrics}

    def predictions(self, rows: SpanRows, outputs: np.ndarray, config: PretrainedConfig) -> list[Prediction]:
        return [Prediction(answer.text_or_none(config), {}) for answer in rows.answers(outputs)]

    def answers(
        self, rows: SpanRows, outputs: np.ndarray, seen: Sequence[Row], config: PretrainedConfig
    ) -> list[Answer]:
        told = []
        for found, row in zip(rows.answers(outputs), seen, strict=True):
            text = found.text_or_none(config)
            sure = float(np.exp(found.score if text else found.no_answer))
            told.append(Answer(text, sure, bool(exact_match(text, row["answers"])), found.begin if text else None))
        return told

    def calibrate(self, rows: SpanRows, predictions: np.ndarray, model: Any) -> None:
        """How much likelier than the best span "no answer" must be: what gives the validation rows the best F1."""
        if model.target.always_answered:
            return
        found = dict(zip(rows.split["id"][:], rows.answers(predictions), strict=True))
        margins = {i: answer.margin for i, answer in found.items()}
        texts = {i: answer.text for i, answer in found.items()}
        model.config.no_answer_margin = best_threshold(margins, texts, _gold(rows.split)).threshold


def _gold(split: Dataset) -> dict[str, list[str]]:
    return dict(zip(split["id"][:], split["answers"][:], strict=True))
