"""The card of an aligned tower: data, licences, command, seed and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polysense.alignment.kinds import KINDS
from polysense.alignment.sources import SOURCES


def tower_card(report: Mapping[str, Any], sources: Sequence[str]) -> str:
    """The card as Markdown, from the report of `align`."""
    settings, kind = report["settings"], KINDS[report["modality"]]
    data = [
        f"| {s.name} | {s.origin} | {s.licence} | {s.attribution} | {'yes' if s.ships else 'no'} |"
        for s in (SOURCES[name] for name in sources if name in SOURCES)
    ]
    own = [f"| {source} | the user's own | - | - | yes |" for source in sources if source not in SOURCES]
    retrieval = report["retrieval"]
    columns = list(next(iter(retrieval.values())))
    scores = [
        f"| {name} | " + " | ".join(f"{100 * row[column]:.1f}" for column in columns) + " |"
        for name, row in retrieval.items()
    ]
    made_of = (
        f"Trunk `{report['trunk']}` (frozen, not part of this folder), adapters of rank {settings['rank']}, a "
        f"projection, and a memory of {report['entries']} captions with the mean features of their {kind.item}s."
    )
    features = (
        f"{report['items']} {kind.item}s, {report['captions']} captions, {report['concepts']} concepts. Features: "
        f"{kind.encoder}, as principal components."
    )
    caveat = (
        "Scored before the held-out concepts entered the memory that is saved here. The unaligned trunk cannot be "
        f"compared to {kind.item}s, so it is given the best linear map that least squares finds on the training pairs."
    )
    lines = [f"# An aligned {report['modality']} tower", "", made_of, ""]
    lines += [f"Command: `{report['command']}` (seed {settings['seed']}).", "", "## Data", ""]
    lines += ["| source | from | licence | by | features in the memory |", "| --- | --- | --- | --- | --- |"]
    lines += [*data, *own, "", features, ""]
    lines += [f"## Retrieval on {report['held_out_concepts']} concepts held out of training (percent)", ""]
    lines += ["| | " + " | ".join(column.replace("_", " ") for column in columns) + " |"]
    lines += ["| --- |" + " --- |" * len(columns), *scores, "", caveat, ""]
    return "\n".join(lines)
