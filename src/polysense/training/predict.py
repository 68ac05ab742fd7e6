"""Predictions from raw text by a model in a folder."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from accelerate.utils import send_to_device
from datasets import Dataset
from tqdm.auto import tqdm

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.loading import hub_errors
from polysense.models import MODELS, PolysenseConfig, PolysensePreTrainedModel, PolysenseProcessor
from polysense.models.backbone import READS_PICTURES
from polysense.models.processing import PROCESSOR_FILE, as_texts
from polysense.tasks import Kind, Prompt, read_texts
from polysense.text import Text, clean
from polysense.training.data import split_texts
from polysense.training.problems import PROBLEMS, Prediction, Problem, Rows

AHEAD = 1024
"""Texts whose prototypes are read together: more than a batch, since towers are quicker on many texts."""


class Predictor:
    """A trained model with its processor, ready for raw text.

    Its methods and `explain` may be called from several threads, which take turns; who uses `model` or `processor` by
    themselves holds the lock `turn` meanwhile.

    Example:
        >>> Predictor.load("models/color").predict(["the color of a banana"])[0].label
        'yellow'
    """

    def __init__(self, model: PolysensePreTrainedModel, processor: PolysenseProcessor, batch_size: int = 64) -> None:
        self.model = model.eval()
        self.processor = processor
        self.batch_size = batch_size
        # Tokenizers and what is remembered of prototypes are not made for several threads.
        self.turn = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "turn"}  # no lock can be copied

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= {**state, "turn": threading.RLock()}

    @classmethod
    def load(cls, folder: str | Path, batch_size: int = 64, store: Store = None) -> Self:
        """Open what `train` wrote; prototypes that are stored are not read again, new ones are not added.

        Raises:
            PolysenseError: the folder holds no such model, or its tower cannot be had.
        """
        model, processor = load_trained(folder, store)
        if model.config.backbone["model_type"] in READS_PICTURES:
            raise PolysenseError(f"{folder}: this model reads pictures too; use polysense vl, not its text alone")
        return cls(model, processor, batch_size)

    @property
    def problem(self) -> Problem:
        """What kind of task the model is for."""
        return PROBLEMS[self.kind]

    @property
    def kind(self) -> Kind:
        """What is predicted; a model that learnt classes from prompts chooses."""
        kind: Kind = self.model.config.target["kind"]
        return kind

    @property
    def prompt(self) -> Prompt | None:
        """The statements that stand for the classes, of a model that learnt from prompts."""
        prompt = self.model.config.prompt
        return Prompt(tuple(prompt["statements"]), prompt["has_pair"]) if prompt else None

    @property
    def has_pair(self) -> bool | None:
        """Whether the model was trained on pairs of texts; None where an older model does not say."""
        return self.prompt.has_pair if self.prompt else self.model.config.has_pair

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Names of the classes; None where there are none."""
        config = self.model.config
        if self.kind != "classification" and self.prompt is None:
            return None
        return tuple(config.id2label[i] for i in range(config.num_labels))

    def predict(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        choices: Sequence[Sequence[str]] | None = None,
        progress: bool = False,
    ) -> list[Prediction]:
        """One prediction a text, in order; the empty text has one like any other.

        Args:
            text: one or several; questions, for choices and spans.
            text_pair: the second of each pair; the contexts, for spans.
            choices: those of each text, for multiple choice. A model that learnt classes from prompts chooses between
                its own statements without them, and its predictions are classes.

        Raises:
            PolysenseError: what the kind of model needs is not given, what it has no use for is, the numbers differ, or
                the model was trained on pairs and these are none, or the other way round.
        """
        texts = as_texts(text, text_pair)
        prompt = self.prompt if choices is None else None
        if prompt is None:
            split, problem = as_split(self.kind, texts, choices), self.problem
        else:
            split, problem = stated(prompt, texts), PROBLEMS["classification"]
        if choices is None:
            self.check_texts(texts)
        predictions = []
        bar = tqdm(total=len(split), desc="predict", unit="text", disable=not progress, leave=False)
        with self.turn, bar:
            for start in range(0, len(split), AHEAD):
                some = split.select(range(start, min(start + AHEAD, len(split))))
                self.processor.look_ahead(split_texts(some))
                rows = self.problem.rows(some, self.processor)
                predictions += problem.predictions(rows, self.outputs(rows), self.model.config)
                bar.update(len(some))
        return predictions

    def scores(self, texts: Sequence[Text], progress: bool = False) -> torch.Tensor:
        """(N, C) log-probabilities of the classes of texts, or (N,) values."""
        split = as_split(self.kind, texts, None)
        self.check_texts(texts)
        with self.turn:
            self.processor.look_ahead(texts)
            return torch.from_numpy(self.outputs(self.problem.rows(split, self.processor), progress))

    def check_texts(self, texts: Sequence[Text], flags: str = "--text-pair, or --text-column twice") -> None:
        """Refuse texts of which a model would say something that it has not learnt.

        Args:
            texts: what is asked.
            flags: by which second texts are given.

        Raises:
            PolysenseError: single texts for a model that was trained on pairs, or the other way round.
        """
        if self.has_pair and not all(isinstance(text, tuple) for text in texts):
            raise PolysenseError(f"this model was trained on pairs of texts: give the second texts, too ({flags})")
        if self.has_pair is False and any(isinstance(text, tuple) for text in texts):
            raise PolysenseError(f"this model was trained on single texts: leave the second texts out ({flags})")

    def prediction(self, scores: torch.Tensor) -> Prediction:
        """What the scores of one text say: its log-probabilities (C,), or its value ()."""
        return self.problem.predictions(None, scores[None].cpu().numpy(), self.model.config)[0]

    @torch.no_grad()
    def outputs(self, rows: Rows, progress: bool = False) -> np.ndarray:
        """What predictions are made of, of rows in their order."""
        collate, parts = self.problem.collator(self.processor), []
        starts = tqdm(range(0, len(rows), self.batch_size), desc="predict", disable=not progress, leave=False)
        with self.turn:
            for start in starts:
                batch = collate([rows[i] for i in range(start, min(start + self.batch_size, len(rows)))])
                inputs = send_to_device(batch, self.model.device)
                parts.append(self.problem.outputs(self.model, inputs).float().cpu().numpy())
        return padded(parts)


