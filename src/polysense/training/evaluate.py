"""The verb `evaluate`: a model in a folder on a task or a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.tasks import Kind, compute, get_task, load_labelled
from polysense.training.data import split_texts
from polysense.training.predict import Predictor


def evaluate(
    model: str | Path,
    task: str | None = None,
    *,
    split: str | None = None,
    data_dir: str | Path | None = None,
    file: str | Path | None = None,
    text_columns: Sequence[str] = ("text",),
    label_column: str = "label",
    batch_size: int = 64,
    store: Store = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Score a trained model.

    Args:
        model: a folder that `train` wrote.
        task: a task by name, all its labelled splits but "train"; or None for `file`.
        split: only this split of the task.
        store: as in `train`; it is only read.
        file: the user's own rows with labels; classes must be the model's.

    Returns:
        {"model", "data", "metric", "scores": {split: 0 to 1}, "rows": {split: count}}.

    Raises:
        PolysenseError: neither or both of task and file are given, the split has no labels, or the kinds differ.
    """
    if (task is None) == (file is None):
        raise PolysenseError("give either a task by name or a file with labels (--task or --file)")
    predictor = Predictor.load(model, batch_size, store)
    names = predictor.label_names
    kind: Kind = "regression" if names is None else "classification"
    if task is not None:
        data = get_task(task).load(Path(data_dir) if data_dir else None)
        if (data.kind, data.label_names) != (kind, names):
            raise PolysenseError(f"{model} was trained on other labels than those of the task {task}")
        labelled = {name: rows for name, rows in data.splits.items() if "label" in rows.column_names}
        if split is not None and split not in labelled:
            raise PolysenseError(f"task {task} has no labelled split {split!r}: one of {', '.join(labelled)}")
        splits = {n: rows for n, rows in labelled.items() if (n == split if split else n != "train")}
        metric = data.metric
    elif file is not None:
        rows = load_labelled(file, list(text_columns), label_column, kind, names)
        splits, metric = {Path(file).name: rows}, "spearman" if kind == "regression" else "accuracy"
    scores = {}
    for name, rows in splits.items():
        outputs = np.stack([row.numpy() for row in predictor.scores(split_texts(rows), progress)])
        predictions = outputs if kind == "regression" else outputs.argmax(axis=-1)
        scores[name] = compute(metric, predictions, np.asarray(rows["label"]))
    return {
        "model": str(model),
        "data": task or str(file),
        "metric": metric,
        "scores": scores,
        "rows": {name: len(rows) for name, rows in splits.items()},
    }
