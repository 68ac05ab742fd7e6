"""Tables of results: scores by seed, their spread, paired tests, and the file that stands beside each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from polysense.experiments.machine import machine
from polysense.experiments.statistics import Difference, mean_and_std, mean_over_tasks, paired_test
from polysense.folder import write_json, write_whole
from polysense.training.train import versions

_MANY_TESTS = 10
"""From here on a page says how many small p are expected by chance."""

REFERENCE = "text"
"""The method that others are held against."""


@dataclass(frozen=True)
class Row:
    """The scores of one method on one task.

    Attributes:
        task: as on the command line, with the split where a task has several tests ("coda/memory_color").
        method: "text", "mpb", "macsc", or with what was swapped in parentheses.
        modalities: text first.
        metric: "accuracy", "spearman", "f1", ...
        seeds: the seeds, in the order of the scores; none where nothing is trained: such a row enters no test.
        scores: one a seed, or one where there is no seed, in points (see `in_points`).
        seconds: of training and testing, summed over the seeds.
        weights: what each modality counts for at the end (rho or z), the mean over the seeds; empty where nothing says.
        split: that was scored.
        baseline: whether the method is one that others have to beat.
        mean, std: of the scores; one score has no spread, None.
    """

    task: str
    method: str
    modalities: list[str]
    metric: str
    seeds: list[int]
    scores: list[float]
    seconds: float
    weights: dict[str, float] = field(default_factory=dict)
    split: str = "validation"
    baseline: bool = False
    mean: float = field(init=False)
    std: float | None = field(init=False)

    def __post_init__(self) -> None:
        mean, std = mean_and_std(self.scores)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)


def in_points(metric: str, score: float) -> float:
    """A score as tables print it: points of 100; CIDEr times 10, as CommonGen's tables have it."""
    return round((10 if metric == "cider" else 100) * score, 2)


def compare_rows(rows: Sequence[Row], reference: str = REFERENCE) -> list[dict[str, Any]]:
    """Each row against the reference method's on the same task, metric and seeds."""
    base = {(row.task, row.metric): row for row in rows if row.method == reference}
    pairs = [(row, base[row.task, row.metric]) for row in rows if (row.task, row.metric) in base]
    return [_test(row, other) for row, other in pairs if row.method != reference and _paired(row, other)]


def compare_with_best(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each row that is no baseline against the trained one with the highest mean on the same task, metric and seeds.

    The best is chosen by the scores that it is compared by, which favours it. Where text alone is the best, or the only
    one, `compare_rows` says all.
    """
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        place = (row.task, row.metric)
        if row.baseline and row.seeds and (place not in best or row.mean > best[place].mean):
            best[place] = row
    pairs = [(row, best[row.task, row.metric]) for row in rows if (row.task, row.metric) in best]
    return [
        _test(row, other)
        for row, other in pairs
        if not row.baseline and other.method != REFERENCE and _paired(row, other)
    ]


def _paired(row: Row, other: Row) -> bool:
    """Whether their scores are of the same seeds, one by one."""
    return bool(row.seeds) and row.seeds == other.seeds


def _test(row: Row, other: Row) -> dict[str, Any]:
    named = {"task": row.task, "metric": row.metric, "method": row.method, "against": other.method}
    return {**named, **paired_test(row.scores, other.scores)}


def average_gain(rows: Sequence[Row], method: str, reference: str = REFERENCE) -> dict[str, Any] | None:
    """What a method gains on average over tasks, with an interval for tasks and seeds (see `mean_over_tasks`).

    A task counts with its first metric. Of several scored splits those that nothing was chosen by count, each as much
    as the other: all but "validation".

    Returns:
        {"method", "against", "tasks" (how many), "difference", "low", "high", "p"}, in points; None where the two meet
        on no task with the same seeds.
    """
    tasks: dict[str, dict[str, list[float]]] = {}
    metrics: dict[str, str] = {}
    base = {(row.task, row.metric): row for row in rows if row.method == reference}
    for row in rows:
        task = row.task.removesuffix(f"/{row.split}")
        if metrics.setdefault(task, row.metric) != row.metric:
            continue
        other = base.get((row.task, row.metric))
        if row.method == method and other is not None and _paired(row, other):
            by_seed = [a - b for a, b in zip(row.scores, other.scores, strict=True)]
            tasks.setdefault(task, {})[row.split] = by_seed
    if not tasks:
        return None
    differences = []
    for splits in tasks.values():
        tests = [by_seed for split, by_seed in splits.items() if split != "validation"] or list(splits.values())
        differences.append([sum(each) / len(tests) for each in zip(*tests, strict=True)])
    return {"method": method, "against": reference, "tasks": len(tasks), **mean_over_tasks(differences)}


def average_gains(rows: Sequence[Row], reference: str = REFERENCE) -> list[dict[str, Any]]:
    """`average_gain` of each method that meets the reference on several tasks."""
    methods = dict.fromkeys(row.method for row in rows if row.method != reference)
    gains = [average_gain(rows, method, reference) for method in methods]
    return [gain for gain in gains if gain is not None and gain["tasks"] > 1]


def results_of(
    rows: Sequence[Row], command: str, notes: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a results file holds: how the numbers were made, the numbers, and what they say.

    Args:
        notes: what has to be said of the data.
        settings: of the runs by task.
    """
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "settings": dict(settings or {}),
        "notes": list(notes),
        "averages": average_gains(rows),
        "rows": [asdict(row) for row in rows],
        "tests": compare_rows(rows),
        "against_best": compare_with_best(rows),
    }


