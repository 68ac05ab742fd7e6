"""The rows that every competitor gets: drawn once a seed, held out, and scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

import torch

from polysense.errors import PolysenseError
from polysense.experiments.grid import Grid
from polysense.tasks import TaskData
from polysense.training.sampling import sample_rows

SCORED = "scored"
"""The split that a competitor predicts; what it is trained on is "train"."""

SCORED_ROWS = 1000
HELD_OUT_ROWS = 400
SHARE_ROWS = 500
"""At most so many rows of training where a size is a share."""

_HELD_OUT_SEED = 0


@dataclass(frozen=True)
class Size:
    """How many rows are trained on.

    Attributes:
        name: what tables print.
        epochs: passes, one or several to choose from; more where there are fewer rows, since three passes over 32
            rows are 6 steps.
        shots: rows of each class; or
        share: of the training rows, at most `SHARE_ROWS`.
    """

    name: str
    epochs: tuple[int, ...]
    shots: int | None = None
    share: float | None = None

    def applies(self, data: TaskData) -> bool:
        """Whether the task has such rows: the choices of a multiple choice are no classes."""
        return self.shots is None or data.kind != "choice"


SIZES: Mapping[str, Size] = {
    "16": Size("16 a class", (20,), shots=16),
    "64": Size("64 a class", (8,), shots=64),
    "5%": Size("5%", (4,), share=0.05),
}


@dataclass(frozen=True)
class TaskRows:
    """A task's rows, apart: to draw from, held out to choose settings on, and scored.

    Attributes:
        data: the task with the splits "train" (to draw from), "held_out" and "scored".
        rows: of the training split before any were held out.
    """

    data: TaskData
    rows: int

    @cached_property
    def digests(self) -> dict[str, str]:
        """Of what each split holds."""
        return {
            name: hashlib.sha256(json.dumps(split.to_dict()).encode()).hexdigest()
            for name, split in self.data.splits.items()
        }

    def drawn(self, size: Size, seed: int, held_out: bool = False) -> TaskData:
        """What a competitor gets: the splits "train", drawn by the seed, and "scored".

        Args:
            held_out: put the held-out rows in the place of the scored ones, to choose settings on.
        """
        rows = None if size.share is None else min(SHARE_ROWS, max(1, round(size.share * self.rows)))
        found = sample_rows(self.data, rows, seed, shots=size.shots).splits
        return replace(self.data, splits={"train": found["train"], SCORED: found["held_out" if held_out else SCORED]})


@cache
def task_rows(task: str) -> TaskRows:
    """The rows of a task by name.

    Raises:
        PolysenseError: its data cannot be had, have no classes or choices, or hold too few rows to set some aside.
    """
    # As `polysense compare --eval-rows` does.
    data = Grid([], [task], [], eval_rows=SCORED_ROWS, splits=("validation",)).data(task)
    if data.kind not in ("classification", "choice"):
        raise PolysenseError(f"{task}: a task of classes or choices is compared here, not {data.kind}")
    train = data.splits["train"]
    if len(train) <= HELD_OUT_ROWS:
        raise PolysenseError(f"{task}: {HELD_OUT_ROWS} of {len(train)} training rows cannot be held out; give more")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(_HELD_OUT_SEED)).tolist()
    splits = {
        "train": train.select(sorted(order[HELD_OUT_ROWS:])),
        "held_out": train.select(sorted(order[:HELD_OUT_ROWS])),
        SCORED: data.splits["validation"],
    }
    return TaskRows(replace(data, splits=splits), len(train))
