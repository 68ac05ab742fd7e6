"""What a downstream task is: its examples, its head, its labels, and how it is scored."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from polysense.errors import PolysenseError
from polysense.training.divergence import check_finite
from polysense.vision_language.models.cmal import CmalPreTrainedModel
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.processing import CmalProcessor, blank
from polysense.vision_language.regions import Regions, RegionSource

E = TypeVar("E")


@dataclass(frozen=True)
class Defaults:
    """A task's hyper-parameters in the code released with CMAL, where that has the task.

    Attributes:
        learning_rate: of AdamW, at its peak. head_factor: how many times that the head's is.
        steps: of training. warmup: share of them over which the rate rises.
        batch_size: examples a step.
    """

    learning_rate: float
    steps: int
    warmup: float
    head_factor: float = 1.0
    batch_size: int = 64


@dataclass
class Split(Generic[E]):
    """Examples of a task and the regions of their pictures.

    Attributes:
        examples: what `Task.read` gives.
        regions: of all their pictures.
        look: False hides every region: the score of text alone.
        most: regions of a picture that are candidates, the first ones: as many as the model reads; None: all.
    """

    examples: Sequence[E]
    regions: RegionSource
    look: bool = True
    most: int | None = None
    _tokens: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def digest(self) -> str:
        """SHA-256 of the examples: the same for the same data."""
        return hashlib.sha256(json.dumps([asdict(cast("Any", e)) for e in self.examples]).encode()).hexdigest()

    def of(self, picture: str) -> Regions:
        """What is seen of a picture; the processor cuts it to what the model reads."""
        found = self.regions[picture]
        return found if self.look else blank(found)

    def boxes(self, picture: str) -> NDArray[np.float32]:
        """(R, 4) boxes of the candidates."""
        return self.regions[picture].boxes[: self.most]

    def tokens(self, text: str, processor: CmalProcessor) -> list[int]:
        """Token ids of a text, read once."""
        if text not in self._tokens:
            self._tokens[text] = processor.tokenize(text)
        return self._tokens[text]


class Task(ABC, Generic[E]):
    """A downstream task.

    Attributes:
        name: on the command line.
        model: its class.
        defaults: hyper-parameters.
        metric: the name of the score that counts, a key of what `evaluate` gives.
        text_alone: whether text without regions can be scored; not where the answer is a region or a picture.
    """

    name: ClassVar[str]
    model: ClassVar[type[CmalPreTrainedModel]]
    defaults: ClassVar[Defaults]
    metric: ClassVar[str] = "accuracy"
    text_alone: ClassVar[bool] = True

    def check_look(self, look: bool) -> None:
        """Refuse to hide the regions where text alone has nothing to choose from.

        Raises:
            PolysenseError: `look` is False and `text_alone` is, too.
        """
        if not look and not self.text_alone:
            raise PolysenseError(
                f"{self.name}: without pictures there is nothing to choose from; score text alone on another task"
            )

    @abstractmethod
    def read(self, folder: Path) -> list[E]:
        """The examples of a split's folder, in the format that the data set is published in."""

    @abstractmethod
    def text(self, example: E) -> str: ...

    @abstractmethod
    def pictures(self, example: E) -> tuple[str, ...]:
        """One, or two."""

    def configure(self, examples: Sequence[E]) -> dict[str, Any]:  # noqa: ARG002
        """What a fresh `CmalConfig` has to know of the training examples."""
        return {}

    @abstractmethod
    def labels(self, examples: Sequence[E], split: Split[E], config: CmalConfig) -> dict[str, Tensor]:
        """What the model's `forward` takes beside the inputs to give a loss."""

    def labelled(self, example: E) -> bool:  # noqa: ARG002
        """Whether the example can be learnt from and scored."""
        return True

    def usable(self, split: Split[E]) -> tuple[Split[E], dict[str, int]]:
        """The examples that can be learnt from, and how many are left out by reason."""
        return split, {}

    def collate(self, examples: Sequence[E], split: Split[E], processor: CmalProcessor) -> dict[str, Tensor]:
        """The inputs of the model."""
        seen = [split.of(picture) for example in examples for picture in self.pictures(example)]
        texts = [split.tokens(self.text(example), processor) for example in examples]
        return {**processor.text_inputs(texts), **processor.region_inputs(seen)}

    @abstractmethod
    def evaluate(
        self, model: Any, processor: CmalProcessor, split: Split[E], batch_size: int = 64, progress: bool = True
    ) -> dict[str, float]:
        """Scores, 0 to 1, by name."""


class ExampleTask(Task[E]):
    """A task whose examples are scored one by one from the model's logits."""

    def evaluate(
        self, model: Any, processor: CmalProcessor, split: Split[E], batch_size: int = 64, progress: bool = True
    ) -> dict[str, float]:
        outputs = [row for batch in self.outputs(model, processor, split, batch_size, progress) for row in batch]
        for row in outputs:
            check_finite(row.numpy())
        return self.score(split, outputs, model.config)

    @torch.no_grad()
    def outputs(
        self, model: Any, processor: CmalProcessor, split: Split[E], batch_size: int, progress: bool
    ) -> Iterator[Tensor]:
        """Logits by batch, on the CPU, the examples in order."""
        model.eval()
        starts = range(0, len(split.examples), batch_size)
        for start in tqdm(starts, desc=self.name, unit="batch", disable=not progress, leave=False):
            inputs = self.collate(split.examples[start : start + batch_size], split, processor)
            on_device = {name: value.to(model.device) for name, value in inputs.items()}
            yield model(**on_device).logits.float().cpu()

    @abstractmethod
    def score(self, split: Split[E], outputs: Sequence[Tensor], config: CmalConfig) -> dict[str, float]:
        """Scores of one row of logits an example."""
