"""Token sequences of many lengths side by side, without padding.

A tower reads short texts of unequal length. Padded to a rectangle, much of its work would go into padding; here the
sequences stand one after another in one row, and only attention looks at where each begins and ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor


@dataclass(frozen=True)
class Run:
    """Neighbouring sequences of one length: `count` of them, `length` tokens each, from token `start` on."""

    start: int
    count: int
    length: int

    @property
    def tokens(self) -> slice:
        return slice(self.start, self.start + self.count * self.length)


@dataclass(frozen=True)
class PackedTokens:
    """B sequences with N tokens in all.

    Attributes:
        input_ids: (N,) int64.
        lengths: of the B sequences, none of them 0.
    """

    input_ids: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def pack(cls, sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> PackedTokens:
        """Lists of token ids, in the order given; neighbours of equal length are read together."""
        ids = [token for sequence in sequences for token in sequence]
        return cls(torch.tensor(ids, device=device), tuple(len(sequence) for sequence in sequences))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """All sequences, neighbours of equal length together."""
        runs: list[Run] = []
        start = 0
        for length, group in groupby(self.lengths):
            runs.append(Run(start, len(list(group)), length))
            start = runs[-1].tokens.stop
        return tuple(runs)

    @cached_property
    def sizes(self) -> Tensor:
        """(B,) int64 lengths."""
        return torch.tensor(self.lengths, device=self.input_ids.device)

    @cached_property
    def starts(self) -> Tensor:
        """(B,) the first token of each sequence."""
        return self.sizes.cumsum(0) - self.sizes

    @cached_property
    def sequence(self) -> Tensor:
        """(N,) the sequence of each token."""
        return torch.arange(len(self.lengths), device=self.sizes.device).repeat_interleave(self.sizes)

    @cached_property
    def positions(self) -> Tensor:
        """(N,) the place of each token in its sequence, from 0."""
        return torch.arange(len(self.input_ids), device=self.sizes.device) - self.starts[self.sequence]

    def mean(self, values: Tensor) -> Tensor:
        """The mean over each sequence: (N, d) to (B, d)."""
        sums = values.new_zeros(len(self.lengths), values.shape[1]).index_add_(0, self.sequence, values)
        return sums / self.sizes[:, None]

    def pad(self, values: Tensor) -> Tensor:
        """(N,) to (B, longest length), zeros behind each sequence."""
        padded = values.new_zeros(len(self.lengths), max(self.lengths, default=0))
        padded[self.sequence, self.positions] = values
        return padded

    def split(self) -> Iterator[tuple[Run, PackedTokens]]:
        """Each run as packed tokens of its own."""
        for run in self.runs:
            yield run, PackedTokens(self.input_ids[run.tokens], (run.length,) * run.count)
