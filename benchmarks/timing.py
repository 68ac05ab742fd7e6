"""Timing two pieces of work side by side, and the table of what came out."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Benchmark:
    """One line of the table.

    Attributes:
        name: what was measured.
        ours, reference: medians, in `unit`.
        unit: e.g. "ms a step".
        ratio: the median of ours / reference, pair by pair.
        goal: the largest ratio that is good enough.
        met: whether it was met.
    """

    name: str
    ours: float
    reference: float
    unit: str
    ratio: float
    goal: float
    met: bool


def side_by_side(
    name: str,
    ours: Callable[[], object],
    reference: Callable[[], object],
    goal: float,
    rounds: int = 30,
    unit: str = "ms",
) -> Benchmark:
    """Run both in turn, so that a machine that grows slow is slow for both."""
    for work in (ours, reference):
        for _ in range(3):
            work()
    times = [(_milliseconds(ours), _milliseconds(reference)) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in times)
    first, second = (statistics.median(column) for column in zip(*times, strict=True))
    return Benchmark(name, round(first, 3), round(second, 3), unit, round(ratio, 3), goal, ratio <= goal)


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def report(benchmarks: Sequence[Benchmark], file: Path) -> None:
    """Print the table and write the same as JSON."""
    table = Table("what", "ours", "reference", "unit", "ratio", "goal", "met")
    for b in benchmarks:
        met = "yes" if b.met else "NO"
        table.add_row(b.name, f"{b.ours:.1f}", f"{b.reference:.1f}", b.unit, f"{b.ratio:.3f}", f"<= {b.goal}", met)
    Console(width=120).print(table)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(b) for b in benchmarks], indent=2) + "\n")
