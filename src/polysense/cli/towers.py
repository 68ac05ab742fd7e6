"""`polysense towers`: which towers there are, and the papers' checkpoints made into some."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from polysense.cli.options import Json, Overwrite
from polysense.cli.reporting import report

towers_app = typer.Typer(help="Towers: which there are, and checkpoints made into some.", no_args_is_help=True)


@towers_app.command("list")
def list_towers(
    folder: Annotated[list[Path] | None, typer.Argument(help="Folders of towers, to be listed too.")] = None,
    as_json: Json = False,
) -> None:
    """List the towers, where they come from, and whether they can be had now."""
    from polysense.towers.listing import tower_list

    def show(result: dict[str, Any], console: Console) -> None:
        notes: list[str] = []
        table = Table(Column("--tower MODALITY=", overflow="fold"), "family", "modality", "widths", "from", "now")
        for row in result["towers"]:
            widths = " > ".join(str(row[name]) for name in ("width", "projected") if row[name])
            now = f"yes: {row['reason']}"
            if not row["available"]:
                notes += [row["reason"]] if row["reason"] not in notes else []
                now = f"no: see {notes.index(row['reason']) + 1}"
            table.add_row(*map(escape, (row["name"], row["family"], row["modality"] or "", widths, row["origin"], now)))
        console.print(table)
        for number, note in enumerate(notes, 1):
            # Addresses stay in one piece.
            console.print(f"{number}. {escape(note)}", soft_wrap=True, highlight=False)
        console.print("[dim]widths: of token states > of features in the space that text and modality share")

    report(lambda: tower_list(folder or []), show, as_json)


@towers_app.command("convert")
def convert_checkpoint(
    file: Annotated[Path, typer.Argument(help="A checkpoint of OpenAI CLIP, AudioCLIP or CLIP-ViP.")],
    to: Annotated[Path, typer.Option("--to", "--output-dir", help="Folder for the tower; it appears there whole.")],
    family: Annotated[str | None, typer.Option(help="openai-clip, audioclip or clip-vip; else told from it.")] = None,
    bpe: Annotated[Path | None, typer.Option(help="OpenAI's bpe_simple_vocab_16e6.txt.gz; else fetched.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make the text tower of a checkpoint into a folder that --tower takes."""
    from polysense.towers.convert import convert

    def show(result: dict[str, Any], console: Console) -> None:
        console.print(
            f"{result['family']}: {result['layers']} layers, {result['width']} wide, "
            f"features of {result['projection']}, {result['parameters']:,} weights"
        )
        console.print(f"[dim]use it with --tower {result['modality']}={escape(result['output'])}")

    report(lambda: convert(file, to, family, bpe, overwrite), show, as_json)
