"""The order of training rows where batches are of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler


class EpochGroupedSampler(LengthGroupedSampler):
    """The order of an epoch by the seed and its number alone: so in every process, and in a run that goes on.

    Args:
        batch: rows of a step, of all processes.
        lengths: of each row, in tokens.
        seed: of the run.
        epoch: says which one begins, from 0. Asked, since not every version of the Trainer tells.
    """

    def __init__(self, batch: int, lengths: Sequence[int], seed: int, epoch: Callable[[], int]) -> None:
        super().__init__(batch, lengths=list(lengths), generator=torch.Generator())
        self.seed, self.epoch = seed, epoch

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(self.seed * 1_000_003 + self.epoch())
        return iter(super().__iter__())
