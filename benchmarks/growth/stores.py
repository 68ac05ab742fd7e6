"""The store over the number of texts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from math import ceil
from pathlib import Path

from benchmarks.growth.curve import Curve, Point
from benchmarks.store import BATCH, fill, use_alone
from polysense.prototypes.lookup import CHUNK

SIZES = (1_000, 10_000, 100_000, 1_000_000)
AXIS = "texts in the store"


def store_curves(sizes: Sequence[int] = SIZES) -> list[Curve]:
    """Writing, opening, and reading 32 random texts of three modalities.

    Writing and opening are done once; reading is the median of 2,000 batches. Memory is the files' size of writing, and
    what stays in memory of opening, and then of reading all batches.

    Opening looks at each byte of the index, a piece at a time. A batch's rows are read shard by shard, and an open
    shard is a few objects.
    """
    writing, opening, reading = [], [], []
    for texts in sizes:
        with tempfile.TemporaryDirectory() as name:
            took = fill(Path(name), texts)
            size = sum(file.stat().st_size for file in Path(name).rglob("*")) / 1e6
            used = use_alone(Path(name), texts)
        shards = ceil(texts / CHUNK)
        writing.append(Point(texts, took, size, texts, texts))
        opening.append(Point(texts, used.opening_seconds, used.opening_megabytes, texts, 1))
        taken = used.reading_milliseconds / 1000
        reading.append(Point(texts, taken, used.megabytes - used.opening_megabytes, shards_of_a_batch(shards), shards))
    return [
        Curve("writing files", AXIS, writing),
        Curve("opening", AXIS, opening),
        Curve("reading 32 texts", AXIS, reading),
    ]


def shards_of_a_batch(shards: int) -> float:
    """Among so many, how many hold a text of a random batch, on average."""
    return shards * (1 - (1 - 1 / shards) ** BATCH)
