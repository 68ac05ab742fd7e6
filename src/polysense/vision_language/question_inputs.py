"""From questions about pictures to what a model with a method reads: tokens, prototypes, scene graph and regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoConfig

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.loading import hub_errors, open_auto
from polysense.methods.catalog import MethodConfig
from polysense.models import PolysenseProcessor
from polysense.prototypes.reading import Reading
from polysense.vision_language.examples import Question
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.processing import CmalProcessor
from polysense.vision_language.regions import Regions
from polysense.vision_language.tasks import Split


class QuestionProcessor:
    """Questions and the regions of their pictures to the inputs of a model; saved beside it.

    Args:
        text: the question's tokens, prototypes and scene graph.
        pictures: the regions.

    Example:
        >>> model, processor = load_with_method(folder)
        >>> model(**processor(["what is on the table?"], [regions])).logits
    """

    def __init__(self, text: PolysenseProcessor, pictures: CmalProcessor) -> None:
        self.text, self.pictures = text, pictures

    @classmethod
    def from_start(
        cls, start: str | Path, method: MethodConfig, towers: Mapping[str, str], reading: Reading, store: Store = None
    ) -> Self:
        """For a model to fine-tune from the folder `start`; a method that looks at text alone opens no tower.

        Raises:
            PolysenseError: `start` is no CMAL, or a tower or the parser of scene graphs cannot be had.
        """
        pictures = CmalProcessor.from_pretrained(start)
        with hub_errors("model", str(start)):
            config = open_auto(AutoConfig, start)
        if not isinstance(config, CmalConfig):
            raise PolysenseError(
                f"{start}: a {config.model_type} model is no pre-trained CMAL; give a folder that vl pretrain wrote"
            )
        used, longest = towers if method.multimodal else {}, pictures.settings.max_length
        text = PolysenseProcessor.from_backbone(str(start), used, reading, longest, store, method.uses_graph)
        return cls(text, pictures)

    def __call__(self, questions: Sequence[str], regions: Sequence[Regions]) -> dict[str, Any]:
        """The inputs of as many questions as pictures: padded tensors on the CPU."""
        return self.collate([self.text.tokenize(question) for question in questions], questions, regions)

    def collate(
        self, tokens: Sequence[Mapping[str, Any]], questions: Sequence[str], regions: Sequence[Regions]
    ) -> dict[str, Any]:
        """The same of questions that are tokenised already."""
        return {**self.text.collate(tokens, questions), **self.pictures.region_inputs(regions)}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both parts; the tokenizer is one."""
        self.text.save_pretrained(folder)
        self.pictures.save_pretrained(folder)


class QuestionRows:
    """The questions of a split, tokenised once, as training and the E-steps take them.

    Args:
        labels: classes of the examples; None where they are not known.
    """

    def __init__(
        self, split: Split[Question], processor: QuestionProcessor, labels: Sequence[int] | None = None
    ) -> None:
        self.split, self.processor, self.labels = split, processor, labels
        self._tokens = {text: processor.text.tokenize(text) for text in {e.text for e in split.examples}}

    def __len__(self) -> int:
        return len(self.split.examples)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row's question."""
        return [len(self._tokens[example.text]["input_ids"]) for example in self.split.examples]

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        example = self.split.examples[index]
        row: dict[str, Any] = {"tokens": self._tokens[example.text], "text": example.text, "picture": example.picture}
        if self.labels is not None:
            row["label"] = self.labels[index]
        return row

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The inputs of the model, with `labels` where they are known."""
        regions = [self.split.of(row["picture"]) for row in rows]
        batch = self.processor.collate([row["tokens"] for row in rows], [row["text"] for row in rows], regions)
        if self.labels is not None:
            batch["labels"] = torch.tensor([row["label"] for row in rows])
        return batch
