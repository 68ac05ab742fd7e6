"""The table of a comparison: scores against plain fine-tuning, what was chosen, and seconds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from benchmarks.rivals.plain import PlainTrainer
from benchmarks.rivals.rows import HELD_OUT_ROWS, SCORED, SCORED_ROWS, SHARE_ROWS, task_rows
from benchmarks.rivals.set_fit import MOST_PAIRS, PAPER_ITERATIONS, SetFit
from benchmarks.rivals.study import Place, Study
from polysense.experiments.cells import revision
from polysense.experiments.results import (
    Row,
    average_gains,
    compare_rows,
    in_points,
    page_of,
    results_of,
    shown_difference,
    shown_p,
    shown_score,
    tests_by_row,
)

REFERENCE = PlainTrainer.name
"""The competitor that others are held against."""

HEADS = (
    "task, rows",
    "competitor",
    "setting",
    "accuracy",
    f"against {REFERENCE}",
    "p",
    "training s",
    "reading s",
    "of CPU",
)
NOT_APPLICABLE = "does not apply"


def results(study: Study, command: str) -> dict[str, Any]:
    """What the results file of a finished study holds (see `results_of`), tests against plain fine-tuning.

    Each row also has "rows" (of training), "setting", and "training" and "reading", mean seconds by "wall" and "cpu".
    "trials" has what settings were chosen by.

    Raises:
        PolysenseError: a cell is not finished.
    """
    rows, more, trials, older = [], [], [], set[str]()
    for place in study.places():
        cells = [cell.read() for cell in study.runs(place)]
        older |= {found for found in map(revision, cells) if found is not None and not place.competitor.older}
        setting = study.chosen(place)
        rows.append(
            Row(
                task=place.name,
                method=place.competitor.name,
                modalities=place.competitor.modalities,
                metric="accuracy",
                seeds=list(study.seeds),
                scores=[in_points("accuracy", cell["scores"][SCORED]) for cell in cells],
                seconds=round(sum(cell["seconds"] for cell in cells), 1),
                weights={
                    m: round(statistics.fmean(cell["weights"][m] for cell in cells), 4) for m in cells[0]["weights"]
                },
                split="validation",
            )
        )
        more.append(
            {
                "rows": cells[0]["rows"]["train"],
                "setting": asdict(setting),
                **{part: _mean_seconds([cell[part] for cell in cells]) for part in ("training", "reading")},
            }
        )
        trials += _trials(study, place)
    settings = {
        "backbone": study.backbone,
        "threads": study.threads,
        "grid": {
            f"{place.name}, {place.competitor.name}": [asdict(s) for s in study.grid(place)] for place in study.places()
        },
    }
    found = results_of(rows, command, [*notes(study), *(f"runs of another revision: {which}" for which in older)])
    return {
        **found,
        "settings": settings,
        "averages": _averages(study, rows),
        "tests": compare_rows(rows, REFERENCE),
        "rows": [{**row, **extra} for row, extra in zip(found["rows"], more, strict=True)],
        "trials": trials,
        "refused": [
            {"task": f"{task}, {size.name}", "method": name, "reason": reason}
            for (task, name), reason in study.refusals().items()
            for size in study.sizes
            if size.applies(task_rows(task).data)
        ],
    }


def _averages(study: Study, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Gains over plain fine-tuning by size: the sizes of a task are no tasks of their own."""
    by_size = {size.name: [row for row in rows if row.task.endswith(f", {size.name}")] for size in study.sizes}
    return [
        {**gain, "method": f"{size}: {gain['method']}"}
        for size, found in by_size.items()
        for gain in average_gains(found, REFERENCE)
    ]


