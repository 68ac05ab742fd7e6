"""`polysense align` and `zero-shot`: towers of one's own, and how well they tell things apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.cli.options import (
    Json,
    Overwrite,
)
from polysense.cli.reporting import command, report
from polysense.errors import PolysenseError


def align(
    output_dir: Annotated[Path, typer.Option(help="Where the tower goes.")],
    modality: Annotated[str, typer.Option(help="What to align to: image, audio or video.")] = "image",
    source: Annotated[
        list[str] | None, typer.Option(help="The registries' data by name, or your folder or manifest. Repeatable.")
    ] = None,
    trunk: Annotated[str, typer.Option(help="minilm, a hub id or a folder of a BERT-like model.")] = "minilm",
    steps: Annotated[int | None, typer.Option(min=1)] = None,
    rank: Annotated[int | None, typer.Option(min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    sharpness: Annotated[float | None, typer.Option(help="Of the memory at the start.")] = None,
    held_out: Annotated[float | None, typer.Option(min=0.0, max=0.9, help="Share of concepts for the scores.")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a tower of your own from pictures, sounds or clips with captions."""
    try:
        from polysense.alignment.align import align as run
        from polysense.alignment.training import AlignmentSettings
    except ImportError as error:
        raise PolysenseError(f"align needs {error.name}: pip install 'polysense[align]'") from error

    given: dict[str, Any] = {"steps": steps, "rank": rank, "learning_rate": learning_rate, "sharpness": sharpness}
    given |= {"held_out": held_out, "seed": seed}

    def work() -> dict[str, Any]:
        settings = AlignmentSettings(**{name: value for name, value in given.items() if value is not None})
        return run(output_dir, source, trunk, settings, modality=modality, command=command(), overwrite=overwrite)

    def show(result: dict[str, Any], console: Console) -> None:
        columns = list(next(iter(result["retrieval"].values())))
        table = Table("", *(c.replace("_", " ") for c in columns), title="Retrieval on held-out concepts, percent")
        for name, row in result["retrieval"].items():
            table.add_row(escape(name), *(f"{100 * row[c]:.1f}" for c in columns))
        console.print(table)
        folder = escape(str(output_dir))
        console.print(f"[dim]the tower is in {folder}; use it with --tower {modality}={folder}")

    report(work, show, as_json)


def zero_shot(
    tower: Annotated[str, typer.Argument(help="A shipped tower (image, audio, video) or a folder that align wrote.")],
    source: Annotated[str, typer.Option(help="Your folder or manifest; the captions are the classes.")],
    as_json: Json = False,
) -> None:
    """Classify pictures, sounds or clips by the names of their classes, with a tower of align."""
    try:
        from polysense.alignment.zero_shot import zero_shot as run
    except ImportError as error:
        raise PolysenseError(f"zero-shot needs {error.name}: pip install 'polysense[align]'") from error

    def show(results: dict[str, Any], console: Console) -> None:
        title = f"{results['tower']} on {results['items']} items of {results['source']}"
        table = Table("class", "recall", title=escape(title))
        for name, share in results["recall"].items():
            table.add_row(escape(name), f"{100 * share:.1f}")
        console.print(table)
        console.print(f"accuracy {100 * results['accuracy']:.1f} percent, chance {100 * results['chance']:.1f}")

    report(lambda: run(tower, source), show, as_json)
