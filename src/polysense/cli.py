"""The command line: one verb, one function. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import json
import shlex
import statistics
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.errors import PolysenseError
from polysense.text import read_value

app = typer.Typer(
    help="Fine-tune language models with the knowledge of images, sounds and videos.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Kind(StrEnum):
    """What the labels are, where the data should not decide it."""

    classification = "classification"
    regression = "regression"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the task's files; else the usual places and the hub.")]
TextColumns = Annotated[list[str], typer.Option("--text-column", help="Column with the text; twice for pairs.")]
LabelColumn = Annotated[str, typer.Option(help="Column with the label.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a result that is already there.")]
Batch = Annotated[int, typer.Option("--batch-size", min=1, help="Texts a step.")]


@app.command()
def train(
    output_dir: Annotated[Path, typer.Option(help="Where the model goes; it appears there whole, at the end.")],
    task: Annotated[str | None, typer.Option(help="sst2, qnli, qqp, mnli, mrpc, stsb or coda.")] = None,
    train_file: Annotated[Path | None, typer.Option(help="Your own rows: CSV, TSV or JSON lines, maybe .gz.")] = None,
    validation_file: Annotated[Path | None, typer.Option(help="Else a tenth of the training rows.")] = None,
    text_column: TextColumns = ["text"],  # noqa: B006 - typer copies it
    label_column: LabelColumn = "label",
    kind: Annotated[Kind | None, typer.Option(help="Else told from the labels.")] = None,
    data_dir: DataDir = None,
    method: Annotated[str, typer.Option(help="text, mpb or macsc.")] = "macsc",
    interaction: Annotated[
        str | None, typer.Option(help="Swap this choice of the method: none, cross_attention.")
    ] = None,
    combination: Annotated[str | None, typer.Option(help="... or this: text, concatenation, late_fusion.")] = None,
    regulariser: Annotated[str | None, typer.Option(help="... or this: none, self_balancing.")] = None,
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
    k: Annotated[int | None, typer.Option("--k", min=1, help="Prototypes a sentence and modality.")] = None,
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
            k=k,
            seed=seed,
        )

    def show(results: dict[str, Any], console: Console) -> None:
        modalities = "+".join(results["modalities"])
        _score_table(console, f"{results['task']}, {results['method']}, {modalities}", results)
        console.print(f"[dim]{results['seconds']} s; the model is in {escape(str(output_dir))}")

    _report(work, show, as_json)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder that train wrote.")],
    task: Annotated[str | None, typer.Option(help="A task by name.")] = None,
    split: Annotated[str | None, typer.Option(help="Only this split of the task.")] = None,
    data_dir: DataDir = None,
    file: Annotated[Path | None, typer.Option(help="Your own rows with labels.")] = None,
    text_column: TextColumns = ["text"],  # noqa: B006
    label_column: LabelColumn = "label",
    batch_size: Batch = 64,
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
        )

    _report(work, lambda results, console: _score_table(console, f"{model} on {results['data']}", results), as_json)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A folder that train wrote.")],
    text: Annotated[list[str] | None, typer.Option(help="A text; repeatable.")] = None,
    text_pair: Annotated[list[str] | None, typer.Option(help="The second text of each pair.")] = None,
    file: Annotated[Path | None, typer.Option(help="Your own rows, without labels.")] = None,
    text_column: TextColumns = ["text"],  # noqa: B006
    output: Annotated[Path | None, typer.Option(help="Write the predictions there, as JSON lines.")] = None,
    batch_size: Batch = 64,
    as_json: Json = False,
) -> None:
    """Predict for texts, or for the rows of a file."""
    from polysense.folder import write_whole
    from polysense.training.predict import Predictor, read_inputs

    def work() -> dict[str, Any]:
        _check_output(output)
        texts, pairs = read_inputs(text, text_pair, file, text_column)
        predictions = Predictor.load(model, batch_size).predict(texts, pairs, progress=True)
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

    _report(work, show, as_json)


@app.command()
def align(
    output_dir: Annotated[Path, typer.Option(help="Where the tower goes.")],
    source: Annotated[
        list[str] | None, typer.Option(help="noto, twemoji, fluent, stamps, or your folder or manifest. Repeatable.")
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
    """Train a tower of your own from pictures with captions."""
    try:
        from polysense.alignment.align import SHIPPING_SOURCES
        from polysense.alignment.align import align as run
        from polysense.alignment.training import AlignmentSettings
    except ImportError as error:
        raise PolysenseError(f"align needs {error.name}: pip install 'polysense[align]'") from error

    given: dict[str, Any] = {"steps": steps, "rank": rank, "learning_rate": learning_rate, "sharpness": sharpness}
    given |= {"held_out": held_out, "seed": seed}

    def work() -> dict[str, Any]:
        settings = AlignmentSettings(**{name: value for name, value in given.items() if value is not None})
        command = "polysense " + shlex.join(sys.argv[1:])
        return run(output_dir, source or SHIPPING_SOURCES, trunk, settings, command=command, overwrite=overwrite)

    def show(report: dict[str, Any], console: Console) -> None:
        columns = list(next(iter(report["retrieval"].values())))
        table = Table("", *(c.replace("_", " ") for c in columns), title="Retrieval on held-out concepts, percent")
        for name, row in report["retrieval"].items():
            table.add_row(escape(name), *(f"{100 * row[c]:.1f}" for c in columns))
        console.print(table)
        console.print(
            f"[dim]the tower is in {escape(str(output_dir))}; use it with --tower image={escape(str(output_dir))}"
        )

    _report(work, show, as_json)


@app.command()
def demo(
    output_dir: Annotated[Path, typer.Option(help="Where model, predictions and picture go.")] = Path("demo-output"),
    seeds: Annotated[int, typer.Option(min=1, help="Runs a method.")] = 3,
    as_json: Json = False,
) -> None:
    """What colour is a banana? Text alone against MaCSC, in minutes."""
    from polysense.experiments.demo import TESTS
    from polysense.experiments.demo import demo as run

    def show(report: dict[str, Any], console: Console) -> None:
        table = Table("method", "modalities", *TESTS, "seconds", title="Accuracy, percent: mean ± deviation over seeds")
        for row in report["rows"]:
            cells = [_spread(row[test]) for test in TESTS]
            table.add_row(row["method"], "+".join(row["modalities"]), *cells, f"{row['seconds']:.0f}")
        console.print(table)
        for note in report["notes"]:
            console.print(f"[dim]{note}")
        console.print(
            f"[dim]the better model ({report['best']}), its predictions and demo.png are in {escape(str(output_dir))}"
        )

    _report(lambda: run(output_dir, range(seeds)), show, as_json)


@app.command()
def compare(
    output: Annotated[Path, typer.Option(help="The JSON file for the numbers.")],
    task: Annotated[list[str], typer.Option(help="A task; repeatable.")],
    run: Annotated[list[str], typer.Option(help="METHOD[,NAME=VALUE...], e.g. macsc,image=noise. Repeatable.")],
    seeds: Annotated[int, typer.Option(min=1, help="Runs a method and task, seeds 0, 1, ...")] = 3,
    tower: Annotated[list[str], typer.Option(help="MODALITY=TOWER of runs that name none.")] = ["image"],  # noqa: B006
    backbone: Annotated[str, typer.Option(help="minilm, a hub id or a folder of an encoder.")] = "minilm",
    train_rows: Annotated[int | None, typer.Option(help="Train on that many rows, drawn by the seed.")] = None,
    setting: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of every run, e.g. epochs=5.")] = None,
    cells: Annotated[Path, typer.Option(help="Folder of finished runs.")] = Path("build/cells"),
    as_json: Json = False,
) -> None:
    """Compare methods over tasks and seeds, with paired tests."""
    from polysense.experiments.grid import Grid, Run
    from polysense.experiments.results import compare_rows, rich_table, save_results
    from polysense.towers.registry import parse_towers

    def work() -> dict[str, Any]:
        _check_output(output)
        towers = parse_towers(tower)
        runs = [Run.parse(text, towers) for text in run]
        settings = parse_options(setting or [], "--setting")
        if "seed" in settings:
            raise PolysenseError("--setting seed: the seeds are 0, 1, ...; say how many with --seeds")
        grid = Grid(runs, task, range(seeds), settings, train_rows, backbone, cells)
        rows = grid.rows()
        save_results(output, rows, "polysense " + shlex.join(sys.argv[1:]), grid.notes, grid.used)
        return {"rows": [asdict(row) for row in rows], "tests": compare_rows(rows)}

    def show(result: dict[str, Any], console: Console) -> None:
        console.print(rich_table(result["rows"], result["tests"], "Points of 100"))
        console.print(f"[dim]the numbers are in {escape(str(output))}")

    _report(work, show, as_json)


def parse_options(assignments: list[str], flag: str = "--option") -> dict[str, Any]:
    """`["heads=4", "residual=true"]` to {"heads": 4, "residual": True}; values are read as JSON, else as text."""
    options: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise PolysenseError(f"{flag} {assignment}: write NAME=VALUE")
        options[name] = read_value(value)
    return options


def _check_output(file: Path | None) -> None:
    """Before the work, not after it."""
    if file is not None and file.is_dir():
        raise PolysenseError(f"{file} is a folder: give the name of a file as --output")


def _score_table(console: Console, title: str, results: dict[str, Any]) -> None:
    table = Table("split", "rows", results["metric"], title=escape(title))
    for split, value in results["scores"].items():
        table.add_row(escape(split), str(results["rows"][split]), f"{100 * value:.1f}")
    console.print(table)


def _spread(shares: list[float]) -> str:
    if not shares:
        return "not here"
    deviation = f" ± {100 * statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * statistics.mean(shares):.1f}{deviation}"


def _report(work: Callable[[], dict[str, Any]], show: Callable[[dict[str, Any], Console], None], as_json: bool) -> None:
    # Libraries print as they please; only the result may reach standard output.
    with redirect_stdout(sys.stderr):
        result = work()
    if as_json:
        # A lone surrogate (of a file's name, say) has no UTF-8; its escape is JSON's.
        typer.echo(json.dumps(result, ensure_ascii=False).encode("utf-8", "backslashreplace").decode())
    else:
        # A pipe has no width of its own; 80 columns would cut the tables.
        show(result, Console(width=None if sys.stdout.isatty() else 120))


# Typer carries a copy of click in some versions and depends on it in others; this is the one in use.
_UsageError: Any = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


def main() -> None:
    """Run a command; an error meant for the user is one line, and exit status 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit(130)
    except _UsageError as error:
        _fail(error.format_message())
    except PolysenseError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))


def _fail(message: str) -> None:
    if not message:  # no arguments: the help has been shown
        sys.exit(2)
    sys.stderr.write(f"polysense: error: {' '.join(message.split())}\n")
    sys.exit(2)
