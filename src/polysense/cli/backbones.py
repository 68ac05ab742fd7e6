"""`polysense new-backbone`: a small encoder-decoder from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from polysense.cli.options import DataDir, Json, Overwrite
from polysense.cli.reporting import report


def new_backbone(
    output_dir: Annotated[Path, typer.Option(help="Folder for the model; it appears there whole.")],
    task: Annotated[str, typer.Option(help="Its training rows give the vocabulary: commongen, ...")] = "commongen",
    data_dir: DataDir = None,
    width: Annotated[int, typer.Option(help="Of its states.")] = 256,
    layers: Annotated[int, typer.Option(help="Of the encoder, and as many of the decoder.")] = 3,
    heads: Annotated[int, typer.Option(help="Of each attention.")] = 4,
    vocabulary: Annotated[int, typer.Option(help="Tokens at most.")] = 8000,
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a small, untrained encoder-decoder that --backbone takes, where no pretrained one can be had."""

    def make() -> dict[str, Any]:
        from polysense.training.new_backbone import new_backbone as made

        return made(
            output_dir,
            task,
            data_dir,
            width=width,
            layers=layers,
            heads=heads,
            vocabulary=vocabulary,
            seed=seed,
            overwrite=overwrite,
        )

    def show(result: dict[str, Any], console: Console) -> None:
        console.print(
            f"an untrained T5 of {result['layers']} + {result['layers']} layers, {result['width']} wide: "
            f"{result['vocabulary']:,} tokens, {result['parameters']:,} weights"
        )
        console.print(f"[dim]use it with --backbone {escape(result['output'])}")

    report(make, show, as_json)
