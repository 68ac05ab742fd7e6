"""`polysense train` and `merge`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from polysense.cli.options import (
    DataDir,
    Json,
    LabelColumn,
    Layers,
    LongTextsOption,
    NoStore,
    Overwrite,
    PrecisionOption,
    SelectionOption,
    StoreOption,
    TextColumns,
    chosen_store,
    parse_options,
)
from polysense.cli.reporting import report, score_table


class Kind(StrEnum):
    """What the rows ask, where the file should not decide it."""

    classification = "classification"
    regression = "regression"
    choice = "choice"
    span = "span"
    generation = "generation"


def train(
    output_dir: Annotated[Path, typer.Option(help="Where the model goes; it appears there whole, at the end.")],
    task: Annotated[str | None, typer.Option(help="A task by name, e.g. mrpc (see docs).")] = None,
    train_file: Annotated[Path | None, typer.Option(help="Your own rows: CSV, TSV or JSON lines, maybe .gz.")] = None,
    validation_file: Annotated[Path | None, typer.Option(help="Else a tenth of the training rows.")] = None,
    text_column: TextColumns = ["text"],  # noqa: B006 - typer copies it
    label_column: LabelColumn = "label",
    kind: Annotated[Kind | None, typer.Option(help="Of your rows; else told from fields and labels.")] = None,
    data_dir: DataDir = None,
    method: Annotated[str, typer.Option(help="text, tower, mpb, macsc or mase.")] = "macsc",
    interaction: Annotated[
        str | None, typer.Option(help="Swap this choice of the method: none, cross_attention, entity_injection.")
    ] = None,
    combination: Annotated[
        str | None, typer.Option(help="... or this: text, towers, concatenation, late_fusion, information, even.")
    ] = None,
    regulariser: Annotated[str | None, typer.Option(help="... or this: none, self_balancing, cross_modal.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of the method, e.g. heads=4. Repeatable.")
    ] = None,
    tower: Annotated[list[str], typer.Option(help="MODALITY=TOWER. Repeatable.")] = ["image"],  # noqa: B006
    backbone: Annotated[str, typer.Option(help="minilm, a hub id or a folder of a model that reads text.")] = "minilm",
    train_rows: Annotated[int | None, typer.Option(help="Train on that many rows, drawn by the seed.")] = None,
    train_share: Annotated[float | None, typer.Option(help="... or on this share of them, e.g. 0.05.")] = None,
    shots: Annotated[int | None, typer.Option(help="... or on that many of each class.")] = None,
    prompt: Annotated[bool, typer.Option("--prompt", help="Prompt learning: classes as statements to choose.")] = False,
    adapter: Annotated[
        str | None, typer.Option(help="Train only this of the backbone: lora, ia3, prompt or frozen.")
    ] = None,
    adapter_option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of the adapter, e.g. r=8. Repeatable.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the backbone.")] = None,
    method_learning_rate: Annotated[float | None, typer.Option(help="Of the method's own layers.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a batch, of each process.")] = None,
    gradient_accumulation: Annotated[
        int | None, typer.Option(min=1, help="Batches a step, which takes the mean of their gradients.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training rows.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of AdamW.")] = None,
    dropout: Annotated[float | None, typer.Option(help="On the representations.")] = None,
    max_length: Annotated[int | None, typer.Option(min=2, help="Tokens of the backbone.")] = None,
    max_target_length: Annotated[int | None, typer.Option(min=1, help="Tokens of a text to write.")] = None,
    beams: Annotated[int | None, typer.Option(min=1, help="Of the search for it.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of the steps over which the rate rises.")] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="Mixed precision: the backbone in bfloat16.")] = False,
    group_by_length: Annotated[
        bool, typer.Option("--group-by-length", help="Batches of rows of like length: less padding.")
    ] = False,
    compile: Annotated[  # noqa: A002 - the flag's name
        bool, typer.Option("--compile", help="Compile the backbone by torch.compile: pays in long runs.")
    ] = False,
    k: Annotated[int | None, typer.Option("--k", min=1, help="Prototypes a sentence and modality.")] = None,
    selection: SelectionOption = None,
    layers: Layers = None,
    long_texts: LongTextsOption = None,
    precision: PrecisionOption = None,
    search: Annotated[
        int | None, typer.Option(min=1, help="Search for settings first, with that many trials (Optuna).")
    ] = None,
    report_to: Annotated[
        list[str] | None, typer.Option(help="Follow the run in tensorboard or wandb. Repeatable.")
    ] = None,
    store: StoreOption = None,
    no_store: NoStore = False,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and dropout.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a model on a task or on your own rows."""
    from polysense.methods.catalog import method_config
    from polysense.training.runs import what_is_kept
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
            train_share=train_share,
            shots=shots,
            prompt=prompt or None,
            adapter=adapter,
            adapter_options=parse_options(adapter_option, "--adapter-option") if adapter_option else None,
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
            gradient_accumulation=gradient_accumulation,
            epochs=epochs,
            weight_decay=weight_decay,
            dropout=dropout,
            max_length=max_length,
            max_target_length=max_target_length,
            beams=beams,
            warmup=warmup,
            bf16=bf16,
            group_by_length=group_by_length,
            compile=compile,
            k=k,
            selection=selection,
            layers=layers,
            long_texts=long_texts,
            precision=precision,
            search_trials=search,
            report_to=report_to or (),
            store=chosen_store(store, no_store),
            seed=seed,
        )

    def show(results: dict[str, Any], console: Console) -> None:
        modalities = "+".join(results["modalities"])
        score_table(console, f"{results['task']}, {results['method']}, {modalities}", results)
        console.print(f"[dim]{results['seconds']} s; the model is in {escape(str(output_dir))}")

    report(work, show, as_json, lambda: what_is_kept(output_dir))


def merge(
    model: Annotated[Path, typer.Argument(help="A folder that train wrote with an adapter.")],
    output_dir: Annotated[Path, typer.Option(help="Where the plain model goes.")],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fold a model's adapter into its weights: a plain model that needs no PEFT."""
    from polysense.training.merge import merge as run

    def show(results: dict[str, Any], console: Console) -> None:
        console.print(
            f"{results['parameters']:,} parameters, the {results['adapter']} adapter in them: {escape(str(output_dir))}"
        )

    report(lambda: run(model, output_dir, overwrite=overwrite), show, as_json)
