"""The demonstration: typical colours of objects, by text alone and with a sense of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from polysense.experiments.demo_figure import demo_figure
from polysense.experiments.grid import Grid, Run
from polysense.folder import RESULTS_FILE, check_free, whole_folder, write_json, write_whole
from polysense.models import PolysenseForSequenceClassification, PolysenseProcessor
from polysense.tasks import TaskData, get_task
from polysense.training.data import split_texts
from polysense.training.predict import Predictor
from polysense.training.settings import TrainingSettings

TASK = "coda"
PREDICTIONS_FILE = "predictions.jsonl"
METHODS = ("text", "macsc")
TESTS = ("coda_test", "memory_color")


@dataclass
class _Trained:
    """The best model of one method, by CoDa's development objects."""

    score: float
    model: PolysenseForSequenceClassification
    processor: PolysenseProcessor


def demo(output: Path, seeds: Sequence[int] = (0, 1, 2)) -> dict[str, Any]:
    """Train both methods with each seed, and keep the model that does best on CoDa's development objects.

    Args:
        output: folder for `model/`, `predictions.jsonl` (the model's, on both tests), `demo.png` and the numbers; a
            demonstration that is there is replaced.

    Returns:
        {"rows": [{"method", "modalities", "seeds", "coda_test", "memory_color", "seconds"}, ...], "best", "notes"};
        accuracies from 0 to 1, one a seed. "memory_color" is empty where MemoryColor is not on this machine.
    """
    check_free(output, overwrite=True, marker=PREDICTIONS_FILE)
    task = get_task(TASK)
    data = task.load()
    grid = Grid([Run.parse(method) for method in METHODS], [TASK], list(seeds))
    rows: list[dict[str, Any]] = []
    trained: dict[str, _Trained] = {}
    for run in grid.runs:
        cells = []
        for seed in seeds:
            settings = TrainingSettings.for_task(task.defaults, seed=seed)
            cell, trainer = grid.train(data, run, settings)
            cells.append(cell)
            score = cell["scores"]["validation"]
            if run.name not in trained or score > trained[run.name].score:
                trained[run.name] = _Trained(
                    score,
                    cast("PolysenseForSequenceClassification", trainer.model),
                    grid.processor(run, settings),
                )
        accuracies = {test: [c["scores"][test] for c in cells if test in c["scores"]] for test in TESTS}
        seconds = round(sum(cell["seconds"] for cell in cells), 1)
        rows.append(
            {"method": run.name, "modalities": run.modalities, "seeds": list(seeds), **accuracies, "seconds": seconds}
        )
    better = max(trained, key=lambda name: trained[name].score)
    predictions = {name: predict_tests(Predictor(t.model, t.processor), data) for name, t in trained.items()}
    report = {"rows": rows, "best": better, "notes": list(data.notes)}
    with whole_folder(output) as staged:
        trained[better].model.save_pretrained(str(staged / "model"))
        trained[better].processor.save_pretrained(staged / "model")
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in predictions[better])
        write_whole(staged / PREDICTIONS_FILE, "".join(lines))
        demo_figure(rows, predictions).savefig(staged / "demo.png", dpi=150)
        write_json(staged / RESULTS_FILE, report)
    return report


def predict_tests(predictor: Predictor, data: TaskData) -> list[dict[str, Any]]:
    """The test objects with their label, prediction and the prototypes that were read."""
    names = data.label_names or ()
    rows = []
    for test in TESTS:
        if test not in data.splits:
            continue
        split = data.splits[test]
        texts = split_texts(split)
        prototypes = {m: extractor.extract(texts) for m, extractor in predictor.processor.extractors.items()}
        for i, prediction in enumerate(predictor.predict(list(split["text"]))):
            chosen = {m: list(found[i].tokens) for m, found in prototypes.items()}
            rows.append(
                {"test": test, "text": texts[i], "label": names[split["label"][i]], **prediction.to_dict()}
                | ({"prototypes": chosen} if chosen else {})
            )
    return rows
