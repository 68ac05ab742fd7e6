"""Predictions from raw text by a model in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from tqdm.auto import tqdm

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.loading import hub_errors
from polysense.models import PolysenseForSequenceClassification, PolysenseProcessor
from polysense.models.backbone import READS_PICTURES
from polysense.models.processing import PROCESSOR_FILE, as_texts
from polysense.tasks import read_texts
from polysense.text import Text, clean

AHEAD = 1024
"""Texts whose prototypes are read together: more than a batch, since towers are quicker on many texts."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one text.

    Attributes:
        label: the name of the class, or the value.
        probabilities: by class name; empty for regression.
    """

    label: str | float
    probabilities: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        if not self.probabilities:
            return {"prediction": self.label}
        return {"prediction": self.label, "probabilities": self.probabilities}


class Predictor:
    """A trained model with its processor, ready for raw text.

    Example:
        >>> Predictor.load("models/color").predict(["the color of a banana"])[0].label
        'yellow'
    """

    def __init__(
        self, model: PolysenseForSequenceClassification, processor: PolysenseProcessor, batch_size: int = 64
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.batch_size = batch_size

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
    def label_names(self) -> tuple[str, ...] | None:
        """Names of the classes; None for regression."""
        config = self.model.config
        if config.target["kind"] == "regression":
            return None
        return tuple(config.id2label[i] for i in range(config.num_labels))

    def predict(
        self, text: str | Sequence[str], text_pair: str | Sequence[str] | None = None, progress: bool = False
    ) -> list[Prediction]:
        """One prediction a text, in order; the empty text has one like any other."""
        return [self.prediction(row) for row in self.scores(as_texts(text, text_pair), progress)]

    @torch.no_grad()
    def scores(self, texts: Sequence[Text], progress: bool = False) -> Iterator[torch.Tensor]:
        """Per text its log-probabilities (C,), or its value ()."""
        texts = list(texts)
        with tqdm(total=len(texts), desc="predict", unit="text", disable=not progress, leave=False) as bar:
            ahead = max(1, AHEAD // self.batch_size) * self.batch_size
            for start in range(0, len(texts), self.batch_size):
                if start % ahead == 0:
                    self.processor.look_ahead(texts[start : start + ahead])
                batch = texts[start : start + self.batch_size]
                inputs = self.processor.collate([self.processor.tokenize(text) for text in batch], batch)
                yield from self.model(**inputs.to(self.model.device)).logits.cpu()
                bar.update(len(batch))

    def prediction(self, scores: torch.Tensor) -> Prediction:
        """What the scores of one text say: its log-probabilities (C,), or its value ()."""
        names = self.label_names
        if names is None:
            return Prediction(float(scores), {})
        probabilities = dict(zip(names, scores.exp().tolist(), strict=True))
        return Prediction(max(probabilities, key=probabilities.__getitem__), probabilities)


def load_trained(
    folder: str | Path, store: Store = None
) -> tuple[PolysenseForSequenceClassification, PolysenseProcessor]:
    """A trained model and its processor; `store` as in `Predictor.load`.

    Raises:
        PolysenseError: the folder holds no such model, or its tower cannot be had.
    """
    folder = Path(folder)
    if not (folder / PROCESSOR_FILE).exists():
        raise PolysenseError(f"{folder} is no trained Polysense model: there is no {PROCESSOR_FILE} in it")
    processor = PolysenseProcessor.from_pretrained(folder, store)
    with hub_errors("model", str(folder)):
        model = PolysenseForSequenceClassification.from_pretrained(str(folder))
    if model.config.widths != processor.widths:
        raise PolysenseError(
            f"{folder}: {PROCESSOR_FILE} names towers of widths {processor.widths}, the model was trained with "
            f"{model.config.widths}; copy the whole folder again"
        )
    return model, processor


def read_inputs(
    text: Sequence[str] | None, text_pair: Sequence[str] | None, file: Path | None, text_columns: Sequence[str]
) -> tuple[list[str], list[str] | None]:
    """First texts, and second ones if there are pairs, from what a person gave: texts or a file.

    Raises:
        PolysenseError: neither or both were given, or the file cannot be read.
    """
    if (not text) == (file is None):
        raise PolysenseError("give either texts or a file (--text or --file)")
    if file is None:
        return [clean(t) for t in text or []], [clean(t) for t in text_pair] if text_pair else None
    if text_pair:
        raise PolysenseError("second texts go with --text; name the two columns of a file with --text-column twice")
    rows = read_texts(file, list(text_columns))
    return list(rows["text"]), list(rows["text_pair"]) if "text_pair" in rows.column_names else None
