"""What a training run is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from polysense.errors import PolysenseError
from polysense.tasks import Defaults


@dataclass(frozen=True)
class TrainingSettings:
    """Hyper-parameters of a run; the defaults are MaCSC's for GLUE (A.3).

    Attributes:
        learning_rate: of AdamW for the backbone, at its peak.
        method_learning_rate: for the method's own layers, which start from nothing; None: as the backbone's.
        batch_size: samples a step.
        epochs: passes over the training split.
        weight_decay: of AdamW.
        warmup: share of the steps over which the learning rate rises; it falls linearly to zero after.
        max_length: of the backbone's token sequences.
        k: prototypes a sentence and modality.
        dropout: on the representations r[m].
        seed: of initial weights, order of the data and dropout.
    """

    learning_rate: float = 1e-4
    method_learning_rate: float | None = None
    batch_size: int = 32
    epochs: float = 3
    weight_decay: float = 0.01
    warmup: float = 0.06
    max_length: int = 128
    k: int = 4
    dropout: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "epochs", "max_length", "k"):
            if not getattr(self, name) > 0:
                raise PolysenseError(f"{name.replace('_', '-')} must be more than 0, not {getattr(self, name)}")

    @classmethod
    def for_task(cls, defaults: Defaults, **given: Any) -> TrainingSettings:
        """A task's defaults, with what was given (not None) instead."""
        return cls(**{**asdict(defaults), **{k: v for k, v in given.items() if v is not None}})
