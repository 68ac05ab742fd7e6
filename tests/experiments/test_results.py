from __future__ import annotations

import io
import json
from dataclasses import asdict
from datetime import date
from typing import Any

import pytest
from rich.console import Console

from polysense.experiments.results import (
    Row,
    average_gain,
    average_gains,
    compare_rows,
    compare_with_best,
    in_points,
    markdown_table,
    results_of,
    rich_table,
    save_results,
    shown_difference,
)


def row(method: str, scores: list[float], task: str = "sst2", seeds: list[int] | None = None, **more: Any) -> Row:
    more = {"metric": "accuracy", "baseline": method in ("text", "mpb"), **more}
    return Row(task, method, ["text"], seeds=seeds or list(range(len(scores))), scores=scores, seconds=1.5, **more)


def test_each_row_is_held_against_text_on_its_own_task_metric_and_seeds():
    rows = [
        row("text", [70.0, 71.0]),
        row("macsc", [72.0, 74.0]),
        row("text", [30.0, 31.0], metric="f1"),
        row("macsc", [31.0, 32.5], metric="f1"),
        row("text", [50.0, 50.0], "mrpc"),
        row("macsc", [49.0, 48.0], "mrpc"),
        row("mpb", [60.0, 60.0], "coda"),
        row("late", [60.0, 61.0, 62.0]),
    ]
    tests = compare_rows(rows)
    assert [(t["task"], t["metric"], t["method"], t["against"], t["difference"]) for t in tests] == [
        ("sst2", "accuracy", "macsc", "text", 2.5),
        ("sst2", "f1", "macsc", "text", 1.25),
        ("mrpc", "accuracy", "macsc", "text", -1.5),
    ]


def test_what_is_no_baseline_is_held_against_the_best_that_is():
    rows = [
        row("text", [70.0, 71.0]),
        row("mpb", [71.0, 72.0]),
        row("macsc", [72.0, 74.0]),
        row("text", [50.0, 50.0], "mrpc"),
        row("mpb", [40.0, 40.0], "mrpc"),
        row("macsc", [49.0, 48.0], "mrpc"),
    ]
    (test,) = compare_with_best(rows)  # of mrpc text is the best, and compared already
    assert (test["task"], test["method"], test["against"], test["difference"]) == ("sst2", "macsc", "mpb", 1.5)


def test_a_score_without_training_has_no_spread_and_enters_no_test():
    untrained = Row("sst2", "probe", ["text"], "accuracy", seeds=[], scores=[99.0], seconds=0.0, baseline=True)
    rows = [row("text", [70.0, 71.0]), row("mpb", [71.0, 72.0]), row("macsc", [72.0, 74.0]), untrained]
    assert [test["method"] for test in compare_rows(rows)] == ["mpb", "macsc"]
    assert [test["against"] for test in compare_with_best(rows)] == ["mpb"]
    rows += [row("text", [50.0, 51.0], "mrpc"), row("macsc", [51.0, 51.0], "mrpc")]
    rows += [Row("mrpc", "probe", ["text"], "accuracy", seeds=[], scores=[99.0], seconds=0.0, baseline=True)]
    assert [gain["method"] for gain in average_gains(rows)] == ["macsc"]
    alone = [Row("sst2", name, ["text"], "accuracy", seeds=[], scores=[1.0], seconds=0.0) for name in ("text", "a")]
    assert compare_rows(alone) == [] and average_gain(alone, "a") is None
    result = results_of(rows, "x")
    saved = json.loads(json.dumps(result))["rows"][3]
    assert (saved["scores"], saved["mean"], saved["std"]) == ([99.0], 99.0, None)
    assert "| 99.0 |  |  |" in markdown_table(result)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(rich_table(result, "Points"))
    shown = console.export_text()
    assert "99.0" in shown and "99.0 ±" not in shown


def test_one_seed_has_no_spread():
    result = results_of([row("text", [70.0]), row("macsc", [72.0])], "x")
    page = markdown_table(result)
    assert "| 70.0 |" in page and "| 72.0 | +2.0 |" in page and "± 0" not in page


