"""`python -m benchmarks.reliability.endurance`: whether memory, files and threads stay flat over long runs.

A run trains for 10,000 steps, scored and kept as a checkpoint each 100, or predicts 10,000 new texts, 64 at a time;
each in a process of its own, which looks at itself after each hundredth of the steps or texts. Models are tiny, so that
a run takes minutes; what leaks, leaks with them too. Prototypes and graphs of new texts are remembered up to a limit,
which is set low enough to be met early; oneDNN's cache of compiled products, which has one too, is left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.made_up import sentences, write_bert, write_rows
from benchmarks.timing import memory_kilobytes, print_rows, release_memory
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
LOOKS, LEAST = 100, 40
"""Looks a run, and the fewest that tell something: ten a quarter."""

SHORTEST, LONGEST = 6, 12
"""Words a text."""

PROTOTYPES, GRAPHS = 1 << 18, 1 << 15
"""Bytes that are remembered of each: of 250 texts or so, and of 400. More would rise and fall within a quarter."""

FLAT = 200
"""Bytes a step or text that memory may grow by.

A leak keeps an object or a tensor each time: a list of a few numbers alone takes 100 to 200 bytes, a text's tokens or
prototypes thousands. Over half of 10,000 steps this is 1 MB, and the memory of a run that keeps nothing moves by less.
"""


@dataclass(frozen=True)
class Look:
    """What a process has.

    Attributes:
        done: steps or texts until now.
        seconds: since the first of them.
        kilobytes: of its own memory, files apart that are mapped.
        files: that are open or mapped.
        threads: that run, of libraries too.
    """

    done: int
    seconds: float
    kilobytes: int
    files: int
    threads: int


class Watch:
    """Looks at this process after each hundredth of its work.

    Args:
        count: steps or texts in all.
    """

    def __init__(self, count: int) -> None:
        self.seen: list[Look] = []
        self._every = max(1, count // LOOKS)
        self._done = 0
        self._began = time.perf_counter()

    def count(self, more: int) -> None:
        """So many more steps or texts were done."""
        looked = self._done // self._every
        self._done += more
        if self._done // self._every > looked:
            release_memory()
            took = round(time.perf_counter() - self._began, 1)
            mapped = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
            files = len(os.listdir("/proc/self/fd")) + len({parts[5] for parts in mapped if parts[5:]})
            threads = len(os.listdir("/proc/self/task"))
            self.seen.append(Look(self._done, took, memory_kilobytes("RssAnon"), files, threads))


@dataclass(frozen=True)
class Growth:
    """From the second quarter of a run to its last, by the medians of both.

    Attributes:
        megabytes, files, threads: of the second quarter and of the last.
        bytes_each: a step or text, that memory grew by between the two.
    """

    megabytes: tuple[float, float]
    files: tuple[float, float]
    threads: tuple[float, float]
    bytes_each: float

    @classmethod
    def of(cls, seen: Sequence[Look]) -> Growth:
        """By `LEAST` looks or more, each after equally many steps or texts."""
        part = len(seen) // 4

        def both(name: str) -> tuple[float, float]:
            second, last = ([getattr(look, name) for look in looks] for looks in (seen[part : 2 * part], seen[-part:]))
            return statistics.median(second), statistics.median(last)

        (before, after), (first, last) = both("kilobytes"), both("done")
        bytes_each = 1024 * (after - before) / (last - first)
        return cls((before / 1024, after / 1024), both("files"), both("threads"), bytes_each)

    @property
    def flat(self) -> bool:
        """Whether nothing grew."""
        return self.bytes_each <= FLAT and all(before >= after for before, after in (self.files, self.threads))


def long_training(method: str, steps: int, folder: Path, watch: Watch) -> None:
    """Train so many steps, with the image tower that ships."""
    register_optimizer_step_post_hook(lambda *_: watch.count(1))
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


def long_prediction(method: str, count: int, folder: Path, watch: Watch) -> None:  # noqa: ARG001 - as trained
    """Predict so many new texts with a trained model."""
    lookup.RECENT_BYTES, extractor.RECENT_BYTES = PROTOTYPES, GRAPHS
    asked = sentences(count, SHORTEST, LONGEST, seed=1)
    predictor = Predictor.load(folder / "model", store=False)
    for start in range(0, count, AT_ONCE):
        texts = asked[start : start + AT_ONCE]
        predictor.predict(texts)
        watch.count(len(texts))


RUNS = {"train": long_training, "predict": long_prediction}


def measure(verb: str, method: str, count: int, folder: Path) -> None:
    """One run, in this process; what it saw of itself goes to a file in the folder."""
    watch = Watch(count)
    RUNS[verb](method, count, folder, watch)
    write_json(folder / f"{verb}.json", {"seen": [asdict(look) for look in watch.seen]})


def row(verb: str, method: str, count: int, folder: Path) -> dict[str, Any]:
    """The run's line in the table.

    Raises:
        RuntimeError: it ended badly, or is so short that nothing can be told.
    """
    process = multiprocessing.get_context("spawn").Process(target=measure, args=(verb, method, count, folder))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{verb}, {method}: exit status {process.exitcode}")
    seen = [Look(**look) for look in json.loads((folder / f"{verb}.json").read_text())["seen"]]
    if len(seen) < LEAST:
        raise RuntimeError(f"{verb}, {method}: {len(seen)} looks at {count} show nothing; give more --count")
    growth = Growth.of(seen)
    return {
        "run": f"{verb}, {method}",
        "steps or texts": count,
        "seconds": round(seen[-1].seconds),
        "looks": len(seen),
        "MB, 2nd quarter": round(growth.megabytes[0], 1),
        "MB, last quarter": round(growth.megabytes[1], 1),
        "bytes each": round(growth.bytes_each),
        "files": "{:g} to {:g}".format(*growth.files),
        "threads": "{:g} to {:g}".format(*growth.threads),
        "flat": growth.flat,
    }


def main(arguments: Sequence[str]) -> int:
    """Run all, print the table; 1 where something grew."""
    parser = argparse.ArgumentParser("python -m benchmarks.reliability.endurance", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="steps, and texts; of few, noise is seen as growth")
    parser.add_argument("--method", action="append", choices=METHODS, help="repeatable; else all")
    parser.add_argument("--output", type=Path, default=Path("build/endurance.json"))
    given = parser.parse_args(arguments)
    # Else it keeps a thousand compiled products, one a shape, and a run of packed texts goes on finding new shapes.
    os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = "0"
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
