"""`polysense demo` and `compare`."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.cli.options import (
    AcceptOlder,
    Cells,
    Json,
    NoStore,
    StoreOption,
    Workers,
    check_output,
    chosen_store,
    parse_options,
)
from polysense.cli.reporting import GOES_ON, command, report
from polysense.errors import PolysenseError


def demo(
    output_dir: Annotated[Path, typer.Option(help="Where model, predictions and picture go.")] = Path("demo-output"),
    seeds: Annotated[int, typer.Option(min=1, help="Runs a method.")] = 3,
    as_json: Json = False,
) -> None:
    """What colour is a banana? Text alone against MaCSC, in minutes."""
    from polysense.experiments.demo import TESTS
    from polysense.experiments.demo import demo as run

    def show(result: dict[str, Any], console: Console) -> None:
        table = Table("method", "modalities", *TESTS, "seconds", title="Accuracy, percent: mean ± deviation over seeds")
        for row in result["rows"]:
            cells = [_spread(row[test]) for test in TESTS]
            table.add_row(row["method"], "+".join(row["modalities"]), *cells, f"{row['seconds']:.0f}")
        console.print(table)
        for note in result["notes"]:
            console.print(f"[dim]{note}")
        console.print(
            f"[dim]the better model ({result['best']}), its predictions and demo.png are in {escape(str(output_dir))}"
        )

    report(lambda: run(output_dir, range(seeds)), show, as_json)


def compare(
    output: Annotated[Path, typer.Option(help="The JSON file for the numbers; the table goes beside it.")],
    task: Annotated[list[str], typer.Option(help="A task; repeatable.")],
    run: Annotated[
        list[str],
        typer.Option(help="METHOD[,NAME=VALUE...]: choices, towers, options, settings; macsc,image=noise. Repeatable."),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Runs a method and task, seeds 0, 1, ...")] = 3,
    first_seed: Annotated[int, typer.Option(min=0, help="The seeds begin there.")] = 0,
    tower: Annotated[list[str], typer.Option(help="MODALITY=TOWER of runs that name none.")] = ["image"],  # noqa: B006
    backbone: Annotated[str, typer.Option(help="minilm, a hub id or a folder of a model that reads text.")] = "minilm",
    train_rows: Annotated[int | None, typer.Option(help="Train on at most that many rows, drawn by the seed.")] = None,
    train_share: Annotated[float | None, typer.Option(help="... or on this share of them, e.g. 0.05.")] = None,
    shots: Annotated[int | None, typer.Option(help="... or on that many of each class.")] = None,
    eval_rows: Annotated[int | None, typer.Option(help="Score at most that many rows of a split.")] = None,
    setting: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of every run, e.g. epochs=5.")] = None,
    search: Annotated[
        int | None, typer.Option(min=1, help="Search settings first, with that many trials a task and method.")
    ] = None,
    cells: Cells = Path("build/cells"),
    workers: Workers = 1,
    accept_older: AcceptOlder = False,
    store: StoreOption = None,
    no_store: NoStore = False,
    as_json: Json = False,
) -> None:
    """Compare methods over tasks and seeds, with paired tests."""
    from polysense.experiments.grid import Grid, notes_of
    from polysense.experiments.results import average_line, markdown_table, results_of, rich_table, save_results
    from polysense.experiments.runs import Run
    from polysense.towers.registry import parse_towers

    def work() -> dict[str, Any]:
        check_output(output, ".json")
        towers = parse_towers(tower)
        runs = [Run.parse(text, towers) for text in run]
        settings = parse_options(setting or [], "--setting")
        if "seed" in settings:
            raise PolysenseError("--setting seed: the seeds are 0, 1, ...; say how many with --seeds")
        grid = Grid(
            runs, task, range(first_seed, first_seed + seeds), settings, train_rows, backbone, cells,
            chosen_store(store, no_store), train_share=train_share, shots=shots, eval_rows=eval_rows,
            accept_older=accept_older, search=search,
        )  # fmt: skip
        result = results_of(grid.rows(workers), command(), notes_of([grid]), grid.used)
        save_results(output, result, markdown_table(result))
        return {name: result[name] for name in ("averages", "rows", "tests", "against_best")}

    def show(result: dict[str, Any], console: Console) -> None:
        for gain in result["averages"]:
            console.print(escape(average_line(gain)))
        console.print(rich_table(result, "Points of 100"))
        console.print(f"[dim]the numbers are in {escape(str(output))}")

    report(work, show, as_json, lambda: GOES_ON)


def _spread(shares: list[float]) -> str:
    if not shares:
        return "not here"
    deviation = f" ± {100 * statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * statistics.mean(shares):.1f}{deviation}"
