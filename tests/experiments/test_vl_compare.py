"""`polysense vl compare` from end to end on a tiny folder of data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vision_language.data_folder import OPTIONS

pytest_plugins = ("tiny_runs", "vision_language.data_folder")


@pytest.fixture
def flags(tmp_path: Path, bert_folder: Path) -> list[Any]:
    quick = [f"{name}={value}" for name, value in {"steps": 2, "batch_size": 8, "learning_rate": 1e-3}.items()]
    given = [flag for value in quick for flag in ("--pretraining", value, "--setting", value)]
    given += [flag for name, value in OPTIONS.items() for flag in ("--option", f"{name}={value}")]
    return ["--output", tmp_path / "s.json", "--cells", tmp_path / "cells", "--backbone", bert_folder, *given]


def test_a_study_from_the_command_line(cli, tmp_path, vl_data, flags):
    asked = ["vl", "compare", vl_data, *flags, "--task", "vqa", "--task", "rec", "--share", 1, "--share", 0.5]
    result = cli(*asked, "--seeds", 1, "--json").json
    assert result == json.loads((tmp_path / "s.json").read_text())
    recipes = [("cmal", 1), ("cmal", 0.5), ("cmcl", 1), ("cmcl", 0.5), ("none", None)]
    rows = [(row["problem"], row["method"], row["share"]) for row in result["rows"]]
    assert sorted(rows, key=repr) == sorted(
        [(task, *start) for task in ("vqa", "rec") for start in recipes] + [("vqa", "text", None)], key=repr
    )
    assert all(row["seeds"] == [0] for row in result["rows"])
    assert len(result["pretraining"]) == 4 and {run["settings"]["steps"] for run in result["pretraining"]} == {2}
    assert set(result["data_needed"]) == {"vqa", "rec"}
    assert (tmp_path / "s.png").is_file() and "not pre-trained" in (tmp_path / "s.md").read_text()
    cells = sorted(tmp_path.glob("cells/*.json"))
    shown = cli(*asked, "--seeds", 1)
    assert shown.status == 0 and "mean ± std" in shown.out and sorted(tmp_path.glob("cells/*.json")) == cells


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pretraining", "seed=3"], "pre-training: seed is no setting of a study"),
        (["--pretraining", "output_dir=x"], "unknown setting 'output_dir'"),
        (["--pretraining", "recipe=cmal"], "unknown setting 'recipe'"),
        (["--pretraining", "steps=x"], "steps must be a whole number"),
        (["--setting", "seed=3"], "fine-tuning vqa: seed is no setting of a study"),
        (["--setting", "stepz=3"], "unknown setting 'stepz'"),
        (["--setting", "vqq.steps=3"], "'vqq' is not compared"),
        (["--method", "text", "--task", "rec"], "rec has no questions"),
        (["--method", "maze"], "unknown method 'maze'"),
        (["--recipe", "cmql"], "unknown recipe 'cmql'"),
        (["--share", "0"], "share must be above 0"),
        (["--task", "vq"], "unknown task 'vq'"),
        (["--corpus", "flickr"], "unknown data 'flickr'"),
        (["--backbone", "small:x"], "small:128"),
    ],
)
def test_mistakes_are_one_line_before_any_work(cli, tmp_path, vl_data, flags, arguments, message):
    assert message in cli("vl", "compare", vl_data, *flags, *arguments).error
    assert not list(tmp_path.glob("cells/pretrained-*"))


def test_methods_are_compared_on_questions_alone(cli, tmp_path, vl_data, flags):
    asked = ["vl", "compare", vl_data, *flags, "--recipe", "cmal", "--method", "text", "--setting", "vqa.steps=3"]
    result = cli(*asked, "--seeds", 1, "--json").json
    assert [(row["problem"], row["method"]) for row in result["rows"]] == [("vqa", "cmal+text")]
    assert result["settings"]["fine_tuning"]["vqa.steps"] == 3
    assert "| vqa | CMAL without prototypes | 100% |" in (tmp_path / "s.md").read_text()


def test_a_missing_world_is_one_line(cli, tmp_path, flags):
    assert "no such folder" in cli("vl", "compare", tmp_path / "nowhere", *flags).error
