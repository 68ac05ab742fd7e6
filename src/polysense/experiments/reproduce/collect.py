"""A table at the papers' scale, of what its script has computed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError
from polysense.experiments.reproduce.assemble import assemble, of_column, probe_rows
from polysense.experiments.reproduce.catalogue import Entry
from polysense.experiments.reproduce.scales import PAPER_TOWERS
from polysense.experiments.results import Row
from polysense.folder import read_json

_COMPUTED = ("mean", "std")
"""Of a row: made of its scores."""


def comparison_file(base: str, task: str, share: float | None) -> str:
    """Where a script puts the comparison of a backbone on a task, within its folder of results."""
    return f"{base.lower()}-{task}" + (f"-{100 * share:g}" if share is not None else "") + ".json"


def probe_file(asked: str, task: str) -> str:
    """Where it puts what a probe gave.

    Args:
        asked: e.g. "--backbone bert-base-uncased".
    """
    return f"probe-{re.sub(r'[^a-z0-9]+', '-', asked.split()[-1].lower())}-{task}.json"


def table_file(entry: Entry, base: str) -> str:
    """Where it puts the table."""
    return f"{entry.id}-{base.lower()}.json"


def collect_paper(entry: Entry, folder: Path, base: str, command: str) -> dict[str, Any]:
    """Put a script's comparisons on one backbone, and its probes, together to the paper's table.

    Args:
        entry: of the catalogue.
        folder: the script's folder of results.
        base: one of the table's backbones, as the paper calls it.
        command: that asked for it.

    Returns:
        as `assemble`; what is not there yet is named in the notes.

    Raises:
        PolysenseError: the table has no such backbone, nothing of it is there, or a file is no result.
    """
    if base not in entry.bases:
        raise PolysenseError(f"{entry.id} has no backbone {base!r}: one of {', '.join(entry.bases)}")
    rows: list[Row] = []
    missing: list[str] = []
    notes: list[str] = []
    settings: dict[str, Any] = {"backbone": base}
    for (task, share), columns in entry.groups().items():
        titles = ", ".join(column.title for column in columns)
        found = _read(folder / comparison_file(base, task, share))
        if found is None:
            missing.append(f"not run: {titles}: there is no {comparison_file(base, task, share)} in {folder}")
        else:
            with _damage(folder / comparison_file(base, task, share)):
                computed = [_row(row) for row in found["rows"]]
                rows += [row for column in columns for row in of_column(column, computed)]
                settings[titles] = found["settings"].get(task, {})
                notes += map(str, found["notes"])
        for line in entry.lines:
            if "paper" in line.probe:
                probed = _read(folder / probe_file(line.probe["paper"], task))
                if probed is not None:
                    with _damage(folder / probe_file(line.probe["paper"], task)):
                        of_splits = probe_rows(probed, line, "paper")
                        rows += [row for column in columns for row in of_column(column, of_splits)]
                        notes += [f"{task}, {line.label}: {note}" for note in probed["notes"]]
    if not rows:
        raise PolysenseError(f"{folder} holds nothing of {entry.id} with {base}: run its script first")
    said = [f"{line.label}: {line.note}" for line in entry.lines if line.note]
    told = [*entry.differs, *said, *missing, *dict.fromkeys(notes)]
    return assemble(entry, rows, command, told, settings, "paper", PAPER_TOWERS, base)


def _read(file: Path) -> dict[str, Any] | None:
    """A result; None where there is none yet.

    Raises:
        PolysenseError: it is damaged.
    """
    try:
        found = read_json(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not {"rows", "scores"} & set(found):
        raise _no_result(file)
    return found


def _row(given: dict[str, Any]) -> Row:
    """ValueError where its seeds are not those of its scores."""
    row = Row(**{name: value for name, value in given.items() if name not in _COMPUTED})
    if row.seeds and len(row.seeds) != len(row.scores):
        raise ValueError("scores without seeds")
    return row


@contextmanager
def _damage(file: Path) -> Iterator[None]:
    """What a file lacks, or holds of another type, is a PolysenseError that names it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _no_result(file) from None


def _no_result(file: Path) -> PolysenseError:
    return PolysenseError(f"{file} is no result of compare or probe: delete it, and run the script again")
