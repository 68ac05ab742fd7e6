"""What all competitors have in common: what they are told, and what they give back."""

from __future__ import annotations

import inspect
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from polysense.folder import file_digest
from polysense.modality import TEXT
from polysense.tasks import TaskData

BATCH_SIZE = 16
"""Of the tutorials of transformers, and SetFit's default."""

MAX_LENGTH = 128
"""Tokens of a text or pair."""

BF16 = True
"""Mixed precision with bfloat16, where training goes through transformers' Trainer; SetFit's default is none."""

WEIGHT_DECAY = 0.01
"""Of the tutorials of transformers, and Polysense's default."""


@dataclass(frozen=True)
class Setting:
    """One point of the grid that settings are chosen from.

    Attributes:
        learning_rate: at its peak.
        epochs: passes over the training rows.
    """

    learning_rate: float
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.learning_rate:.0e}, {self.epochs} epochs"


@dataclass(frozen=True)
class Seconds:
    """How long a piece of work took.

    Attributes:
        wall: by the clock on the wall, which other programs on the machine make longer.
        cpu: of this process on all its threads, which they lengthen less; says nothing of work on a GPU.
    """

    wall: float
    cpu: float


class Stopwatch:
    """Begins when it is made."""

    def __init__(self) -> None:
        self._began = Seconds(time.perf_counter(), time.process_time())

    def read(self) -> Seconds:
        """The time since then."""
        return Seconds(time.perf_counter() - self._began.wall, time.process_time() - self._began.cpu)


@dataclass(frozen=True)
class Outcome:
    """What a competitor gave.

    Attributes:
        score: accuracy on the scored rows, 0 to 1.
        training: opening the model, tokenising the training rows, all steps. No scoring, no prototypes.
        weights: what each modality counts for at the end.
    """

    score: float
    training: Seconds
    weights: dict[str, float] = field(default_factory=dict)


class Competitor(ABC):
    """A way to get a model from rows.

    Attributes:
        name: on the command line and in tables.
        epochs: passes over what it trains on, to choose from, where a size's are not meant for it.
        older: whether its numbers do not depend on Polysense's code.
        modalities: that it looks at, text first.
    """

    name: str
    epochs: ClassVar[tuple[int, ...] | None] = None
    older: ClassVar[bool] = True

    @property
    def modalities(self) -> list[str]:
        return [TEXT]

    def refusal(self, data: TaskData) -> str | None:  # noqa: ARG002
        """Why it does not apply to a task; None where it does."""
        return None

    @abstractmethod
    def identity(self) -> Any:
        """What its numbers depend on beside the rows, the setting and its own code, as plain JSON."""

    @classmethod
    def source_digest(cls) -> str:
        """Of the code that runs it."""
        return file_digest(Path(inspect.getfile(cls)))

    @abstractmethod
    def run(self, data: TaskData, backbone: str, setting: Setting, seed: int) -> Outcome:
        """Train on "train" and score "scored".

        Args:
            data: of `TaskRows.drawn`.
            backbone: "minilm", a hub id or a folder.
            seed: of initial weights, order and dropout.

        Raises:
            PolysenseError: it is not installed, or training diverged.
        """

    def reading(self, data: TaskData, backbone: str) -> Seconds:  # noqa: ARG002
        """How long reading the prototypes of "train" takes from nothing; 0 where there are none."""
        return Seconds(0.0, 0.0)
