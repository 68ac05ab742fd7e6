"""Tables and curves of a study of vision-language pre-training."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from polysense.experiments.vl_report import curve, data_needed, save_study, summarise


def cell(start: str, share: float | None, seed: int, score: float, problem: str = "vqa") -> dict:
    return {
        "problem": problem,
        "start": start,
        "share": share,
        "seed": seed,
        "metric": "accuracy",
        "scores": {"test": {"accuracy": score, "accuracy/colour": score / 2, "median_rank": 7.0}},
        "seconds": 2.0,
    }


CELLS = [
    *(cell("cmal", 0.5, seed, 0.40 + 0.02 * seed) for seed in (0, 1, 2)),
    *(cell("cmal", 1, seed, 0.50 + 0.01 * seed) for seed in (0, 1, 2)),
    *(cell("cmcl", 0.5, seed, 0.30) for seed in (0, 1, 2)),
    *(cell("cmcl", 1, seed, 0.41) for seed in (0, 1, 2)),
    *(cell("none", None, seed, 0.20) for seed in (0, 1, 2)),
]


def test_rows_have_mean_and_deviation_in_points() -> None:
    row = next(row for row in summarise(CELLS) if row["method"] == "cmal" and row["share"] == 0.5)
    assert row["scores"] == [40.0, 42.0, 44.0] and row["seeds"] == [0, 1, 2]
    assert row["mean"] == 42.0 and row["std"] == 2.0 and row["seconds"] == 6.0
    assert row["parts"] == {"accuracy/colour": 21.0, "median_rank": 7.0}


def test_data_needed_is_the_smallest_share_that_reaches_the_other_on_all_data() -> None:
    needed = data_needed(summarise(CELLS))["vqa"]
    assert needed["share"] == 0.5 and needed["difference"] == pytest.approx(1.0)
    assert needed["low"] < 1 < needed["high"]
    weaker = [c | {"scores": {"test": {"accuracy": 0.4}}} if c["start"] == "cmal" else c for c in CELLS]
    assert data_needed(summarise(weaker)) == {"vqa": None}
    assert data_needed(summarise([c for c in CELLS if c["start"] != "cmcl"])) == {}


def test_a_share_counts_only_where_all_larger_ones_reach_it_too() -> None:
    dip = [
        c | {"scores": {"test": {"accuracy": 0.4}}} if (c["start"], c["share"]) == ("cmal", 0.5) else c for c in CELLS
    ]
    lucky = [*dip, *(cell("cmal", 0.1, seed, 0.45) for seed in (0, 1, 2))]
    assert data_needed(summarise(lucky))["vqa"]["share"] == 1
    other_seeds = [c for c in CELLS if (c["start"], c["seed"]) != ("cmcl", 2)]
    assert data_needed(summarise(other_seeds)) == {"vqa": {"share": 0.5}}  # no test of other seeds


def test_a_study_is_saved_with_table_and_curve(tmp_path) -> None:
    result = save_study(tmp_path / "s.json", CELLS, "polysense vl compare", [], {"steps": 3}, ["a note"])
    assert json.loads((tmp_path / "s.json").read_text()) == json.loads(json.dumps(result))
    test = next(t for t in result["tests"] if t["against"] == "none")
    assert test["difference"] == pytest.approx(31.0)  # against CMAL on all data
    halves = next(t for t in result["tests"] if t["against"] == "cmcl" and t["share"] == 0.5)
    assert halves["difference"] == pytest.approx(12.0) and halves["low"] < 12 < halves["high"]
    page = (tmp_path / "s.md").read_text()
    assert "| vqa | not pre-trained |  | accuracy | 3 | 20.0 ± 0.0 |" in page
    assert "- vqa: 50%, +1.0 [" in page and "- a note" in page
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width > 300


def test_a_difference_that_rounds_to_nothing_has_no_minus(tmp_path) -> None:
    close = [c | {"scores": {"test": {"accuracy": 0.4104}}} if c["start"] == "cmcl" else c for c in CELLS]
    equal = [c | {"scores": {"test": {"accuracy": 0.41}}} if c["start"] == "cmal" else c for c in close]
    result = save_study(tmp_path / "s.json", equal, "x", [], {})
    assert all(test["difference"] < 0 for test in result["tests"] if test["against"] == "cmcl")
    page = (tmp_path / "s.md").read_text()
    assert "| +0.0 |" in page and "-0.0" not in page


def test_one_share_has_no_curve(tmp_path) -> None:
    save_study(tmp_path / "s.json", [c for c in CELLS if c["share"] in (1, None)], "x", [], {})
    assert not (tmp_path / "s.png").exists()


def test_every_scored_part_is_a_row_and_a_panel(tmp_path) -> None:
    both = [c | {"scores": {"test_seen": {"accuracy": 0.9}, **c["scores"]}} for c in CELLS]
    rows = summarise(both)
    assert list(dict.fromkeys(row["problem"] for row in rows)) == ["vqa", "vqa/test_seen"]
    assert rows[: len(rows) // 2] == summarise(CELLS)
    assert {row["mean"] for row in rows if row["problem"] == "vqa/test_seen"} == {90.0}
    many = [c | {"problem": name} for name in ("vqa", "nlvr2", "rec") for c in both]
    assert [bool(axes.lines) for axes in curve(summarise(many)).axes] == [True] * 6 + [False] * 2


def test_the_first_start_is_tested_against_the_others(tmp_path) -> None:
    renamed = {"cmal": "cmal+mase", "cmcl": "cmal+text"}
    cells = [c | {"start": renamed[c["start"]]} for c in CELLS if c["start"] in renamed]
    result = save_study(tmp_path / "s.json", cells, "x", [], {})
    assert [(t["against"], t["share"]) for t in result["tests"]] == [("cmal+text", 0.5), ("cmal+text", 1)]
    page = (tmp_path / "s.md").read_text()
    assert "| CMAL + MASE is better by |" in page and "| vqa | CMAL without prototypes | 50% |" in page


def test_every_start_has_a_colour_and_a_name_in_the_legend() -> None:
    """Also one that the first panel lacks."""
    more = [c | {"start": f"cmal+{by}"} for by in ("mase", "text", "mpb") for c in CELLS if c["start"] == "cmal"]
    rec = [c | {"problem": "rec"} for c in CELLS if c["start"] == "cmcl"]
    figure = curve(summarise([*rec, *CELLS, *more]))
    lines = [line for line in figure.axes[1].lines if line.get_label()[0] != "_"]
    assert len({line.get_color() for line in lines}) == len(lines) == 6
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {line.get_label() for line in lines}
