from __future__ import annotations

import json
import statistics
from datetime import date

import pytest
from rich.console import Console
from scipy.stats import ttest_rel

from polysense.experiments.results import Row, compare_rows, paired_test, rich_table, save_results


def row(method: str, scores: list[float], task: str = "sst2", seeds: list[int] | None = None) -> Row:
    return Row(task, method, ["text"], "accuracy", seeds or list(range(len(scores))), scores, 1.5)


def test_mean_and_deviation_over_seeds():
    scores = [70.1, 72.35, 69.0]
    made = row("text", scores)
    assert made.mean == round(statistics.mean(scores), 2)
    assert made.std == round(statistics.stdev(scores), 2) > 0
    assert (row("text", [70.1]).mean, row("text", [70.1]).std) == (70.1, 0.0)


def test_the_paired_test_is_scipys():
    ours, reference = [71.0, 74.5, 70.2, 73.3], [70.0, 71.5, 70.9, 70.1]
    result, expected = paired_test(ours, reference), ttest_rel(ours, reference)
    assert result["p"] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert result["low"] == pytest.approx(interval.low, abs=0.006)
    assert result["high"] == pytest.approx(interval.high, abs=0.006)
    assert result["difference"] == pytest.approx(1.62, abs=0.006)
    assert paired_test(reference, ours)["difference"] == -result["difference"]


@pytest.mark.parametrize(("ours", "reference", "difference"), [
    ([71.0], [70.0], 1.0), ([71.0, 72.0], [70.0, 71.0], 1.0), ([70.0, 71.0], [70.0, 71.0], 0.0),
])  # fmt: skip
def test_one_seed_or_equal_differences_have_no_p(ours, reference, difference):
    assert paired_test(ours, reference) == {"difference": difference, "low": None, "high": None, "p": None}


def test_each_row_is_held_against_text_on_its_own_task():
    rows = [
        row("text", [70.0, 71.0]),
        row("macsc", [72.0, 74.0]),
        row("text", [50.0, 50.0], "mrpc"),
        row("macsc", [49.0, 48.0], "mrpc"),
        row("mpb", [60.0, 60.0], "coda"),
        row("late", [60.0, 61.0, 62.0]),
    ]
    tests = compare_rows(rows)
    assert [(t["task"], t["method"], t["against"], t["difference"]) for t in tests] == [
        ("sst2", "macsc", "text", 2.5),
        ("mrpc", "macsc", "text", -1.5),
    ]


def test_the_file_beside_a_table(tmp_path):
    rows = [row("text", [70.0, 71.0]), row("macsc", [72.0, 74.0])]
    save_results(tmp_path / "new" / "x.json", rows, "polysense compare ...")
    saved = json.loads((tmp_path / "new" / "x.json").read_text())
    assert saved["command"] == "polysense compare ..."
    date.fromisoformat(saved["date"])
    assert "cores" in saved["machine"] and {"polysense", "torch", "transformers"} <= saved["versions"].keys()
    assert saved["tests"] == compare_rows(rows)
    assert saved["rows"][1] == {
        "task": "sst2",
        "method": "macsc",
        "modalities": ["text"],
        "metric": "accuracy",
        "seeds": [0, 1],
        "scores": [72.0, 74.0],
        "seconds": 1.5,
        "weights": {},
        "mean": 73.0,
        "std": 1.41,
    }
    console = Console(width=200, record=True, file=(tmp_path / "table").open("w"))
    console.print(rich_table(saved["rows"], saved["tests"], "Points"))
    shown = console.export_text()
    assert "73.0 ± 1.4" in shown and "+2.5" in shown and "70.5 ± 0.7" in shown
