"""Training in several processes (`torchrun`, `accelerate launch`): what they have in common.

With W processes each has a part of a global batch, and gradients are averaged over the W. So a loss that is a mean over
all N rows of the global batch is, in a process with n of them, W n / N times the mean over its own (`mean_amount`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from torch import Tensor
from torch import distributed as dist
from torch.utils.data import BatchSampler

from polysense.errors import PolysenseError

_Object = TypeVar("_Object")

LONGEST_WAIT = timedelta(days=2)
"""For another process. The first one reads the prototypes of all rows while the others wait, which may take hours; one
that fails ends the others at once by its launcher."""


def join() -> PartialState:
    """Meet the other processes, where a launcher started several; no harm where it did not, or a second time."""
    return PartialState(cpu=not torch.accelerator.is_available(), timeout=LONGEST_WAIT)


def refuse_others(what: str) -> None:
    """For what one process does by itself.

    Raises:
        PolysenseError: a launcher has started several.
    """
    if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        raise PolysenseError(f"{what} runs in one process: start it without torchrun or accelerate launch")


def refuse_sharding() -> None:
    """For what each process must have whole: a model is scored, drawn and written by one of them.

    Raises:
        PolysenseError: Accelerate was told to divide the weights between processes.
    """
    for way in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{way}", "false").lower() in ("1", "true"):
            raise PolysenseError(
                f"weights that {way} divides between processes cannot be written whole: launch without it, so that "
                "each process has all of them"
            )


def processes() -> int:
    """W."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def is_main() -> bool:
    """Whether this process writes what all have made."""
    return rank() == 0


def gather_objects(own: _Object) -> list[_Object]:
    """What each process gives, in the order of their numbers."""
    if processes() == 1:
        return [own]
    found: list[Any] = [None] * processes()
    dist.all_gather_object(found, own)
    return cast("list[_Object]", found)


def add_up(own: Tensor) -> Tensor:
    """The sum of a tensor over all processes; no gradient."""
    if processes() == 1:
        return own
    total = own.detach().clone()
    dist.all_reduce(total)
    return total


def mean_amount(amounts: Sequence[int], device: torch.device | None = None) -> float:
    """N / (W A), of a step's N things in A batches of each of W processes.

    A batch's mean over its n things counts n / (N / (W A)) times: then the mean of all batches' gradients is that of
    the N things.

    Args:
        amounts: n, of each of this process's A batches.
        device: of tensors that processes exchange.
    """
    return add_up(torch.tensor(sum(amounts), device=device)).item() / (processes() * len(amounts))


class GlobalBatch:
    """The rows of all processes' batches, in the order of the processes' numbers.

    Args:
        rows: n, of this process.
        together: whether the others' are seen too: each process has to ask for the same in the same order.
        device: of the tensors to gather.
    """

    def __init__(self, rows: int, together: bool, device: torch.device) -> None:
        self.counts, self.device = [rows], device
        first = 0
        if together and processes() > 1:
            counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(processes())]
            dist.all_gather(counts, torch.tensor([rows], device=device))
            self.counts = [int(count) for count in counts]
            first = sum(self.counts[: rank()])
        self.own = slice(first, first + rows)
        self.rows = sum(self.counts)

    def gather(self, own: Tensor) -> Tensor:
        """(n, ...) of each process to (N, ...); gradients find their way back to the process that they belong to."""
        return own if len(self.counts) == 1 else cast("Tensor", _Gather.apply(own, self))

    def is_own(self) -> Tensor:
        """(n, N) bool: where a row of this process meets itself."""
        return torch.eye(self.rows, dtype=torch.bool, device=self.device)[self.own]

    def mean(self, own: Tensor, counted: int) -> Tensor:
        """A process's part of a mean over some of the rows: such that parts that count W n / N times add up to it.

        Args:
            own: what those of this process have, one each.
            counted: in all processes.
        """
        rows = self.own.stop - self.own.start
        return own.sum() / max(counted, 1) * (self.rows / rows)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, batch: GlobalBatch) -> Tensor:
        ctx.batch = batch
        # Processes may have different numbers of rows; what is gathered is of one size.
        padded = own.new_zeros(max(batch.counts), *own.shape[1:])
        padded[: len(own)] = own
        found = [torch.empty_like(padded) for _ in batch.counts]
        dist.all_gather(found, padded)
        return torch.cat([part[:count] for part, count in zip(found, batch.counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[ctx.batch.own], None


class SharedBatches(BatchSampler):
    """Batches of one process: W batches in a row are a global batch, of which each process has as much as the others.

    The last global batch of an epoch may be smaller: its rows are divided evenly, one more here or there, and none is
    read twice. If it has fewer rows than there are processes, they are left out of that epoch.

    Args:
        batches: of single processes, in the same order everywhere.
    """

    def __init__(self, batches: BatchSampler) -> None:
        self.batches = batches
        self.batch_size, self.drop_last = batches.batch_size, batches.drop_last
        self.sampler = batches.sampler

    def __iter__(self) -> Iterator[list[int]]:
        rows: list[int] = []
        whole = processes() * self.batch_size
        for batch in self.batches:
            rows += batch
            if len(rows) == whole:
                yield self._own(rows)
                rows = []
        if len(rows) >= processes():
            yield self._own(rows)

    def __len__(self) -> int:
        rows = len(cast("Sequence[int]", self.sampler))
        whole = processes() * self.batch_size
        return rows // whole + (rows % whole >= processes() and not self.drop_last)

    def _own(self, rows: list[int]) -> list[int]:
        return rows[len(rows) * rank() // processes() : len(rows) * (rank() + 1) // processes()]
