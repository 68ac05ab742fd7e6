"""Options that several verbs share, and what is read from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.text import read_value

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a result that is already there.")]

Layers = Annotated[str | None, typer.Option(help="Saliency from the last attention layer or from all: last, all.")]
SelectionOption = Annotated[
    str | None, typer.Option("--selection", help="What may be a prototype: saliency, syntax or pooled.")
]
LongTextsOption = Annotated[
    str | None, typer.Option("--long-texts", help="Longer than a tower's context: window or truncate.")
]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="Of features: half or exact.")]
StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Folder of stored prototypes; else in $POLYSENSE_CACHE.")
]
NoStore = Annotated[bool, typer.Option("--no-store", help="Keep prototypes in memory alone.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the task's files; else the usual places and the hub.")]
TextColumns = Annotated[list[str], typer.Option("--text-column", help="Column with the text; twice for pairs.")]
LabelColumn = Annotated[str, typer.Option(help="Column with the label.")]
Batch = Annotated[int, typer.Option("--batch-size", min=1, help="Texts a step.")]
Cells = Annotated[Path, typer.Option(help="Folder of finished runs; several programs may share it.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes, each with its share of the cores.")]
AcceptOlder = Annotated[
    bool, typer.Option("--accept-older", help="Take finished runs of other code or versions, and say so.")
]


def parse_options(assignments: list[str], flag: str = "--option") -> dict[str, Any]:
    """`["heads=4", "residual=true"]` to {"heads": 4, "residual": True}; values are read as JSON, else as text."""
    options: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise PolysenseError(f"{flag} {assignment}: write NAME=VALUE")
        options[name] = read_value(value)
    return options


def chosen_store(store: Path | None, no_store: bool) -> Store:
    """Where prototypes are stored, from the two flags."""
    if store is not None and no_store:
        raise PolysenseError("--store and --no-store contradict each other: give one of them")
    return False if no_store else store


def check_output(file: Path | None, ending: str = "") -> None:
    """Before the work, not after it.

    Args:
        file: --output.
        ending: that it must have, e.g. ".json" where a page of the same name goes beside it.
    """
    if file is not None and file.is_dir():
        raise PolysenseError(f"{file} is a folder: give the name of a file as --output")
    if file is not None and ending not in ("", file.suffix):
        raise PolysenseError(
            f"{file} does not end in {ending}: give {file.with_suffix(ending)} as --output; tables go beside it"
        )
