"""`polysense probe`: what models know of objects before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.cli.options import Batch, DataDir, Json, check_output
from polysense.cli.reporting import report
from polysense.errors import PolysenseError


def probe(
    task: Annotated[str, typer.Option(help="coda, color or shape.")],
    backbone: Annotated[str | None, typer.Option(help="A model that predicts masked words: hub id or folder.")] = None,
    tower: Annotated[str | None, typer.Option(help="A tower, as --tower MODALITY= of train takes it.")] = None,
    data_dir: DataDir = None,
    batch_size: Batch = 64,
    output: Annotated[Path | None, typer.Option(help="A JSON file for the result.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a model, as it is, for the colours or shapes of objects (zero-shot)."""
    from polysense.folder import write_json
    from polysense.training.zero_shot import zero_shot_masked, zero_shot_tower

    data: Path | None = data_dir

    def write() -> dict[str, Any]:
        if output is not None:
            check_output(output)
        result = work()
        if output is not None:
            write_json(output, result)
        return result

    def work() -> dict[str, Any]:
        if (backbone is None) == (tower is None):
            raise PolysenseError("give a --backbone, whose masked words are asked for, or a --tower, and not both")
        if tower is not None:
            return zero_shot_tower(tower, task, data)
        return zero_shot_masked(str(backbone), task, data, batch_size)

    def show(result: dict[str, Any], console: Console) -> None:
        deviations = result.get("deviations", {})
        columns = ["split", "objects", "accuracy", *(["deviation over prompts"] if deviations else [])]
        table = Table(*columns, title=escape(f"{result['model']} on {result['task']}, percent"))
        for split, score in result["scores"].items():
            spread = [f"{100 * deviations[split]:.1f}"] if deviations else []
            table.add_row(split, f"{result['objects'][split]:,}", f"{100 * score:.1f}", *spread)
        console.print(table)
        for note in result["notes"]:
            console.print(f"[dim]{escape(note)}")

    report(write, show, as_json)
