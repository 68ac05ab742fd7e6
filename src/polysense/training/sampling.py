"""Fewer training rows, the same ones for every method."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import torch

from polysense.errors import PolysenseError
from polysense.tasks import TaskData


def sample_rows(
    data: TaskData, rows: int | None = None, seed: int = 0, *, share: float | None = None, shots: int | None = None
) -> TaskData:
    """The data with fewer training rows, drawn by the seed and kept in order.

    Args:
        rows: that many.
        seed: of the draw.
        share: or this share of them (0.05: the low-resource setting of both papers), rounded, at least one row.
        shots: or that many of each class; all rows of a class that has fewer. Multiple choice has no classes: that many
            rows times the number of choices.

    Raises:
        PolysenseError: more than one of the three is given, one is no number of its kind, there are not that many rows,
            none would be left, or a task without classes is to be drawn by them.
    """
    if sum(given is not None for given in (rows, share, shots)) > 1:
        raise PolysenseError("give one of train-rows, train-share and shots")
    for name, number in (("train-rows", rows), ("shots", shots)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
            raise PolysenseError(f"{data.name}: {name} must be a whole number, not {number!r}")
    if share is not None and (isinstance(share, bool) or not isinstance(share, (int, float))):
        raise PolysenseError(f"{data.name}: train-share must be a number, not {share!r}")
    split = data.splits["train"]
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    if shots is not None:
        kept = _shots(data, shots, order.tolist())
    else:
        if share is not None:
            if not 0 < share <= 1:
                raise PolysenseError(f"{data.name}: train-share must be above 0 and at most 1, not {share}")
            rows = max(1, round(share * len(split)))
        if rows is None or rows == len(split):
            return data
        if not 0 < rows < len(split):
            raise PolysenseError(f"{data.name}: {rows} training rows were asked for, there are {len(split)}")
        kept = order[:rows].tolist()
    return replace(data, splits={**data.splits, "train": split.select(sorted(kept))})


def _shots(data: TaskData, shots: int, order: list[int]) -> list[int]:
    split = data.splits["train"]
    if shots < 1:
        raise PolysenseError(f"{data.name}: shots must be 1 or more, not {shots}")
    if data.kind == "choice" and not data.label_names:
        return order[: shots * max(map(len, split["choices"]))]
    if data.kind not in ("classification", "choice"):
        raise PolysenseError(f"{data.name}: {data.kind} has no classes to take {shots} rows of; give train-rows")
    labels, taken = split["label"][:], defaultdict[int, list[int]](list)
    for row in order:
        if len(taken[labels[row]]) < shots:
            taken[labels[row]].append(row)
    return [row for found in taken.values() for row in found]
