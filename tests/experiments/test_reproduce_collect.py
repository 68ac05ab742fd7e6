"""What a script at the papers' scale has computed, as the paper's table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.experiments.reproduce import get_entry
from polysense.experiments.reproduce.collect import collect_paper
from polysense.experiments.reproduce.scales import PAPER_TOWERS
from polysense.experiments.reproduce.table import HEADS, table_lines
from polysense.experiments.results import Row, markdown_table, results_of, save_results
from polysense.experiments.runs import Run

pytest_plugins = ("tiny_runs",)


def write_comparison(file: Path, entry: str, task: str, base: str, scores: Mapping[str, Mapping[str, float]]) -> None:
    """As `compare` writes it: two seeds, every run of the entry a point above the one before it.

    Args:
        scores: of the first run, by split and metric.
    """
    runs = [Run.parse(text) for text in get_entry(entry).runs("paper", PAPER_TOWERS, base)]
    rows = [
        Row(f"{task}/{split}", run.name, run.modalities, metric, [0, 1], [score + i, score + i + 2], 1.0, split=split)
        for i, run in enumerate(runs)
        for split, metrics in scores.items()
        for metric, score in metrics.items()
    ]
    result = results_of(rows, "polysense compare", [f"{task}: a note"], {task: {"epochs": 3}})
    save_results(file, result, markdown_table(result))


def test_a_scripts_files_become_the_papers_table(tmp_path, cli):
    squad = {"validation": {"exact_match": 10.0, "f1": 20.0}}
    for name, more in (("roberta-base-squad_v1-5", 0.0), ("roberta-base-squad_v1", 40.0)):
        scores = {split: {m: s + more for m, s in metrics.items()} for split, metrics in squad.items()}
        write_comparison(tmp_path / f"{name}.json", "macsc-table2", "squad_v1", "RoBERTa-base", scores)
    result = cli("reproduce", "macsc-table2", "--collect", tmp_path, "--base", "RoBERTa-base", "--json").json
    assert result["file"] == str(tmp_path / "macsc-table2-roberta-base.json")
    assert json.loads(Path(result["file"]).read_text())["table"]["id"] == "macsc-table2"
    lines = [dict(zip(HEADS, cells, strict=False)) for cells in table_lines(result)]
    by_place: dict[tuple[str, str, str], Any] = {
        (line["column"], line["line"], line["modalities"]): line for line in lines
    }
    low = by_place["SQuAD v1.1 5%, F1", "+Ours", "text+image+audio+video"]
    assert (low["paper"], low["here"]) == ("82.3 (RoBERTa-base)", "25.0 ± 1.4")
    assert low["against text"].startswith("+4.0")
    assert by_place["SQuAD v1.1 100%, Acc.", "+None", "text"]["here"] == "51.0 ± 1.4"
    assert by_place["SQuAD v2 100%, F1", "+None", "text"]["here"] == "not run"
    told = [note for note in result["notes"] if note.startswith("not run: SQuAD v2 100%, Acc.")]
    assert told == [
        f"not run: SQuAD v2 100%, Acc., SQuAD v2 100%, F1: there is no roberta-base-squad_v2.json in {tmp_path}"
    ]
    assert result["notes"].count("squad_v1: a note") == 1
    assert result["settings"]["SQuAD v1.1 100%, Acc., SQuAD v1.1 100%, F1"] == {"epochs": 3}


def test_what_was_probed_is_in_it(tmp_path):
    scores = {"memory_color": {"accuracy": 30.0}, "color_terms": {"accuracy": 40.0}}
    write_comparison(tmp_path / "bert-base-color.json", "mase-table4", "color", "BERT-base", scores)
    probed = {"task": "color", "scores": {"memory_color": 0.25, "color_terms": 0.5}, "notes": ["asked among 12"]}
    (tmp_path / "probe-towers-clip-color.json").write_text(json.dumps(probed))
    result = collect_paper(get_entry("mase-table4"), tmp_path, "BERT-base", "x")
    lines = {tuple(cells[:2]): cells for cells in table_lines(result)}
    assert lines["MemoryColor", "CLIP"][3:5] == ("27.3 (CLIP)", "25.0")
    assert lines["ColorTerm", "BERT-base + MASE"][4].startswith("42.0")
    assert "color, CLIP: asked among 12" in result["notes"]


def test_what_cannot_be_collected(tmp_path, cli):
    entry = get_entry("macsc-table2")
    with pytest.raises(PolysenseError, match="macsc-table2 has no backbone 'bert': one of BERT-base, RoBERTa-base"):
        collect_paper(entry, tmp_path, "bert", "x")
    with pytest.raises(PolysenseError, match="holds nothing of macsc-table2 with BERT-base: run its script first"):
        collect_paper(entry, tmp_path, "BERT-base", "x")
    for text in ("{", "[]", "{}", "[" * 200_000):
        (tmp_path / "bert-base-squad_v1.json").write_text(text)
        with pytest.raises(PolysenseError, match=r"bert-base-squad_v1\.json is no result of compare or probe"):
            collect_paper(entry, tmp_path, "BERT-base", "x")
    error = cli("reproduce", "macsc-table2", "--collect", tmp_path).error
    assert error.startswith("--collect and --base go together")


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result.pop("settings"),
        lambda result: result["rows"][0].pop("task"),
        lambda result: result["rows"][0]["scores"].append(1.0),
        lambda result: result["rows"].append(3),
        lambda result: result["rows"][0].update(scores=["a", "b"]),
    ],
)
def test_a_damaged_comparison_is_named(tmp_path, change):
    file = tmp_path / "roberta-base-squad_v1.json"
    scores = {"validation": {"exact_match": 10.0, "f1": 20.0}}
    write_comparison(file, "macsc-table2", "squad_v1", "RoBERTa-base", scores)
    result = json.loads(file.read_text())
    change(result)
    file.write_text(json.dumps(result))
    with pytest.raises(PolysenseError, match=f"{file} is no result of compare or probe"):
        collect_paper(get_entry("macsc-table2"), tmp_path, "RoBERTa-base", "x")
