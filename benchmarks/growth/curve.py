"""A measured curve, and how steep it is beside what is expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import memory_kilobytes, release_memory

LEAST_MEGABYTES = 1.0
"""Of memory that tells an exponent: less is what the allocator has at hand."""


@dataclass(frozen=True)
class Point:
    """What one size took.

    Attributes:
        size: on the curve's axis.
        seconds: of one call.
        megabytes: the most that a call had at once, beyond what was there before it, or what the curve's name says.
        expected_time, expected_memory: what the two should be proportional to, each in a unit of its own.
    """

    size: int
    seconds: float
    megabytes: float
    expected_time: float
    expected_memory: float


@dataclass(frozen=True)
class Curve:
    """Time and memory over sizes.

    Attributes:
        name: of the work. axis: what grows. points: by size.
    """

    name: str
    axis: str
    points: Sequence[Point]

    def values(self, field: str) -> list[float]:
        """A field of all points."""
        return [float(getattr(point, field)) for point in self.points]

    @property
    def middle(self) -> int:
        """The place of the middle size, the smaller of two."""
        return (len(self.points) - 1) // 2

    def exponent(self, field: str) -> float:
        """Of a field's growth from the middle size on, where constants hide less.

        Not a number where there is one size, or less than `LEAST_MEGABYTES` to tell it from.
        """
        values, sizes = self.values(field), self.values("size")
        middle = self.middle
        if len(sizes) == 1 or (field == "megabytes" and min(values[middle], values[-1]) < LEAST_MEGABYTES):
            return math.nan
        return math.log(values[-1] / values[middle]) / math.log(sizes[-1] / sizes[middle])


def most_memory(work: Callable[[], object], calls: int = 3) -> float:
    """Megabytes that some calls had at once, beyond what was there before, after one that is not counted."""
    work()
    release_memory()
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before = memory_kilobytes("VmRSS")
    for _ in range(calls):
        work()
    return (memory_kilobytes("VmHWM") - before) * 1024 / 1e6