def save_results(file: Path, result: Mapping[str, Any], page: str) -> None:
    """Write the numbers as JSON, and a page of the same name as Markdown beside them."""
    write_json(file, result)
    write_whole(file.with_suffix(".md"), page)


def page_of(result: Mapping[str, Any], table: Sequence[str]) -> str:
    """A page around a table's lines: the command, how it was made, averages and notes."""
    lines = [f"`{result['command']}`", "", f"{result['date']}, {result['machine']}. Points of 100; "]
    lines[-1] += "± is the standard deviation over seeds, brackets the 95% interval of a paired t-test."
    if any(row["metric"] == "cider" for row in result["rows"]):
        lines[-1] += " CIDEr is printed times 10."
    for gain in result["averages"]:
        lines += ["", average_line(gain)]
    told = [test for test in result["tests"] if test["p"] is not None]
    if len(told) >= _MANY_TESTS:
        by_chance = f"{0.05 * len(told):.1f} below 0.05 are to be expected by chance"
        lines += ["", f"{len(told)} comparisons, p uncorrected: {by_chance}."]
    lines += ["", *table]
    lines += ["", *(f"- {note}" for note in result["notes"])] if result["notes"] else []
    return "\n".join(lines) + "\n"


def average_line(gain: Mapping[str, Any]) -> str:
    """An average gain in words; of a method by its "label" in a table, where there is one."""
    name = "text alone" if gain["against"] == REFERENCE else gain["against"]
    p = f", p = {gain['p']:.2g}" if gain["p"] is not None else ""
    method = gain.get("label", gain["method"])
    return f"{method} against {name}, mean of {gain['tasks']} tasks: {shown_difference(gain)}{p}"


def shown_score(row: Mapping[str, Any]) -> str:
    """Mean and spread over seeds, as tables print them; the score alone where there is no spread."""
    return f"{row['mean']:.1f}" + (f" ± {row['std']:.1f}" if row["std"] is not None else "")


def shown_difference(test: Mapping[str, Any] | Difference) -> str:
    """Difference and interval, as tables print them; "" where there is no test."""
    if not test:
        return ""
    interval = f" [{test['low']:+z.1f}, {test['high']:+z.1f}]" if test["low"] is not None else ""
    return f"{test['difference']:+z.1f}{interval}"


def shown_p(test: Mapping[str, Any]) -> str:
    """p, as tables print it; "" where there is none."""
    return f"{test['p']:.2g}" if test.get("p") is not None else ""


def tests_by_row(tests: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """Tests by the task, metric and method of their row."""
    return {(test["task"], test["metric"], test["method"]): test for test in tests}


def markdown_table(result: Mapping[str, Any]) -> str:
    """A page with the table of a results file."""
    to_text, to_best = tests_by_row(result["tests"]), tests_by_row(result["against_best"])
    heads = ["task", "method", "modalities", "metric", "seeds", "mean", "against text", "p"]
    heads += ["against best baseline", "p"] if to_best else []
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " --- |" * (len(heads) - 1)]
    for row in result["rows"]:
        place = (row["task"], row["metric"], row["method"])
        test, best = to_text.get(place, {}), to_best.get(place, {})
        cells = [row["task"], row["method"], "+".join(row["modalities"]), row["metric"], str(len(row["seeds"]))]
        cells += [shown_score(row), shown_difference(test), shown_p(test)]
        cells += [f"{best['against']}: {shown_difference(best)}" if best else "", shown_p(best)] if to_best else []
        lines.append("| " + " | ".join(cells) + " |")
    return page_of(result, lines)


def rich_table(result: Mapping[str, Any], title: str) -> Table:
    """Rows and tests, as the JSON file has them, for the terminal."""
    by_row = tests_by_row(result["tests"])
    table = Table("task", "method", "modalities", "metric", "mean ± std", "against text", "p", "seconds", title=title)
    for row in result["rows"]:
        test = by_row.get((row["task"], row["metric"], row["method"]), {})
        cells = [row["task"], row["method"], "+".join(row["modalities"]), row["metric"]]
        cells += [shown_score(row), f"{test['difference']:+z.1f}" if test else "", shown_p(test)]
        table.add_row(*map(escape, cells), f"{row['seconds']:.0f}")
    return table
