"""`python -m benchmarks.growth`: measure curves, draw them, and print how steep they are.

All take about twenty minutes, and 17 GB of disk for the largest store. With `--part` some are measured, and what the
file of numbers has of the others is drawn beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.growth.curve import Curve, Point
from benchmarks.growth.drawing import draw
from benchmarks.growth.steps import reading_curve, step_curves
from benchmarks.growth.stores import SIZES, store_curves
from polysense.folder import write_json

PARTS: Mapping[str, Callable[[Sequence[int]], list[Curve]]] = {
    "steps": lambda _: step_curves(),
    "reading": lambda _: [reading_curve()],
    "store": store_curves,
}
"""By name; each is given the sizes of stores."""

FIELDS = ("seconds", "expected_time", "megabytes", "expected_memory")


def kept(numbers: Path) -> dict[str, list[Curve]]:
    """The curves by part that were measured before."""
    if not numbers.exists():
        return {}
    parts = json.loads(numbers.read_text())
    return {
        part: [Curve(**{**curve, "points": [Point(**point) for point in curve["points"]]}) for curve in curves]
        for part, curves in parts.items()
    }


def main(arguments: list[str]) -> int:
    """Measure, draw, print."""
    parser = argparse.ArgumentParser("python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--most-texts", type=int, default=SIZES[-1], help="of the largest store")
    parser.add_argument("--output", type=Path, default=Path("build/growth.png"), help="the picture; numbers beside it")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="repeatable; else all")
    given = parser.parse_args(arguments)
    sizes = [size for size in SIZES if size <= given.most_texts]
    numbers = given.output.with_suffix(".json")
    parts = kept(numbers)
    for part in given.part or PARTS:
        parts[part] = PARTS[part](sizes)
        write_json(numbers, {name: [asdict(curve) for curve in parts[name]] for name in PARTS if name in parts})
    curves = [curve for name in PARTS for curve in parts.get(name, [])]
    draw(curves, given.output)
    table = Table("what", "over", "from", "to", "time", "exponent", "expected", "memory", "exponent", "expected")
    for curve in curves:
        first, last = curve.points[0], curve.points[-1]
        exponents = ["" if math.isnan(exponent) else f"{exponent:.2f}" for exponent in map(curve.exponent, FIELDS)]
        table.add_row(
            curve.name, curve.axis, f"{first.size:,}", f"{last.size:,}",
            f"{1000 * first.seconds:,.3g} to {1000 * last.seconds:,.3g} ms", *exponents[:2],
            f"{first.megabytes:,.3g} to {last.megabytes:,.3g} MB", *exponents[2:],
        )  # fmt: skip
    Console(width=180).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