def _mean_seconds(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {clock: round(statistics.fmean(each[clock] for each in found), 1) for clock in ("wall", "cpu")}


def _trials(study: Study, place: Place) -> list[dict[str, Any]]:
    return [
        {
            "task": place.name,
            "method": place.competitor.name,
            **asdict(cell.setting),
            "held_out": in_points("accuracy", cell.read()["scores"][SCORED]),
        }
        for cell in study.trials(place)
    ]


def notes(study: Study) -> list[str]:
    """What has to be said of a comparison."""
    rates = ", ".join(f"{rate:.0e}" for rate in study.learning_rates)
    epochs = "; ".join(f"{' or '.join(map(str, size.epochs))} at {size.name}" for size in study.sizes)
    same = (
        "every competitor gets the same backbone, training rows (drawn by the seed) and scored rows (validation, at "
        f"most {SCORED_ROWS:,}, always the same), and {study.threads} threads of torch; all "
        f"but {SetFit.name} train in bfloat16 mixed precision"
    )
    choice = (
        f"epochs are {epochs}; the learning rate ({rates}), and epochs where there are several, are chosen for "
        f"each competitor by one run a point, with the rows of seed {study.seeds[0]}, on {HELD_OUT_ROWS} training rows "
        "that nobody is trained on; the scored rows have no part in it. These are more labels than a user with so few "
        "has, the same for all"
    )
    own = (
        f"{SetFit.name} has the defaults of its library but for the learning rate of its body: one epoch over all "
        f"pairs; where that would be more than {MOST_PAIRS:,} pairs, {PAPER_ITERATIONS} a row and sort as in its paper"
    )
    seconds = (
        "training s: mean seconds a run, from opening the model to the last step; no scoring, no search. reading s: "
        "the prototypes (and scene graphs) of the training rows, from nothing; a store keeps them for other runs. "
        "of CPU: both again in seconds of the processor, which other programs on the machine change less"
    )
    sizes = (
        f"5% is of the rows that are there, at most {SHARE_ROWS:,}; a multiple choice has no N a class, since its "
        "choices are no classes"
    )
    found = [same, choice, own, seconds, sizes]
    for task in study.tasks:
        found += [f"{task}: {note.removeprefix(f'{task}: ')}" for note in task_rows(task).data.notes]
    found += [f"{name} does not apply to {task}: {reason}" for (task, name), reason in study.refusals().items()]
    return found


def table_cells(result: Mapping[str, Any]) -> list[list[str]]:
    """Lines of the table, by `HEADS`; a competitor that does not apply has one that says so."""
    tests = tests_by_row(result["tests"])
    order = list(dict.fromkeys(row["task"] for row in [*result["rows"], *result["refused"]]))
    lines = [
        (order.index(refused["task"]), [refused["task"], refused["method"], "", NOT_APPLICABLE, *[""] * 5])
        for refused in result["refused"]
    ]
    for row in result["rows"]:
        test = tests.get((row["task"], row["metric"], row["method"]), {})
        chosen = row["setting"]
        setting = f"{chosen['learning_rate']:.0e}, {chosen['epochs']} epochs"
        parts = (row["training"], row["reading"])
        seconds = [*(f"{part['wall']:.1f}" for part in parts), " + ".join(f"{part['cpu']:.1f}" for part in parts)]
        place = f"{row['task']} ({row['rows']:,})"
        cells = [place, row["method"], setting, shown_score(row), shown_difference(test), shown_p(test), *seconds]
        lines.append((order.index(row["task"]), cells))
    return [cells for _, cells in sorted(lines, key=lambda line: line[0])]


def markdown_page(result: Mapping[str, Any]) -> str:
    """A page with the table."""
    lines = ["| " + " | ".join(HEADS) + " |", "| --- |" + " --- |" * (len(HEADS) - 1)]
    lines += ["| " + " | ".join(cells) + " |" for cells in table_cells(result)]
    return page_of(result, lines)


def rich_page(result: Mapping[str, Any]) -> Table:
    """The table for the terminal."""
    table = Table(*HEADS, title="Accuracy, points of 100: mean ± deviation over seeds")
    for cells in table_cells(result):
        table.add_row(*map(escape, cells))
    return table
