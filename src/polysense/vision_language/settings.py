"""What a vision-language run is told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from polysense.training.checks import check_numbers, check_switches, with_given

_WHOLE = ("steps", "batch_size", "seed")
_SWITCHES = ("bf16", "group_by_length")
_MAY_BE_ZERO = ("weight_decay", "warmup", "seed")
_MOST = {"warmup": 1, "seed": 2**32 - 1}


@dataclass(frozen=True)
class RunSettings:
    """Hyper-parameters of a run; the defaults are those of CMAL's released pre-training.

    Attributes:
        learning_rate: of AdamW (betas 0.9, 0.98), at its peak.
        head_factor: how many times that the rate of what stands on the encoders is.
        steps: of training.
        batch_size: examples a step.
        warmup: share of the steps over which the rate rises; it falls linearly to zero after.
        weight_decay: of AdamW.
        clip: largest norm of a step's gradient.
        bf16: train in mixed precision, products in bfloat16.
        group_by_length: make batches of texts of about the same length, which hold less padding.
        seed: of initial weights, order of the data and all that is drawn.

    Raises:
        PolysenseError: a value is out of range.
    """

    learning_rate: float = 5e-5
    head_factor: float = 1.0
    steps: int = 200_000
    batch_size: int = 64
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip: float = 5.0
    bf16: bool = False
    group_by_length: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_switches(self, _SWITCHES)
        numbers = [field.name for field in fields(self) if field.name not in _SWITCHES]
        check_numbers(self, numbers, whole=_WHOLE, may_be_zero=_MAY_BE_ZERO, most=_MOST)

    @classmethod
    def of(cls, base: dict[str, Any], given: dict[str, Any]) -> RunSettings:
        """A run's defaults `base`, with what was given (not None) instead.

        Raises:
            PolysenseError: a name is no setting, or a value is out of range.
        """
        return cls(**with_given(cls, base, given))