def padded(parts: Sequence[np.ndarray]) -> np.ndarray:
    """(B, ...) arrays as one; where their second dimension differs, the shorter ones end in minus infinity."""
    if not parts or parts[0].ndim == 1:
        return np.concatenate(parts) if parts else np.empty(0, np.float32)
    longest = max(part.shape[1] for part in parts)
    widths = [[(0, 0), (0, longest - part.shape[1]), *[(0, 0)] * (part.ndim - 2)] for part in parts]
    return np.concatenate([np.pad(part, w, constant_values=-np.inf) for part, w in zip(parts, widths, strict=True)])


def as_split(kind: Kind, texts: Sequence[Text], choices: Sequence[Sequence[str]] | None) -> Dataset:
    """What a person asks, as the unlabelled rows of a task.

    Raises:
        PolysenseError: what the kind needs is not given, what it has no use for is, or the numbers differ.
    """
    if (choices is not None) != (kind == "choice"):
        raise PolysenseError(
            "this model chooses: give what to choose from (--choice, or a file with the field choices)"
            if kind == "choice"
            else f"this model is for {kind} and chooses from nothing: leave the choices out"
        )
    columns: dict[str, list[Any]] = {"text": [t[0] if isinstance(t, tuple) else t for t in texts]}
    if texts and isinstance(texts[0], tuple):
        columns["text_pair"] = [t[1] for t in texts]
    if choices is not None:
        if "text_pair" in columns:
            raise PolysenseError("this model chooses for single texts: leave the second texts out")
        if len(choices) != len(texts) or any(len(some) < 1 for some in choices):
            raise PolysenseError(f"{len(texts)} texts but {len(choices)} lists of choices, or an empty one")
        columns["choices"] = [list(some) for some in choices]
    if kind == "span":
        if "text_pair" not in columns and texts:
            raise PolysenseError("this model answers from a context: give it as the second text (--text-pair)")
        columns["id"] = [str(i) for i in range(len(texts))]
    return Dataset.from_dict(columns)