def test_the_average_gain_counts_each_task_once_by_its_first_metric_and_its_tests():
    rows = [
        row("text", [70.0, 71.0]),
        row("macsc", [71.0, 74.0]),  # +2
        row("text", [10.0, 10.0], "qa", metric="exact_match"),
        row("text", [90.0, 90.0], "qa", metric="f1"),
        row("macsc", [11.0, 13.0], "qa", metric="exact_match"),  # +2
        row("macsc", [99.0, 99.0], "qa", metric="f1"),
    ]
    for split, gain in (("validation", 50.0), ("test", 4.0), ("memory_color", 6.0)):  # +5
        rows += [row("text", [20.0, 20.0], f"coda/{split}", split=split)]
        rows += [row("macsc", [20.0 + gain] * 2, f"coda/{split}", split=split)]
    rows += [row("macsc", [99.0], "lonely"), row("text", [0.0, 0.0], "lonely")]
    gain = average_gain(rows, "macsc")
    assert gain is not None and (gain["tasks"], gain["difference"]) == (3, 3.0)
    assert gain["low"] < 3 < gain["high"] and gain["against"] == "text"
    assert average_gain(rows, "mase") is None
    assert average_gains(rows) == [gain] and average_gains(rows[:2]) == []


def test_a_difference_that_rounds_to_nothing_has_no_minus():
    """Neither do the ends of its interval, in the page or in the terminal."""
    assert shown_difference({"difference": -0.04, "low": -0.0, "high": 0.04}) == "+0.0 [+0.0, +0.0]"
    assert shown_difference({"difference": -0.06, "low": None, "high": None}) == "-0.1"
    result = results_of([row("text", [70.04, 70.0]), row("macsc", [70.0, 70.0])], "x")
    assert result["tests"][0]["difference"] < 0 and "| +0.0 [" in markdown_table(result)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(rich_table(result, "Points"))
    shown = console.export_text()
    assert "+0.0" in shown and "-0.0" not in shown


def test_points():
    assert (in_points("accuracy", 0.12345), in_points("cider", 1.77)) == (12.35, 17.7)


def test_the_file_beside_a_table(tmp_path):
    rows = [row("text", [70.0, 71.0]), row("mpb", [71.0, 72.0]), row("macsc", [72.0, 74.0])]
    result = results_of(rows, "polysense compare ...", ["sst2: a sample"], {"sst2": {"epochs": 3}})
    save_results(tmp_path / "new" / "x.json", result, markdown_table(result))
    saved = json.loads((tmp_path / "new" / "x.json").read_text())
    assert saved == json.loads(json.dumps(result))
    assert saved["command"] == "polysense compare ..." and saved["settings"] == {"sst2": {"epochs": 3}}
    date.fromisoformat(saved["date"])
    assert "cores" in saved["machine"] and {"polysense", "torch", "transformers"} <= saved["versions"].keys()
    assert saved["tests"] == compare_rows(rows) and saved["against_best"] == compare_with_best(rows)
    assert saved["rows"][2] == asdict(rows[2]) | {"mean": 73.0, "std": 1.41}
    page = (tmp_path / "new" / "x.md").read_text()
    assert page.startswith("`polysense compare ...`\n") and page.endswith("\n- sst2: a sample\n")
    lines = [line for line in page.splitlines() if line.startswith("| sst2")]
    assert lines[0] == "| sst2 | text | text | accuracy | 2 | 70.5 ± 0.7 |  |  |  |  |"
    assert lines[2].startswith(
        "| sst2 | macsc | text | accuracy | 2 | 73.0 ± 1.4 | +2.5 [-3.9, +8.8] | 0.13 | mpb: +1.5 ["
    )
    console = Console(width=200, record=True, file=(tmp_path / "table").open("w"))
    console.print(rich_table(saved, "Points"))
    shown = console.export_text()
    assert "73.0 ± 1.4" in shown and "+2.5" in shown and "70.5 ± 0.7" in shown


def test_the_average_stands_before_the_table():
    rows = [row("text", [70.0, 71.0]), row("macsc", [72.0, 74.0])]
    rows += [row("text", [50.0, 50.0], "mrpc"), row("macsc", [51.0, 51.0], "mrpc")]
    page = markdown_table(results_of(rows, "x"))
    line = "macsc against text alone, mean of 2 tasks: +1.8 [-7.8, +11.3], p = 0.26"
    assert page.index(line) < page.index("| task |") and "best baseline" not in page


@pytest.mark.parametrize(("metric", "said"), [("cider", True), ("accuracy", False)])
def test_ciders_unit_is_said(metric, said):
    assert ("CIDEr is printed times 10" in markdown_table(results_of([row("text", [1.0], metric=metric)], "x"))) is said


@pytest.mark.parametrize(("methods", "told"), [(9, ""), (20, "20 comparisons, p uncorrected: 1.0 below 0.05")])
def test_many_comparisons_are_told_of(methods, told):
    rows = [row("text", [50.0, 60.0]), *(row(f"m{i}", [51.0, 61.5]) for i in range(methods))]
    page = markdown_table(results_of(rows, "x"))
    assert ("comparisons" in page) is bool(told) and told in page
