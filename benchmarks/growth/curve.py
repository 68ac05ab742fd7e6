"""A measured curve, and how steep it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import memory_kilobytes, release_memory, seconds

LEAST_MEGABYTES = 1.0
"""Of memory that tells an exponent: less is what the allocator has at hand."""


@dataclass(frozen=True)
class Point:
    """What one size took.

    Attributes:
        size: on the curve's axis.
        seconds: the median of some calls.
        megabytes: the most that a call had at once, beyond what was there before it, or what the curve's name says.
    """

    size: int
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Curve:
    """Time and memory over sizes.

    Attributes:
        name: of the work. axis: what grows. points: by size.
        time_order, memory_order: the exponents that are expected for large sizes.
    """

    name: str
    axis: str
    points: Sequence[Point]
    time_order: float
    memory_order: float

    def exponents(self, field: str) -> tuple[float, float]:
        """Of "seconds" or "megabytes": over all sizes, and between the last two, which hides less behind constants.

        Not a number where there is less than `LEAST_MEGABYTES` to tell it from.
        """
        values = [float(getattr(point, field)) for point in self.points]
        sizes = [point.size for point in self.points]
        least = LEAST_MEGABYTES if field == "megabytes" else 0.0

        def exponent(first: int, last: int) -> float:
            if min(values[first], values[last]) < least:
                return math.nan
            return math.log(values[last] / values[first]) / math.log(sizes[last] / sizes[first])

        return exponent(0, -1), exponent(-2, -1)


def measure(size: int, work: Callable[[], object], calls: int = 5) -> Point:
    """Time and memory of some calls, after one that is not counted."""
    work()
    release_memory()
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before = memory_kilobytes("VmRSS")
    times = [seconds(work) for _ in range(calls)]
    return Point(size, statistics.median(times), (memory_kilobytes("VmHWM") - before) / 1024)
