"""`polysense extract`: prototypes stored ahead of training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.cli.options import DataDir, Json, Layers, LongTextsOption, PrecisionOption, StoreOption, TextColumns
from polysense.cli.reporting import GOES_ON, report

MEGA = 1e6


def extract(
    task: Annotated[str | None, typer.Option(help="A task by name: all its splits.")] = None,
    file: Annotated[list[Path] | None, typer.Option(help="Your own rows, with labels or without. Repeatable.")] = None,
    text_column: TextColumns = ["text"],  # noqa: B006
    data_dir: DataDir = None,
    tower: Annotated[list[str], typer.Option(help="MODALITY=TOWER. Repeatable.")] = ["image"],  # noqa: B006
    k: Annotated[int, typer.Option("--k", min=1, help="Prototypes a sentence and modality.")] = 4,
    layers: Layers = None,
    long_texts: LongTextsOption = None,
    precision: PrecisionOption = None,
    store: StoreOption = None,
    workers: Annotated[int | None, typer.Option(help="Read on that many processes of Ray, a core or GPU each.")] = None,
    scene_graphs: Annotated[
        bool, typer.Option("--scene-graphs", help="Parse them too, and read their entities, for MASE.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Store the prototypes of a task or of your own rows, for train and predict to look up."""
    from polysense.prototypes.reading import Reading
    from polysense.training.extract import extract as run

    given: dict[str, Any] = {"layers": layers, "long_texts": long_texts, "precision": precision}

    def work() -> dict[str, Any]:
        reading = Reading(k=k, **{name: value for name, value in given.items() if value is not None})
        return run(
            task,
            towers=tower,
            data_dir=data_dir,
            files=file or (),
            text_columns=text_column,
            reading=reading,
            store=store,
            workers=workers,
            scene_graphs=scene_graphs,
        )

    def show(result: dict[str, Any], console: Console) -> None:
        for kind, things in (("towers", "texts"), ("entities", "entities")):
            if kind in result:
                console.print(_table(result[kind], things))
        if "scene_graphs" in result:
            row = result["scene_graphs"]
            console.print(f"scene graphs: {row['texts']:,} texts, {row['parsed']:,} parsed in {row['seconds']:.1f} s")
        console.print(f"[dim]stored in {escape(result['store'])}")

    report(work, show, as_json, lambda: GOES_ON)


def _table(rows: dict[str, Any], things: str) -> Table:
    table = Table("modality", "tower", things, "newly read", "seconds", f"stored {things}", "stored MB")
    for modality, row in rows.items():
        figures = (f"{row[things]:,}", f"{row['read']:,}", f"{row['seconds']:.1f}", f"{row['rows']:,}")
        table.add_row(modality, escape(row["tower"]), *figures, f"{row['bytes'] / MEGA:.1f}")
    return table
