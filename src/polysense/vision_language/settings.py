"""What a vision-language run is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from polysense.errors import PolysenseError
from polysense.tasks.tables import near

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
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise PolysenseError(f"{name.replace('_', '-')} must be true or false, not {getattr(self, name)!r}")
        for name in (field.name for field in fields(self) if field.name not in _SWITCHES):
            value, said = getattr(self, name), name.replace("_", "-")
            kind: Any = int if name in _WHOLE else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
                raise PolysenseError(f"{said} must be a {'whole ' if kind is int else ''}number, not {value!r}")
            if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
                least = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
                raise PolysenseError(f"{said} must be {least}, not {value}")
            if name in _MOST and value > _MOST[name]:
                raise PolysenseError(f"{said} must be at most {_MOST[name]}, not {value}")

    @classmethod
    def of(cls, base: dict[str, Any], given: dict[str, Any]) -> RunSettings:
        """A run's defaults `base`, with what was given (not None) instead.

        Raises:
            PolysenseError: a name is no setting, or a value is out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise PolysenseError(
                    f"unknown setting {name!r}{near(name, known)}; the settings are {', '.join(known)}"
                )
        return cls(**{**base, **{name: value for name, value in given.items() if value is not None}})
