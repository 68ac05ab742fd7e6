"""Tables of results: scores by seed, their spread, paired tests, and the file that stands beside each table."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from scipy import stats

from polysense.folder import write_json, write_whole
from polysense.training.train import versions


@dataclass(frozen=True)
class Row:
    """The scores of one method on one task.

    Attributes:
        task: as on the command line, with the split where a task has several tests ("coda/memory_color").
        method: "text", "mpb", "macsc", or with what was swapped in parentheses.
        modalities: text first.
        metric: "accuracy" or "spearman".
        seeds: the seeds, in the order of the scores.
        scores: one a seed, in points of 100.
        seconds: of training and testing, summed over the seeds.
        weights: what each modality counts for at the end (rho or z), the mean over the seeds; empty where nothing says.
    """

    task: str
    method: str
    modalities: list[str]
    metric: str
    seeds: list[int]
    scores: list[float]
    seconds: float
    weights: dict[str, float] = field(default_factory=dict)
    mean: float = field(init=False)
    std: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", round(float(np.mean(self.scores)), 2))
        spread = float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else 0.0
        object.__setattr__(self, "std", round(spread, 2))


def paired_test(ours: Sequence[float], reference: Sequence[float]) -> dict[str, float | None]:
    """The difference of scores with the same seeds: mean, 95% confidence interval and p of a paired t-test.

    Interval and p are None for fewer than two seeds or equal differences, where the test says nothing.
    """
    differences = np.asarray(ours) - np.asarray(reference)
    result: dict[str, float | None] = {"difference": round(float(differences.mean()), 2), "low": None, "high": None}
    result["p"] = None
    if len(differences) > 1 and float(differences.std()) > 0:
        test = stats.ttest_1samp(differences, 0.0)
        interval = test.confidence_interval(0.95)
        result |= {
            "low": round(float(interval.low), 2),
            "high": round(float(interval.high), 2),
            "p": float(test.pvalue),
        }
    return result


def compare_rows(rows: Sequence[Row], reference: str = "text") -> list[dict[str, Any]]:
    """Each row against the reference method's on the same task and seeds."""
    base = {row.task: row for row in rows if row.method == reference}
    return [
        {"task": row.task, "method": row.method, "against": reference, **paired_test(row.scores, base[row.task].scores)}
        for row in rows
        if row.method != reference and row.task in base and base[row.task].seeds == row.seeds
    ]


def machine() -> str:
    """The machine that made a number, in words."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{name}, {os.cpu_count()} cores, {accelerator}"


def save_results(
    file: Path, rows: Sequence[Row], command: str, notes: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> None:
    """Write the numbers as JSON and the table beside them.

    Args:
        file: of the JSON; the table goes into a Markdown file of the same name.
        notes: what has to be said of the data.
        settings: of the runs by task.
    """
    result = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "settings": dict(settings or {}),
        "notes": list(notes),
        "rows": [asdict(row) for row in rows],
        "tests": compare_rows(rows),
    }
    write_json(file, result)
    write_whole(file.with_suffix(".md"), markdown_table(result))


def markdown_table(result: Mapping[str, Any]) -> str:
    """A page with the table of a results file."""
    by_run = {(test["task"], test["method"]): test for test in result["tests"]}
    lines = [f"`{result['command']}`", "", f"{result['date']}, {result['machine']}. Points of 100; "]
    lines[-1] += "± is the standard deviation over seeds, brackets the 95% interval of a paired t-test."
    lines += ["", "| task | method | modalities | metric | seeds | mean | against text | p |", "| --- |" + " --- |" * 7]
    for row in result["rows"]:
        test = by_run.get((row["task"], row["method"]), {})
        interval = f" [{test['low']:+.1f}, {test['high']:+.1f}]" if test.get("low") is not None else ""
        against = f"{test['difference']:+.1f}{interval}" if test else ""
        p = f"{test['p']:.2g}" if test.get("p") is not None else ""
        cells = [row["task"], row["method"], "+".join(row["modalities"]), row["metric"], str(len(row["seeds"]))]
        lines.append("| " + " | ".join([*cells, f"{row['mean']:.1f} ± {row['std']:.1f}", against, p]) + " |")
    lines += ["", *(f"- {note}" for note in result["notes"])] if result.get("notes") else []
    return "\n".join(lines) + "\n"


def rich_table(rows: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Rows and tests, as the JSON file has them, for the terminal."""
    by_run = {(test["task"], test["method"]): test for test in tests}
    table = Table("task", "method", "modalities", "metric", "mean ± std", "against text", "p", "seconds", title=title)
    for row in rows:
        test = by_run.get((row["task"], row["method"]), {})
        table.add_row(
            row["task"],
            row["method"],
            "+".join(row["modalities"]),
            row["metric"],
            f"{row['mean']:.1f} ± {row['std']:.1f}",
            f"{test['difference']:+.1f}" if test else "",
            f"{test['p']:.2g}" if test.get("p") is not None else "",
            f"{row['seconds']:.0f}",
        )
    return table
