"""The store over the number of texts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.growth.curve import Curve, Point
from benchmarks.store import fill

SIZES = (1_000, 10_000, 100_000, 1_000_000)
AXIS = "texts in the store"


def store_curves(sizes: tuple[int, ...] = SIZES) -> list[Curve]:
    """Writing, opening, and reading 32 random texts of three modalities; megabytes of memory, or on the disk."""
    writing, opening, reading = [], [], []
    for texts in sizes:
        with tempfile.TemporaryDirectory() as name:
            took = fill(Path(name), texts)
            size = sum(file.stat().st_size for file in Path(name).rglob("*")) / 1e6
            command = [sys.executable, "-m", "benchmarks.store", name, str(texts)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        opened, milliseconds, megabytes = (float(value) for value in done.stdout.split())
        writing.append(Point(texts, took, size))
        opening.append(Point(texts, opened, megabytes))
        reading.append(Point(texts, milliseconds / 1000, megabytes))
    return [
        Curve("writing (memory: the files)", AXIS, writing, 1.0, 1.0),
        Curve("opening", AXIS, opening, 0.0, 0.0),
        Curve("reading 32 texts", AXIS, reading, 0.0, 0.0),
    ]
