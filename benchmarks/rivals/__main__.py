"""`python -m benchmarks.rivals --output docs/results/rivals.json`: a user's other choices beside Polysense.

Needs setfit (`pip install setfit`) unless `--competitor` leaves it out. Finished cells are kept in `build/rivals`, so
the same command goes on where it stopped, and several processes may work at once.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.rivals.rows import SIZES
from benchmarks.rivals.study import CELLS, LEARNING_RATES, Study, competitors
from benchmarks.rivals.table import markdown_page, results, rich_page
from polysense.cli.options import check_output
from polysense.errors import PolysenseError
from polysense.experiments.results import save_results

TASKS = ("sst2", "qnli", "mrpc", "csqa")


def main(arguments: list[str]) -> int:
    """Run the comparison and write the table; 2 after an error of the user's."""
    known = competitors()
    parser = argparse.ArgumentParser("python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the JSON file; the table goes beside it")
    parser.add_argument("--task", action="append", help=f"repeatable; else {', '.join(TASKS)}")
    parser.add_argument("--size", action="append", choices=list(SIZES), help="rows a class, or a share; repeatable")
    parser.add_argument("--competitor", action="append", choices=list(known), help="repeatable; else all")
    parser.add_argument("--seeds", type=int, default=3, help="runs a place, seeds 0, 1, ...")
    parser.add_argument("--learning-rate", type=float, action="append", help="to choose from; repeatable")
    parser.add_argument("--threads", type=int, default=1, help="of torch, the same for all")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with so many threads")
    parser.add_argument("--cells", type=Path, default=CELLS, help="folder of finished runs")
    parser.add_argument("--accept-older", action="store_true", help="take finished runs of other code, and say so")
    given = parser.parse_args(arguments)
    for name in ("seeds", "threads", "workers"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} must be 1 or more, not {getattr(given, name)}")
    study = Study(
        given.task or TASKS,
        [SIZES[name] for name in given.size or SIZES],
        [known[name] for name in given.competitor or known],
        range(given.seeds),
        given.learning_rate or LEARNING_RATES,
        threads=given.threads,
        cells=given.cells,
        accept_older=given.accept_older,
    )
    try:
        check_output(given.output, ".json")
        study.run(given.workers)
        found = results(study, shlex.join(["python", "-m", "benchmarks.rivals", *arguments]))
        save_results(given.output, found, markdown_page(found))
    except PolysenseError as error:
        print(f"rivals: error: {error}", file=sys.stderr)
        return 2
    Console(width=160).print(rich_page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
