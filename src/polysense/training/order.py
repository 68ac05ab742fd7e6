"""The order of training rows: of an epoch by the seed and its number alone.

So it is the same in every process, and in a run that goes on within an epoch. Samplers ask which epoch begins, since
not every version of transformers and accelerate tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler


class EpochSampler(Sampler[int]):
    """A new order each epoch: that of accelerate's `SeedableRandomSampler`.

    Args:
        rows: how many there are.
        seed: of the run.
        epoch: says which one begins, from 0.
    """

    def __init__(self, rows: int, seed: int, epoch: Callable[[], int]) -> None:
        self.rows, self.seed, self.epoch = rows, seed, epoch

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch())
        return iter(torch.randperm(self.rows, generator=generator).tolist())


class EpochGroupedSampler(LengthGroupedSampler):
    """A new order each epoch, with rows of like length in a batch.

    Args:
        batch: rows of a step, of all processes.
        lengths: of each row, in tokens.
        seed: of the run.
        epoch: says which one begins, from 0.
    """

    def __init__(self, batch: int, lengths: Sequence[int], seed: int, epoch: Callable[[], int]) -> None:
        super().__init__(batch, lengths=list(lengths), generator=torch.Generator())
        self.seed, self.epoch = seed, epoch

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(self.seed * 1_000_003 + self.epoch())
        return iter(super().__iter__())
