"""The papers' tables and figures: what they are, and how to make them again at either scale."""

from __future__ import annotations

from collections.abc import Mapping

from polysense.errors import PolysenseError
from polysense.experiments.reproduce.both import BOTH
from polysense.experiments.reproduce.catalogue import Entry, Scale
from polysense.experiments.reproduce.macsc import MACSC
from polysense.experiments.reproduce.mase import MASE
from polysense.experiments.reproduce.scales import PAPER_SEEDS, SMALL_SEEDS
from polysense.tasks.tables import near

ENTRIES: dict[str, Entry] = {entry.id: entry for entry in (*MACSC, *MASE, *BOTH)}
"""All tables and figures of the papers by id, but those that explain a method and show no result (Figures 1 to 3
of both); and one table over the tasks of both."""

SEEDS: Mapping[Scale, int] = {"small": SMALL_SEEDS, "paper": PAPER_SEEDS}
"""Runs a cell of a table, unless told otherwise."""


def get_entry(name: str) -> Entry:
    """The table or figure of that id; PolysenseError with the known ones if there is none."""
    if name not in ENTRIES:
        raise PolysenseError(
            f"nothing to reproduce is called {name!r}{near(name, ENTRIES)}: one of {', '.join(ENTRIES)}"
        )
    return ENTRIES[name]


def describe_entries() -> list[dict[str, str]]:
    """What `polysense reproduce list` shows, by entry.

    Returns:
        "id", "title", "shows", "small" (what the small scale does), and "left_out" (the paper's lines that the
        small scale does not compute, with the reason).
    """
    found = []
    for entry in ENTRIES.values():
        small = "computed" if entry.runs_small else "commands, as a script"
        left_out = [f"{line.label}: {line.note}" for line in entry.lines if not line.runs_small]
        found.append(
            {
                "id": entry.id,
                "title": entry.title,
                "shows": entry.shows,
                "small": small,
                "left_out": "; ".join(left_out),
            }
        )
    return found


__all__ = ["ENTRIES", "SEEDS", "describe_entries", "get_entry"]
