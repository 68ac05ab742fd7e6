"""The order of training rows where batches are of like length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler


class EpochGroupedSampler(LengthGroupedSampler):  # type: ignore[misc]  # transformers names no types
    """The order of an epoch by the seed and its number alone: so in every process, and in a run that goes on."""

    def __init__(self, *args: Any, seed: int, **kwargs: Any) -> None:
        super().__init__(*args, generator=torch.Generator(), **kwargs)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Told by the Trainer."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(super().__iter__())
