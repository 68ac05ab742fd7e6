"""`python -m benchmarks.growth`: measure all curves, draw them, and print how steep they are.

Takes about half an hour, and 17 GB of disk for the largest store.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.growth.drawing import draw
from benchmarks.growth.steps import reading_curve, step_curves
from benchmarks.growth.stores import SIZES, store_curves
from polysense.folder import write_json


def main(arguments: list[str]) -> int:
    """Measure, draw, print."""
    parser = argparse.ArgumentParser("python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--most-texts", type=int, default=SIZES[-1], help="of the largest store")
    parser.add_argument("--output", type=Path, default=Path("build/growth.png"), help="the picture; numbers beside it")
    given = parser.parse_args(arguments)
    sizes = tuple(size for size in SIZES if size <= given.most_texts)
    curves = [*step_curves(), reading_curve(), *store_curves(sizes)]
    draw(curves, given.output)
    write_json(given.output.with_suffix(".json"), {"curves": [asdict(curve) for curve in curves]})
    table = Table("what", "over", "from", "to", "time", "exponent", "at the end", "expected", "memory", "at the end")
    for curve in curves:
        (time, time_end), (_, memory) = curve.exponents("seconds"), curve.exponents("megabytes")
        first, last = curve.points[0], curve.points[-1]
        table.add_row(
            curve.name, curve.axis, f"{first.size:,}", f"{last.size:,}",
            f"{1000 * first.seconds:.4g} to {1000 * last.seconds:.4g} ms", f"{time:.2f}", f"{time_end:.2f}",
            f"{curve.time_order:g}", f"{first.megabytes:.3g} to {last.megabytes:.3g} MB",
            "" if math.isnan(memory) else f"{memory:.2f}",
        )  # fmt: skip
    Console(width=180).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
