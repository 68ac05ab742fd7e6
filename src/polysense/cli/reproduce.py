"""`polysense reproduce`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

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
)
from polysense.cli.reporting import GOES_ON, command, report
from polysense.errors import PolysenseError


def reproduce(
    what: Annotated[str, typer.Argument(help="list, or a table or figure of a paper, e.g. macsc-table1.")],
    scale: Annotated[
        Literal["small", "paper"],
        typer.Option(help="small: computed here; paper: the commands for the papers' models, as a script."),
    ] = "small",
    output: Annotated[Path | None, typer.Option(help="The JSON file of a table, or the script.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Small: only the columns of this task. Repeatable.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs a cell of the table; else 3 (small) or 5.")] = None,
    workers: Workers = 1,
    backbone: Annotated[str, typer.Option(help="Of the small scale: minilm, a hub id or a folder.")] = "minilm",
    cells: Cells = Path("build/cells"),
    accept_older: AcceptOlder = False,
    collect: Annotated[
        Path | None, typer.Option(help="Make the table of what the script of --scale paper put into this folder.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="... with this backbone of the paper, e.g. BERT-base.")] = None,
    store: StoreOption = None,
    no_store: NoStore = False,
    as_json: Json = False,
) -> None:
    """Make a table or figure of the papers again: small on this machine, or as commands for the papers' models."""
    from polysense.experiments.reproduce import SEEDS, get_entry
    from polysense.experiments.reproduce.collect import collect_paper, table_file
    from polysense.experiments.reproduce.script import script_of
    from polysense.experiments.reproduce.small import reproduce_small
    from polysense.folder import write_whole

    if what == "list":
        _list_entries(as_json)
        return
    entry = get_entry(what)
    times = seeds or SEEDS[scale]
    name = f"{entry.id}-{scale}"

    def write_script() -> dict[str, Any]:
        if task:
            raise PolysenseError("--task is for a table at small scale: take the others out of the script")
        file = output or Path(f"build/reproduce/{name}.sh")
        check_output(file)
        script = script_of(entry, scale, file.name, times)
        write_whole(file, script)
        return {"id": entry.id, "scale": scale, "file": str(file), "script": script}

    def compute() -> dict[str, Any]:
        return _table(
            output or Path(f"build/reproduce/{name}.json"),
            lambda: reproduce_small(
                entry, command(), tasks=task or (), seeds=times, workers=workers, backbone=backbone, cells=cells,
                store=chosen_store(store, no_store), accept_older=accept_older,
            ),
        )  # fmt: skip

    def gather() -> dict[str, Any]:
        if collect is None or base is None:
            raise PolysenseError("--collect and --base go together: the script's folder, and a backbone of the paper")
        return _table(
            output or collect / table_file(entry, base), lambda: collect_paper(entry, collect, base, command())
        )

    if collect is not None or base is not None:
        report(gather, _show_table, as_json)
    elif scale == "paper" or not entry.columns:
        report(write_script, _show_script, as_json)
    else:
        report(compute, _show_table, as_json, lambda: GOES_ON)


def _table(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A table, and the file that it is written to."""
    from polysense.experiments.reproduce.table import markdown_reproduced
    from polysense.experiments.results import save_results

    check_output(file, ".json")
    result = make()
    save_results(file, result, markdown_reproduced(result))
    return {**result, "file": str(file)}


def _show_script(result: dict[str, Any], console: Console) -> None:
    typer.echo(result["script"])
    console.print(f"[dim]nothing was run; the script is {escape(result['file'])}")


def _show_table(result: dict[str, Any], console: Console) -> None:
    from polysense.experiments.reproduce.table import rich_reproduced
    from polysense.experiments.results import average_line

    for gain in result["averages"]:
        console.print(escape(average_line(gain)))
    console.print(rich_reproduced(result))
    for note in result["notes"]:
        console.print(f"[dim]- {escape(note)}")
    console.print(f"[dim]the numbers are in {escape(result['file'])}")


def _list_entries(as_json: bool) -> None:
    from polysense.experiments.reproduce import describe_entries

    def show(result: dict[str, Any], console: Console) -> None:
        table = Table("id", "what it is", "small scale", "not here", show_lines=True)
        for entry in result["entries"]:
            table.add_row(*(escape(entry[name]) for name in ("id", "title", "small", "left_out")))
        console.print(table)
        console.print("[dim]every one can be had as commands for the papers' models: --scale paper")

    report(lambda: {"entries": describe_entries()}, show, as_json)
