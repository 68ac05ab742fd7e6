"""Timing pieces of work side by side, and the table of what came out."""

from __future__ import annotations

import ctypes
import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
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
        ratio: how ours compares to the reference.
        goal: the ratio that is good enough.
        met: whether it was met; None where there is no goal.
        note: what else came out, e.g. that both gave the same.
    """

    name: str
    ours: float
    reference: float
    unit: str
    ratio: float
    goal: str
    met: bool | None
    note: str = ""


def at_most(
    name: str, ours: Sequence[float], reference: Sequence[float], most: float, unit: str, note: str = ""
) -> Benchmark:
    """Figures taken in turn; the ratio is the median of ours / reference, pair by pair, and good if small."""
    ratio = _ratio(ours, reference)
    return Benchmark(name, _median(ours), _median(reference), unit, ratio, f"<= {most}", ratio <= most, note)


def at_least(
    name: str, ours: Sequence[float], reference: Sequence[float], least: float, unit: str, note: str = ""
) -> Benchmark:
    """The same for rates, good if large."""
    ratio = _ratio(ours, reference)
    return Benchmark(name, _median(ours), _median(reference), unit, ratio, f">= {least}", ratio >= least, note)


def limit(name: str, ours: float, reference: float, most: float | None, unit: str, note: str = "") -> Benchmark:
    """A figure beside another one, or beside its limit; no goal where `most` is None."""
    ratio = round(ours / reference, 3) if reference else 0.0
    goal, met = ("", None) if most is None else (f"<= {most}", ratio <= most)
    return Benchmark(name, round(ours, 4), round(reference, 4), unit, ratio, goal, met, note)


def in_turn(works: Sequence[Callable[[], object]], rounds: int, warm_up: int = 1) -> list[list[float]]:
    """Seconds of each work in each round, one after the other, so that a machine that grows slow is slow for all."""
    for work in works:
        for _ in range(warm_up):
            work()
    return [list(column) for column in zip(*([seconds(work) for work in works] for _ in range(rounds)), strict=True)]


def seconds(work: Callable[[], object]) -> float:
    """The wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def memory_kilobytes(field: str) -> int:
    """Memory of this process by Linux's name: "VmHWM" the most it had resident, "RssAnon" what is no mapped file."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(f"{field}:"))


def release_memory() -> None:
    """Give back to the system what was freed; else it is used again, and counts for nothing or for a leak."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


def _ratio(ours: Sequence[float], reference: Sequence[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours, reference, strict=True)), 3)


def print_rows(rows: Sequence[Mapping[str, object]], title: str) -> None:
    """A table of rows that have the same names."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=140).print(table)


def report(benchmarks: Sequence[Benchmark], file: Path) -> None:
    """Print the table and write the same as JSON."""
    table = Table("what", "ours", "reference", "unit", "ratio", "goal", "met", "note")
    for b in benchmarks:
        met = {True: "yes", False: "NO", None: ""}[b.met]
        beside = (f"{b.reference:.4g}", b.unit, f"{b.ratio:.3g}") if b.reference else ("", b.unit, "")
        table.add_row(b.name, f"{b.ours:.4g}", *beside, b.goal, met, b.note)
    Console(width=160).print(table)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(b) for b in benchmarks], indent=2) + "\n")
