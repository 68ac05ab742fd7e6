"""Finished runs, and searches, on disk: what each gave, and by which code; and who computes which.

A cell's name says what was asked (method, towers, settings, data); the file says what answered it: a digest of the
code, the versions of libraries, the machine, the date. So a grid can be carried over a change of the code, if
somebody says so.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from filelock import Timeout

import polysense
from polysense.durable import lock_of
from polysense.errors import PolysenseError
from polysense.experiments.machine import machine
from polysense.folder import read_json, write_whole
from polysense.training.train import versions

MADE = "made"
"""Where a cell says what it was made by."""

DIGEST = "sha256"
"""Of all else that a cell holds, so that no damaged number comes into a table; older cells have none."""

_NOT_IN_A_RUN = ("cli", "experiments", "explain", "pages", "report", "vision_language")
_IN_A_RUN = (Path("experiments/grid.py"), Path("experiments/tuning.py"))
"""What decides which rows a run or a search sees."""

RUN: dict[str, Any] = {"scores": dict, "seconds": (int, float), "weights": dict, "e_steps": list, MADE: dict}
"""What the file of a run holds."""

SEARCH: dict[str, Any] = {"settings": dict, "options": dict, "score": (int, float), "rows": str, "trials": list}
"""What the file of a search holds; those of before noted not what made them."""


@cache
def source_digest() -> str:
    """Of the code that a number depends on, in twelve hexadecimal digits."""
    root = Path(polysense.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root)
        if name.parts[0] not in _NOT_IN_A_RUN or name in _IN_A_RUN:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


# Now, while it is the code that runs: files may change under a grid that takes hours.
source_digest()


def maker() -> str:
    """A name, of twelve hexadecimal digits, for the code and the versions of libraries that are here."""
    libraries = {name: version for name, version in versions().items() if name != "polysense"}
    return hashlib.sha256(json.dumps([source_digest(), libraries]).encode()).hexdigest()[:12]


def write_cell(file: Path, cell: Mapping[str, Any]) -> None:
    """Write a cell whole, with its digest."""
    text = json.dumps(cell)
    write_whole(file, json.dumps({**json.loads(text), DIGEST: _digest(text)}))


def read_cell(file: Path, accept_older: bool = False, fields: Mapping[str, Any] = RUN) -> dict[str, Any] | None:
    """A finished cell; None where it is not there, or was made by other code and nobody accepts that.

    Args:
        fields: what it holds, with the types: `RUN`, `SEARCH` or others.

    Raises:
        PolysenseError: the file is no such cell.
    """
    try:
        cell = read_json(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        cell = None
    told = cell.pop(DIGEST, None) if isinstance(cell, dict) else None
    well = isinstance(cell, dict) and all(isinstance(cell.get(name), kind) for name, kind in fields.items())
    if not well or told not in (None, _digest(json.dumps(cell))):
        raise PolysenseError(f"{file} is no finished cell: delete it, and it is computed again")
    return cell if accept_older or revision(cell) is None else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def revision(cell: Mapping[str, Any]) -> str | None:
    """What made a cell, where it is not what is here: digest of the code, versions that differ, date."""
    made = cell.get(MADE)
    if made is None:
        return "unknown code"
    before, now = made.get("versions", {}), versions()
    # The package's own version says less than the digest of its code.
    libraries = [name for name in now if name != "polysense" and name in before]
    other = [f"{name} {before[name]}" for name in libraries if before[name] != now[name]]
    if made.get("source") != source_digest():
        other.insert(0, f"code {made.get('source')}")
    return f"{', '.join(other)}, {made.get('date')}" if other else None


def older(what: str, made: Sequence[str | None]) -> list[str]:
    """Notes on cells of another revision, from what `revision` says of all.

    Args:
        what: several of them are called.
    """
    counts = Counter(filter(None, made))
    return [f"{count} of {len(made)} {what} are of another revision: {which}" for which, count in counts.items()]


def elsewhere(cell: Mapping[str, Any]) -> str | None:
    """The machine that a cell was made on, where it is not this one."""
    of_cell: str = cell.get(MADE, {}).get("machine", "one that was not noted")
    return of_cell if of_cell != machine() else None


def on_others(what: str, machines: Sequence[str | None]) -> list[str]:
    """Notes on cells of other machines, from what `elsewhere` says of all; as `older`."""
    counts, total = Counter(filter(None, machines)), len(machines)
    return [f"{count} of {total} {what} were made on another machine: {which}" for which, count in counts.items()]


def finished(file: Path, fields: Mapping[str, Any] = RUN) -> dict[str, Any]:
    """A cell by whichever code: a worker may have begun after a change of it.

    Raises:
        PolysenseError: it is not finished.
    """
    found = read_cell(file, accept_older=True, fields=fields)
    if found is None:
        raise PolysenseError(f"{file}: gone since it was computed; give the same command again")
    return found


def compute_once(
    file: Path, compute: Callable[[], Mapping[str, Any]], accept_older: bool = False, fields: Mapping[str, Any] = RUN
) -> bool:
    """Compute and write a cell, with what it was made by, unless it is done; False where another process is at it."""
    if read_cell(file, accept_older, fields) is not None:
        return True
    with claimed(file) as mine:
        # Again: it may have been finished between the look and the claim.
        if mine and read_cell(file, accept_older, fields) is None:
            made = {"source": source_digest(), "versions": versions(), "machine": machine()}
            write_cell(file, {**compute(), MADE: {**made, "date": datetime.now(UTC).date().isoformat()}})
    return mine


@contextmanager
def claimed(file: Path) -> Iterator[bool]:
    """Whether this process may compute a cell now: no other does. A process that dies gives up what it claimed."""
    lock = lock_of(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
