"""`polysense train`, `evaluate` and `predict`."""

from __future__ import annotations

import json
from enum import StrEnum
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
    Layers,
    LongTextsOption,
    NoStore,
    Overwrite,
    PrecisionOption,
    StoreOption,
    TextColumns,
    check_output,
    chosen_store,
    parse_options,
)
from polysense.cli.reporting import report


class Kind(StrEnum):
    """What the labels are, where the data should not decide it."""

    classification = "classification"
    regression = "regression"


def train(
    output_dir: Annotated[Path, typer.Option(help="Where the model goes; it appears there whole, at the end.")],
    task: Annotated[str | None, typer.Option(help="sst2, qnli, qqp, mnli, mrpc, stsb, coda or shape.")] = None,
    train_file: Annotated[Path | None, typer.Option(help="Your own rows: CSV, TSV or JSON lines, maybe .gz.")] = None,
    validation_file: Annotated[Path | None, typer.Option(help="Else a tenth of the training rows.")] = None,
    text_column: TextColumns = ["text"],  # noqa: B006 - typer copies it
    label_column: LabelColumn = "label",
    kind: Annotated[Kind | None, typer.Option(help="Else told from the labels.")] = None,
    data_dir: DataDir = None,
    method: Annotated[str, typer.Option(help="text, mpb, macsc or mase.")] = "macsc",
    interaction: Annotated[
        str | None, typer.Option(help="Swap this choice of the method: none, cross_attention, entity_injection.")
    ] = None,
    combination: Annotated[
        str | None, typer.Option(help="... or this: text, concatenation, late_fusion, information, even.")
    ] = None,
    regulariser: Annotated[str | None, typer.Option(help="... or this: none, self_balancing, cross_modal.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of the method, e.g. heads=4. Repeatable.")
    ] = None,
    tower: Annotated[list[str], typer.Option(help="MODALITY=TOWER. Repeatable.")] = ["image"],  # noqa: B006
    backbone: Annotated[str, typer.Option(help="minilm, a hub id or a folder of an encoder.")] = "minilm",
    train_rows: Annotated[int | None, typer.Option(help="Train on that many rows, drawn by the seed.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the backbone.")] = None,
    method_learning_rate: Annotated[float | None, typer.Option(help="Of the method's own layers.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a step.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training rows.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of AdamW.")] = None,
    dropout: Annotated[float | None, typer.Option(help="On the representations.")] = None,
    max_length: Annotated[int | None, typer.Option(min=2, help="Tokens of the backbone.")] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="Mixed precision: the backbone in bfloat16.")] = False,
    group_by_length: Annotated[
        bool, typer.Option("--group-by-length", help="Batches of rows of like length: less padding.")
    ] = False,
    k: Annotated[int | None, typer.Option("--k", min=1, help="Prototypes a sentence and modality.")] = None,
    layers: Layers = None,
    long_texts: LongTextsOption = None,
    precision: PrecisionOption = None,
    store: StoreOption = None,
    no_store: NoStore = False,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and dropout.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a model on a task or on your own rows."""
    from polysense.methods.catalog import method_config
    from polysense.training.train import train as run

    def work() -> dict[str, Any]:
        return run(
            output_dir,
            task,
            method=method_config(method, interaction=interaction, combination=combination, regulariser=regulariser),
            towers=tower,
            backbone=backbone,
            options=parse_options(option or []),
            train_rows=train_rows,
            overwrite=overwrite,
            resume=resume,
            data_dir=data_dir,
            train_file=train_file,
            validation_file=validation_file,
            text_columns=text_column,
            label_column=label_column,
            kind=kind.value if kind else None,
            learning_rate=learning_rate,
            method_learning_rate=method_learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            weight_decay=weight_decay,
            dropout=dropout,
            max_length=max_length,
            bf16=bf16,
            group_by_length=group_by_length,
            k=k,
            layers=layers,
            long_texts=long_texts,
            precision=precision,
            store=chosen_store(store, no_store),
            seed=seed,
        )

    def show(results: dict[str, Any], console: Console) -> None:
        modalities = "+".join(results["modalities"])
        _score_table(console, f"{results['task']}, {results['method']}, {modalities}", results)
        console.print(f"[dim]{results['seconds']} s; the model is in {escape(str(output_dir))}")

    report(work, show, as_json)


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

    report(work, lambda results, console: _score_table(console, f"{model} on {results['data']}", results), as_json)


def predict(
    model: Annotated[Path, typer.Argument(help="A folder that train wrote.")],
    text: Annotated[list[str] | None, typer.Option(help="A text; repeatable.")] = None,
    text_pair: Annotated[list[str] | None, typer.Option(help="The second text of each pair.")] = None,
    file: Annotated[Path | None, typer.Option(help="Your own rows, without labels.")] = None,
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
        texts, pairs = read_inputs(text, text_pair, file, text_column)
        predictions = Predictor.load(model, batch_size, chosen_store(store, no_store)).predict(
            texts, pairs, progress=True
        )
        rows = [{"text": t, **({"text_pair": p} if pairs else {}), **prediction.to_dict()}
                for t, p, prediction in zip(texts, pairs or texts, predictions, strict=True)]  # fmt: skip
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


def _score_table(console: Console, title: str, results: dict[str, Any]) -> None:
    table = Table("split", "rows", results["metric"], title=escape(title))
    for split, value in results["scores"].items():
        table.add_row(escape(split), str(results["rows"][split]), f"{100 * value:.1f}")
    console.print(table)
