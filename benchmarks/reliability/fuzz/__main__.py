"""`python -m benchmarks.reliability.fuzz`: every reader of files is given damaged ones.

A reading of a damaged file is "same" (as of the whole one), "other" (which a plain text cannot know), "named" (an error
in one line that names the file or its folder), "unnamed" (an error that does not), or "crash" (any other exception, a
hang, a dead process, no memory). A crash or an unnamed error fails the run, and so does an "other" of a format with
checksums.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from benchmarks.reliability.fuzz.reader import Reader
from benchmarks.reliability.fuzz.readers import READERS
from benchmarks.reliability.fuzz.rounds import Outcome, count, run_rounds
from benchmarks.timing import print_rows
from polysense.cache import CACHE_VARIABLE
from polysense.folder import write_json

SHOWN = 20
"""Bad endings that are printed; the file has all of them."""


def fuzz(reader: Reader, rounds: int, seed: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The reader's line of the table, and its bad endings."""
    found: Counter[Outcome] = Counter()
    bad: list[str] = []
    began = time.perf_counter()
    some = max(1, round(rounds * reader.share))
    forbidden = {"crash", "unnamed"} | ({"other"} if reader.checksums else set())
    for ended in tqdm(run_rounds(reader, folder, some, seed), desc=reader.name, total=some, unit="round", leave=False):
        found[ended.outcome] += 1
        if ended.outcome in forbidden:
            bad.append(f"{reader.name}, {ended.outcome}: {ended.told}")
    line = {"reader": reader.name, "checksums": "yes" if reader.checksums else "", "rounds": some, **count(found)}
    return {**line, "seconds": round(time.perf_counter() - began, 1)}, bad


def main(arguments: Sequence[str]) -> int:
    """Fuzz all, print the table; 1 where something ended badly."""
    parser = argparse.ArgumentParser("python -m benchmarks.reliability.fuzz", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="a reader; slow ones get a share of them")
    parser.add_argument("--seed", type=int, default=0, help="of the damages")
    parser.add_argument("--reader", action="append", help="repeatable, the beginning of a name; else all")
    parser.add_argument("--output", type=Path, default=Path("build/fuzz.json"))
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen = [r for r in READERS if given.reader is None or r.name.startswith(tuple(given.reader))]
    if not chosen:
        parser.error(f"no such reader: one of {', '.join(reader.name for reader in READERS)}")
    lines, bad = [], []
    with tempfile.TemporaryDirectory() as name:
        os.environ[CACHE_VARIABLE] = str(Path(name) / "cache")
        for number, reader in enumerate(chosen):
            line, ended = fuzz(reader, given.rounds, given.seed, Path(name) / str(number))
            lines.append(line)
            bad += ended
    write_json(given.output, {"seed": given.seed, "rows": lines, "bad": bad})
    title = f"Damaged files, seed {given.seed}: {sum(line['rounds'] for line in lines):,} readings"
    print_rows(lines, title)
    for text in bad[:SHOWN]:
        print(text)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
