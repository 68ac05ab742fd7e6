"""`python -m benchmarks.reliability.endurance`: whether memory, files and threads stay flat over long runs.

A run trains for 10,000 steps, scored and kept as a checkpoint each 100, or predicts 10,000 new texts, 64 at a time;
each in a process of its own, which a thread watches. Models are tiny, so that a run takes minutes; what leaks, leaks
with them too. Prototypes and graphs of new texts are remembered up to a limit, which is set low enough to be met early.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.made_up import sentences, write_bert, write_rows
from benchmarks.timing import memory_kilobytes, print_rows
from polysense.folder import write_json
from polysense.prototypes import lookup
from polysense.scene_graphs import extractor
from polysense.training.predict import Predictor
from polysense.training.train import train

METHODS = ("text", "macsc", "mase")
COUNT = 10_000
ROWS = 400
BATCH = 4
AT_ONCE = 64
EVERY = 0.5
"""Seconds between two looks, of which there must be `LEAST`."""

LEAST = 8
SHORTEST, LONGEST = 6, 12
"""Words a text."""

REMEMBERED = 1 << 20
"""Bytes of prototypes, and of graphs."""

FLAT = 0.05
"""Memory in the last quarter of a run may be above that in its second by this share."""


@dataclass
class Watch:
    """What a thread sees of the process: (seconds, own megabytes, open files, threads), again and again."""

    seen: list[tuple[float, float, int, int]] = field(default_factory=list)

    @contextmanager
    def over(self) -> Iterator[None]:
        """Look while something runs."""
        ended, began = threading.Event(), time.perf_counter()

        def look() -> None:
            while not ended.wait(EVERY):
                own, files = memory_kilobytes("RssAnon") / 1024, len(os.listdir("/proc/self/fd"))
                self.seen.append((round(time.perf_counter() - began, 1), own, files, threading.active_count()))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def quarter(self, number: int) -> list[float]:
        """The medians of megabytes, files and threads in a quarter of the time, from 0."""
        part = len(self.seen) // 4
        rows = self.seen[number * part : (number + 1) * part]
        return [statistics.median(row[column] for row in rows) for column in (1, 2, 3)]


def long_training(method: str, steps: int, folder: Path) -> None:
    """Train so many steps, with the image tower that ships."""
    rows = folder / "rows.jsonl"
    write_rows(rows, sentences(ROWS, SHORTEST, LONGEST))
    train(
        folder / "model",
        train_file=rows,
        validation_file=rows,
        kind="classification",
        method=method,
        backbone=str(write_bert(folder / "bert", positions=128)),
        epochs=steps * BATCH / ROWS,
        batch_size=BATCH,
        store=folder / "store",
        progress=False,
    )


def long_prediction(method: str, count: int, folder: Path) -> None:  # noqa: ARG001 - as the model was trained
    """Predict so many new texts with a trained model."""
    lookup.RECENT_BYTES = extractor.RECENT_BYTES = REMEMBERED
    asked = sentences(count, SHORTEST, LONGEST, seed=1)
    predictor = Predictor.load(folder / "model", store=False)
    for start in range(0, count, AT_ONCE):
        predictor.predict(asked[start : start + AT_ONCE])


RUNS = {"train": long_training, "predict": long_prediction}


def measure(verb: str, method: str, count: int, folder: Path) -> None:
    """One run, in this process; what was seen goes to a file in the folder."""
    watch = Watch()
    with watch.over():
        RUNS[verb](method, count, folder)
    write_json(folder / f"{verb}.json", {"seen": watch.seen})


def row(verb: str, method: str, count: int, folder: Path) -> dict[str, Any]:
    """The run's line in the table.

    Raises:
        RuntimeError: it ended badly, or so soon that nothing can be told.
    """
    process = multiprocessing.get_context("spawn").Process(target=measure, args=(verb, method, count, folder))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{verb}, {method}: exit status {process.exitcode}")
    watch = Watch([tuple(seen) for seen in json.loads((folder / f"{verb}.json").read_text())["seen"]])
    if len(watch.seen) < LEAST:
        raise RuntimeError(f"{verb}, {method}: over within {LEAST * EVERY:g} s, which shows nothing; give more --count")
    (before, files_before, threads_before), (after, files_after, threads_after) = watch.quarter(1), watch.quarter(3)
    return {
        "run": f"{verb}, {method}",
        "steps or texts": count,
        "seconds": round(watch.seen[-1][0]),
        "MB, 2nd quarter": round(before),
        "MB, last quarter": round(after),
        "files": f"{files_before:g} to {files_after:g}",
        "threads": f"{threads_before:g} to {threads_after:g}",
        "flat": after <= before * (1 + FLAT) and files_after <= files_before and threads_after <= threads_before,
    }


def main(arguments: Sequence[str]) -> int:
    """Run all, print the table; 1 where something grew."""
    parser = argparse.ArgumentParser("python -m benchmarks.reliability.endurance", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="steps, and texts; what takes seconds shows nothing")
    parser.add_argument("--method", action="append", choices=METHODS, help="repeatable; else all")
    parser.add_argument("--output", type=Path, default=Path("build/endurance.json"))
    given = parser.parse_args(arguments)
    rows = []
    try:
        for method in given.method or METHODS:
            with tempfile.TemporaryDirectory() as name:
                rows += [row(verb, method, given.count, Path(name)) for verb in RUNS]
    except RuntimeError as error:
        parser.error(str(error))
    write_json(given.output, {"rows": rows})
    print_rows(rows, "Long runs")
    return int(not all(one["flat"] for one in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
