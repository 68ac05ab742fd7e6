"""`polysense evaluate` and `predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.cli.options import (
    Batch,
    DataDir,
    Json,
    LabelColumn,
    NoStore,
    StoreOption,
    TextColumns,
    check_output,
    chosen_store,
)
from polysense.cli.reporting import report, score_table


def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder that train wrote.")],
    task: Annotated[str | None, typer.Option(help="A task by name.")] = None,
    split: Annotated[str | None, typer.Option(help="Only this split of the task.")] = None,
    data_dir: DataDir = None,
    file: Annotated[Path | None, typer.Option(help="Your own rows with labels.")] = None,
    text_column: TextColumns = ["text"],  # noqa: B006
    label_column: LabelColumn = "label",
    batch_size: Batch = 64,
    store: StoreOption = None,
    no_store: NoStore = False,
    as_json: Json = False,
) -> None:
    """Score a trained model on a task or on your own rows."""
    from polysense.training.evaluate import evaluate as run

    def work() -> dict[str, Any]:
        return run(
            model,
            task,
            split=split,
            data_dir=data_dir,
            file=file,
            text_columns=text_column,
            label_column=label_column,
            batch_size=batch_size,
            store=chosen_store(store, no_store),
        )

    report(work, lambda results, console: score_table(console, f"{model} on {results['data']}", results), as_json)


def predict(
    model: Annotated[Path, typer.Argument(help="A folder that train wrote.")],
    text: Annotated[list[str] | None, typer.Option(help="A text; repeatable.")] = None,
    text_pair: Annotated[list[str] | None, typer.Option(help="The second text of each pair, or the context.")] = None,
    choice: Annotated[list[str] | None, typer.Option(help="What to choose from, for multiple choice.")] = None,
    file: Annotated[Path | None, typer.Option(help="Your own rows, as for training; without labels or with.")] = None,
    text_column: TextColumns = ["text"],  # noqa: B006
    output: Annotated[Path | None, typer.Option(help="Write the predictions there, as JSON lines.")] = None,
    batch_size: Batch = 64,
    store: StoreOption = None,
    no_store: NoStore = False,
    as_json: Json = False,
) -> None:
    """Predict for texts, or for the rows of a file."""
    from polysense.folder import write_whole
    from polysense.training.predict import Predictor, read_inputs

    def work() -> dict[str, Any]:
        check_output(output)
        predictor = Predictor.load(model, batch_size, chosen_store(store, no_store))
        kind = "classification" if predictor.prompt and not choice else predictor.kind
        asked = read_inputs(text, text_pair, choice, file, text_column, kind)
        rows = asked.rows(predictor.predict(asked.texts, asked.pairs, asked.choices, progress=True))
        if output is not None:
            write_whole(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return {"model": str(model), "predictions": rows}

    def show(results: dict[str, Any], console: Console) -> None:
        table = Table("text", "prediction", "probability")
        for row in results["predictions"][:50]:
            both = " | ".join(row[side] for side in ("text", "text_pair") if side in row)
            prediction, probabilities = row["prediction"], row.get("probabilities")
            shown = f"{prediction:.3f}" if isinstance(prediction, float) else str(prediction)
            table.add_row(escape(both[:80]), escape(shown), f"{probabilities[prediction]:.2f}" if probabilities else "")
        console.print(table)
        if len(results["predictions"]) > 50:
            console.print(f"[dim]... and {len(results['predictions']) - 50} more; --output or --json gives all")

    report(work, show, as_json)
