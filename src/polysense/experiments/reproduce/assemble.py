"""From the rows of comparisons to a table of a paper: columns, lines, and what the paper printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from polysense.experiments.reproduce.catalogue import Column, Entry, Line, Scale, run_name
from polysense.experiments.results import Row, average_gains, in_points, results_of


def of_column(column: Column, rows: Sequence[Row]) -> list[Row]:
    """The rows that fill a column, by its title."""
    split = next((split for split in column.splits if any(row.split == split for row in rows)), None)
    return [replace(row, task=column.title) for row in rows if (row.split, row.metric) == (split, column.metric)]


def probe_rows(found: Mapping[str, Any], line: Line, scale: Scale) -> list[Row]:
    """What a probe gave, one score a split, without a seed."""
    return [
        Row(
            found["task"], probe_name(line, scale), ["text", *line.modalities], "accuracy", seeds=[],
            scores=[in_points("accuracy", score)], seconds=0.0, split=split,
        )
        for split, score in found["scores"].items()
    ]  # fmt: skip


def probe_name(line: Line, scale: Scale) -> str:
    """What a line that is probed is called among the rows."""
    return f"probe {line.probe[scale]}"


def assemble(
    entry: Entry,
    rows: Sequence[Row],
    command: str,
    notes: Sequence[str],
    settings: Mapping[str, Any],
    scale: Scale,
    towers: Mapping[str, str],
    base: str | None = None,
) -> dict[str, Any]:
    """A table of the catalogue.

    Args:
        rows: their tasks are the titles of columns.
        command: that asked for it.
        notes: what has to be said.
        settings: of the runs, by columns.
        scale, towers: that the runs were of.
        base: the backbone whose numbers stand beside them; None: all.

    Returns:
        what `results_of` gives, its tasks being the table's columns, and "table", the table itself: "id", "title",
        "columns", and "lines" with "label", "modalities", "method" (in the rows; None where there is no run), "paper"
        (numbers by backbone) and "note".
    """
    lines = entry.runs(scale, towers, base)
    baselines = {run_name(text): line.baseline for text, line in lines.items()}
    rows = [replace(row, baseline=baselines.get(row.method, True)) for row in rows]
    result = results_of(rows, command, notes, settings)
    table = _table(entry, scale, towers, base)
    labels = {line["method"]: line["label"] for line in table["lines"]}
    averages = average_gains([row for row in rows if row.task in table["main"]])
    return {**result, "averages": [{**gain, "label": labels[gain["method"]]} for gain in averages], "table": table}


def _table(entry: Entry, scale: Scale, towers: Mapping[str, str], base: str | None) -> dict[str, Any]:
    lines = []
    for line in entry.lines:
        text = line.text(scale, towers)
        probed = probe_name(line, scale) if scale in line.probe else None
        paper = {name: list(numbers) for name, numbers in line.numbers.items()}
        lines.append(
            {
                "label": line.label,
                "modalities": ["text", *line.modalities],
                "method": run_name(text) if text is not None else probed,
                "run": text,
                # Of a backbone its own numbers; those of no backbone of the table (CLIP alone) stay.
                "paper": {name: n for name, n in paper.items() if base in (None, name) or name not in entry.bases},
                "note": line.note,
            }
        )
    return {
        "id": entry.id,
        "title": entry.title,
        "shows": entry.shows,
        "columns": [column.title for column in entry.columns],
        "main": [column.title for column in entry.columns if column.main],
        "lines": lines,
    }
