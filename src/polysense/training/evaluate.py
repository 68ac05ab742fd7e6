"""The verb `evaluate`: a model in a folder on a task or a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.tasks import Kind, TaskData, get_task, load_labelled
from polysense.tasks.files import METRICS_OF
from polysense.tasks.prompts import prompted
from polysense.training.data import has_pairs, split_texts
from polysense.training.predict import Predictor

_TEXTS = {True: "pairs of texts", False: "single texts"}


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
        file: the user's own rows with labels, in the form that such a model is trained on; classes must be the model's.

    Returns:
        {"model", "data", "metric", "metrics", "scores": {split: 0 to 1}, "rows": {split: count}, "notes": what has to
        be said of the data}.

    Raises:
        PolysenseError: neither or both of task and file are given, a split of a file is, the split has no labels, or
            the kinds or the texts differ.
    """
    if (task is None) == (file is None):
        raise PolysenseError("give either a task by name or a file with labels (--task or --file)")
    if file is not None and split is not None:
        raise PolysenseError(f"--split {split} is of a task: a file is scored whole; leave it out")
    predictor = Predictor.load(model, batch_size, store)
    if task is not None:
        data, splits = _of_task(predictor, str(model), task, split, Path(data_dir) if data_dir else None)
    else:
        data = _of_file(predictor, str(model), Path(str(file)), list(text_columns), label_column)
        splits = data.splits
    scores: dict[str, float] = {}
    for name, found in splits.items():
        samples = predictor.problem.rows(found, predictor.processor, by_length=True)
        predictor.processor.look_ahead(split_texts(found))
        outputs = predictor.outputs(samples, progress)
        scores |= data.scores(name, predictor.problem.score(data, samples, outputs, predictor.model.config))
    return {
        "model": str(model),
        "data": task or str(file),
        "metric": data.metric,
        "metrics": list(data.metrics),
        "scores": scores,
        "rows": {name: len(rows) for name, rows in splits.items()},
        "notes": list(data.notes),
    }


def check_labels(predictor: Predictor, model: str, data: TaskData) -> None:
    """Whether a model answers what a task asks.

    Args:
        model: what errors call it.

    Raises:
        PolysenseError: it does not: the kinds or the classes differ, or one has pairs of texts and the other has none.
    """
    kind = predictor.kind if predictor.prompt is None else "classification"
    if data.kind != kind:
        raise PolysenseError(f"{model} was trained for {kind}; the task {data.name} is one of {data.kind}")
    names = predictor.label_names
    if names is not None and data.label_names != names:
        known, asked = (", ".join(of or ()) for of in (names, data.label_names))
        raise PolysenseError(f"{model} was trained on the labels {known}; those of the task {data.name} are {asked}")
    pairs = has_pairs(next(iter(data.splits.values())))
    if predictor.has_pair not in (None, pairs):
        trained, asked = (_TEXTS[given] for given in (not pairs, pairs))
        raise PolysenseError(
            f"{model} was trained on {trained}; the task {data.name} is one of {asked}: give a task of {trained}"
        )


def _of_task(
    predictor: Predictor, model: str, task: str, split: str | None, data_dir: Path | None
) -> tuple[TaskData, dict[str, Dataset]]:
    """A task's data, and the splits of them that are scored."""
    data = get_task(task).load(data_dir)
    check_labels(predictor, model, data)
    if predictor.prompt is not None:
        data = prompted(data, predictor.prompt)
    if split is not None and split not in data.labelled:
        raise PolysenseError(f"task {task} has no labelled split {split!r}: one of {', '.join(data.labelled)}")
    return data, {n: rows for n, rows in data.labelled.items() if (n == split if split else n != "train")}


def _of_file(predictor: Predictor, model: str, file: Path, text_columns: list[str], label_column: str) -> TaskData:
    """A file as the data of a task with one split, called like the file."""
    names, prompt = predictor.label_names, predictor.prompt
    kind: Kind = predictor.kind if prompt is None else "classification"
    rows, notes = load_labelled(file, text_columns, label_column, kind, names)
    has_pair = has_pairs(rows)
    if predictor.has_pair not in (None, has_pair):
        raise PolysenseError(
            f"{model} was trained on {_TEXTS[not has_pair]}: give --text-column {'once' if has_pair else 'twice'}"
        )
    data = TaskData(file.name, kind, {file.name: rows}, names, METRICS_OF[kind], has_pair, notes)
    return data if prompt is None else prompted(data, prompt)
