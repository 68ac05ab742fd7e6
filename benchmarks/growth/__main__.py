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


def kept(numbers: Path, wanted: Sequence[str]) -> dict[str, list[Curve]]:
    """The curves by part that were measured before, of the parts that are wanted."""
    if not wanted or not numbers.exists():
        return {}
    parts = json.loads(numbers.read_text())
    return {
        part: [Curve(**{**curve, "points": [Point(**point) for point in curve["points"]]}) for curve in curves]
        for part, curves in parts.items()
        if part in wanted
    }


def main(arguments: list[str]) -> int:
    """Measure, draw, print."""
    parser = argparse.ArgumentParser("python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--most-texts", type=int, default=SIZES[-1], help="of the largest store")
    parser.add_argument("--output", type=Path, default=Path("build/growth.png"), help="the picture; numbers beside it")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="repeatable; else all")
    given = parser.parse_args(arguments)
    sizes = [size for size in SIZES if size <= given.most_texts]
    if not sizes:
        parser.error(f"--most-texts is at least {SIZES[0]:,}, the smallest store")
    numbers = given.output.with_suffix(".json")
    asked = given.part or list(PARTS)
    parts = kept(numbers, [part for part in PARTS if part not in asked])
    for part in asked:
        parts[part] = PARTS[part](sizes)
        write_json(numbers, {name: [asdict(curve) for curve in parts[name]] for name in PARTS if name in parts})
    curves = [curve for name in PARTS for curve in parts.get(name, [])]
    draw(curves, given.output)
    print(table(curves))
    return 0


def table(curves: Sequence[Curve]) -> str:
    """As Markdown."""
    header = ("what", "over", "from", "to", "time", "exponent", "expected", "memory", "exponent", "expected")
    rows = [header, ("---",) * len(header)]
    for curve in curves:
        first, last = curve.points[0], curve.points[-1]
        time, expected_time, memory, expected_memory = map(curve.exponent, FIELDS)
        rows.append((
            curve.name, curve.axis, f"{first.size:,}", f"{last.size:,}",
            f"{digits(1000 * first.seconds)} to {digits(1000 * last.seconds)} ms",
            exponent(time), exponent(expected_time),
            f"{digits(first.megabytes)} to {digits(last.megabytes)} MB",
            exponent(memory), "" if math.isnan(memory) else exponent(expected_memory),
        ))  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def exponent(value: float) -> str:
    """Nothing where it is no number."""
    return "" if math.isnan(value) else f"{value:.1f}".replace("-0.0", "0.0")


def digits(value: float) -> str:
    """Three of them, and plain."""
    return f"{float(f'{value:.3g}'):,.10g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