def stated(prompt: Prompt, texts: Sequence[Text]) -> Dataset:
    """What a person asks, with the statements of the classes to choose from."""
    pairs = [text if isinstance(text, tuple) else (text, "") for text in texts]
    return Dataset.from_dict({"text": [a for a, _ in pairs], "choices": [prompt.choices(b) for _, b in pairs]})


def load_trained(folder: str | Path, store: Store = None) -> tuple[PolysensePreTrainedModel, PolysenseProcessor]:
    """A trained model and its processor; `store` as in `Predictor.load`.

    Raises:
        PolysenseError: the folder holds no such model, or its tower cannot be had.
    """
    folder = Path(folder)
    if not (folder / PROCESSOR_FILE).exists():
        raise PolysenseError(f"{folder} is no trained Polysense model: there is no {PROCESSOR_FILE} in it")
    processor = PolysenseProcessor.from_pretrained(folder, store)
    with hub_errors("model", str(folder)):
        config = PolysenseConfig.from_pretrained(str(folder))
        model = MODELS[config.target["kind"]].from_pretrained(str(folder))
    if model.config.widths != processor.widths:
        raise PolysenseError(
            f"{folder}: {PROCESSOR_FILE} names towers of widths {processor.widths}, the model was trained with "
            f"{model.config.widths}; copy the whole folder again"
        )
    return model, processor


@dataclass(frozen=True)
class Inputs:
    """What a person asks.

    Attributes:
        texts: first texts; questions, sources.
        pairs: second texts, if there are any; contexts.
        choices: those of each text, if there are any.
        ids: of the questions of a file, if they have any.
    """

    texts: list[str]
    pairs: list[str] | None = None
    choices: list[list[str]] | None = None
    ids: list[str] | None = None

    def rows(self, predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
        """Texts with what was predicted of them, as plain JSON."""
        named = {"id": self.ids, "text": self.texts, "text_pair": self.pairs}
        columns = {name: values for name, values in named.items() if values is not None}
        return [
            {**{name: values[i] for name, values in columns.items()}, **prediction.to_dict()}
            for i, prediction in enumerate(predictions)
        ]


def read_inputs(
    text: Sequence[str] | None,
    text_pair: Sequence[str] | None = None,
    choices: Sequence[str] | None = None,
    file: Path | None = None,
    text_columns: Sequence[str] = ("text",),
    kind: Kind | None = None,
) -> Inputs:
    """What is asked, from what a person gave: texts or a file.

    Args:
        text: texts, or None for a file.
        text_pair: second texts beside `text`.
        choices: to choose from, the same for all texts.
        file: as in `tasks.read_texts`, with the columns `text_columns`.
        kind: of the model.

    Raises:
        PolysenseError: neither or both of texts and file were given, the file cannot be read, or it has choices beside
            those given.
    """
    if (not text) == (file is None):
        raise PolysenseError("give either texts or a file (--text or --file)")
    if file is None:
        texts, pairs = [clean(t) for t in text or []], [clean(t) for t in text_pair] if text_pair else None
        return Inputs(texts, pairs, [list(choices)] * len(texts) if choices else None)
    if text_pair:
        raise PolysenseError("second texts go with --text; name the two columns of a file with --text-column twice")
    found = read_texts(file, list(text_columns), kind)
    columns = {name: found[name][:] for name in found.column_names}
    if choices and "choices" in columns:
        raise PolysenseError(f"{file} has choices of its own: leave --choice out")
    given = [list(choices)] * len(found) if choices else columns.get("choices")
    return Inputs(columns["text"], columns.get("text_pair"), given, columns.get("id"))
