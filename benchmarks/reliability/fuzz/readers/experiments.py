"""What experiments keep: cells, tables, results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.made_up import write_bert
from benchmarks.reliability.fuzz.reader import Reader, beside
from benchmarks.reliability.fuzz.readers.regions import write_task_data
from polysense.experiments.figures.weights import read_runs
from polysense.experiments.grid import Grid, notes_of
from polysense.experiments.reproduce import get_entry
from polysense.experiments.reproduce.collect import collect_paper
from polysense.experiments.reproduce.scales import PAPER_TOWERS
from polysense.experiments.results import Row, markdown_table, results_of, save_results
from polysense.experiments.runs import Run
from polysense.experiments.vl_report import summarise
from polysense.experiments.vl_study import Problem, Start, Study
from polysense.vision_language.fine_tuning import read_split
from polysense.vision_language.processing import ProcessorSettings
from polysense.vision_language.tasks import get_task

_ENTRY, _BASE = "macsc-table2", "RoBERTa-base"


def _grid(folder: Path) -> Grid:
    settings = {"epochs": 1, "batch_size": 8}
    runs = [Run.parse("text")]
    bert = str(beside(folder) / "bert")
    return Grid(runs, ["coda"], [0, 1], settings, 16, bert, folder / "cells", False, eval_rows=8)


def _write_grid(folder: Path) -> None:
    write_bert(beside(folder) / "bert")
    _grid(folder).rows()
    for lock in (folder / "cells" / "locks").iterdir():
        lock.unlink()


def _read_grid(folder: Path) -> Any:
    grid = _grid(folder)
    return [grid.rows(), notes_of([grid])]


def _write_tables(folder: Path) -> None:
    runs = [Run.parse(text) for text in get_entry(_ENTRY).runs("paper", PAPER_TOWERS, _BASE)]
    for share in ("", "-5"):
        rows = [
            Row("squad_v1/validation", run.name, run.modalities, metric, [0, 1], [10.0 + i, 12.0 + i], 1.0)
            for i, run in enumerate(runs)
            for metric in ("exact_match", "f1")
        ]
        result = results_of(rows, "polysense compare", ["a note"], {"squad_v1": {"epochs": 3}})
        save_results(folder / f"roberta-base-squad_v1{share}.json", result, markdown_table(result))


def _read_tables(folder: Path) -> Any:
    table = collect_paper(get_entry(_ENTRY), folder, _BASE, "x")
    return json.dumps({name: value for name, value in table.items() if name not in ("date", "machine")})


def _write_results(folder: Path) -> None:
    for seed in (0, 1):
        weights = {"text": 0.5 + seed / 10, "image": 0.5 - seed / 10}
        result = {
            "task": "coda", "method": "macsc", "modalities": ["text", "image"], "settings": {"seed": seed, "epochs": 3},
            "e_steps": [{"z": weights}] * 2, "weights": {"rho": weights}, "scores": {"validation": 0.5},
        }  # fmt: skip
        (folder / f"{seed}").mkdir()
        (folder / f"{seed}" / "results.json").write_text(json.dumps(result))


def _read_results(folder: Path) -> Any:
    groups = read_runs([folder / "0", folder / "1"])
    return [[key, [[run.seed, run.e_steps, run.final] for run in runs]] for key, runs in groups.items()]


def _study(folder: Path) -> Any:
    data, task = beside(folder) / "data", get_task("vqa")
    settings = {"steps": 2, "batch_size": 4}
    sizes = {"text_layers": 1, "visual_layers": 1, "unified_layers": 1, "projection": 8}

    def splits(_: int) -> Any:
        return {part: read_split(data / part, task, None, True, ProcessorSettings(8)) for part in ("train", "test")}

    study = Study(data / "train", folder / "cells", settings, sizes, str(beside(folder) / "bert"), progress=False)
    cells = study.run([Start("CMAL", "cmal")], [Problem("vqa", task, splits, settings, "fuzz")], [0])
    return [summarise(cells), study.pretrained("cmal", 1.0, 0)["settings"]]


def _write_study(folder: Path) -> None:
    write_bert(beside(folder) / "bert")
    for part in ("train", "test"):
        write_task_data(beside(folder) / "data" / part)
    _study(folder)


EXPERIMENTS = (
    Reader("cells of a grid", _write_grid, _read_grid, checksums=True, share=0.25),
    Reader("tables of a script", _write_tables, _read_tables),
    Reader("results of runs", _write_results, _read_results),
    Reader("cells of a study", _write_study, _study, checksums=True, share=0.25),
)
