"""Setting a validation part of the training rows aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray

from polysense.errors import PolysenseError
from polysense.tasks.task import Kind

_TARGET_STRATA = 10


def split_rows(
    labels: Sequence[int] | Sequence[float], kind: Kind, share: float, seed: int, source: str
) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to validate on, each in the file's order.

    Stratified by class, or by tenths of the targets' ranks. Each stratum gives its share, rounded so that the whole is
    right to a row, and keeps at least one row to train on: a class of one row is never validated.

    Args:
        labels: (n,) class indices or targets.
        kind: classification or regression.
        share: of the rows to set aside, above 0 and below 1; at least one row.
        seed: of the draw; the same rows and seed give the same split on every machine.
        source: what errors call the rows.

    Raises:
        PolysenseError: the share is out of range, or no stratum has a row to spare.
    """
    if not 0 < share < 1:
        raise PolysenseError(f"validation_share is {share}; it must be above 0 and below 1")
    strata = _strata(np.asarray(labels), kind)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    counts = _counts([len(rows) for rows in members], share)
    if not sum(counts):
        raise PolysenseError(f"{source}: too few rows a label to set some aside for validation; give a validation file")
    generator = np.random.default_rng(seed)
    drawn = np.concatenate([generator.permutation(rows)[:count] for rows, count in zip(members, counts, strict=True)])
    kept = np.setdiff1d(np.arange(len(strata)), drawn)
    return kept.tolist(), np.sort(drawn).tolist()


def hold_out(split: Dataset, kind: Kind, share: float, seed: int, source: str) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to validate on, of any kind: labelled training rows in the common shape.

    Classes and values as by `split_rows`. Else rows of one context, or of one source, stay together: half of a group
    would give away the other half; at least one group stays to train on.

    Args:
        share: of the rows, at least one; whole groups may be a little more.
        seed: of the draw.
        source: what errors call the rows.

    Raises:
        PolysenseError: too few rows, or rows that are all of one group.
    """
    if kind in ("classification", "regression"):
        return split_rows(split["label"][:], kind, share, seed, source)
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(split["text_pair" if kind == "span" else "text"][:]):
        # The same concepts in another order are the same source.
        same = " ".join(sorted(text.split())) if kind == "generation" else text
        groups.setdefault(same, []).append(row)
    several = list(groups.values())
    if len(several) < 2:
        what = "contexts" if kind == "span" else "rows"
        raise PolysenseError(f"{source}: too few different {what} to hold some out; give a validation file, or more")
    held: list[int] = []
    for group in torch.randperm(len(several), generator=torch.Generator().manual_seed(seed)).tolist()[:-1]:
        if len(held) >= max(1, round(share * len(split))):
            break
        held += several[group]
    return sorted(set(range(len(split))) - set(held)), sorted(held)


def _strata(labels: NDArray[np.float64], kind: Kind) -> NDArray[np.int64]:
    if kind == "classification":
        return labels.astype(np.int64)
    ranks = np.argsort(np.argsort(labels, kind="stable"), kind="stable")
    strata: NDArray[np.int64] = ranks * min(_TARGET_STRATA, max(1, len(labels) // 2)) // len(labels)
    return strata


def _counts(sizes: Sequence[int], share: float) -> list[int]:
    """How many rows of each stratum are set aside: largest remainders, and one row of each stratum stays."""
    wanted = max(1, round(share * sum(sizes)))
    quotas = [share * size for size in sizes]
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(sizes)), key=lambda index: counts[index] - quotas[index])
    while sum(counts) < wanted and (spare := [index for index in by_remainder if counts[index] < sizes[index] - 1]):
        for index in spare[: wanted - sum(counts)]:
            counts[index] += 1
    return counts
