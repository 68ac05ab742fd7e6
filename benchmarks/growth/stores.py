"""The store over the number of texts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth.curve import Curve, Point
from benchmarks.store import fill, use_alone

SIZES = (1_000, 10_000, 100_000, 1_000_000)
AXIS = "texts in the store"


def store_curves(sizes: Sequence[int] = SIZES) -> list[Curve]:
    """Writing, opening, and reading 32 random texts of three modalities."""
    writing, opening, reading = [], [], []
    for texts in sizes:
        with tempfile.TemporaryDirectory() as name:
            took = fill(Path(name), texts)
            size = sum(file.stat().st_size for file in Path(name).rglob("*")) / 1e6
            used = use_alone(Path(name), texts)
        writing.append(Point(texts, took, size))
        opening.append(Point(texts, used.opening_seconds, used.opening_megabytes))
        reading.append(Point(texts, used.reading_milliseconds / 1000, used.megabytes))
    return [
        Curve("writing (MB: the files)", AXIS, writing, 1.0, 1.0),
        Curve("opening", AXIS, opening, 0.0, 0.0),
        Curve("reading 32 texts (MB: what stays after 64,000)", AXIS, reading, 0.0, 0.0),
    ]
