"""The typical colour of an object: CoDa (Paik et al., 2021) to train on, MemoryColor (Norlund et al., 2021) to test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from datasets import Dataset

from polysense.tasks.color_names import is_in_memory_color
from polysense.tasks.labels import class_indices
from polysense.tasks.sources import find_folder
from polysense.tasks.tables import Table, read_table
from polysense.tasks.task import Defaults, Task, TaskData, build_split

COLORS = ("black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow")
"""The 11 colours of both data sets, in CoDa's order."""

TEMPLATE = "the color of {}"
"""The sentence that asks for an object's colour; {} is the object with its descriptor."""

MEMORY_COLOR_FOLDERS = ("memory_color", "memory_colors")
MEMORY_COLOR_FILES = ("all.jsonl.gz", "memory_colors.jsonl", "memory_colors.jsonl.gz", "all.jsonl")


def color_question(name: str, descriptor: str = "") -> str:
    """The sentence about one object, e.g. ("banana", "a") -> "the color of a banana"."""
    return TEMPLATE.format(f"{descriptor} {name}".strip())


@cache
def coda_objects() -> tuple[dict[str, Any], ...]:
    """CoDa's 521 objects as they ship with the package.

    Each has class_id, ngram, singular (or None), plural, split ("train", "dev" or "test") and colors (the share of
    each of `COLORS` in the annotators' ratings). `data/README.md` names the sources.
    """
    text = (files("polysense.tasks") / "data" / "coda_objects.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())


def most_frequent_color(colors: dict[str, float]) -> int:
    """Index into `COLORS` of the colour with the largest share; of equal ones the first."""
    return max(range(len(COLORS)), key=lambda index: colors[COLORS[index]])


def article(singular: str | None, plural: str) -> str:
    """ "a" or "an" for what can be counted, else "": the descriptor that MemoryColor gives such objects."""
    if singular is None or singular == plural:
        return ""
    return "an" if singular[0] in "aeiou" and not singular.startswith(("uni", "eu")) else "a"


class CodaTask(Task):
    """Predict an object's typical colour, 11 classes.

    Splits: "train" and "validation" are CoDa's train and development objects without MemoryColor's, under any of
    their names; "coda_test" is the whole of CoDa's test objects; "memory_color" is MemoryColor's 109 objects, with
    its descriptors, where the data set is on this machine. The label is the most frequent colour.
    """

    name = "coda"
    label_names = COLORS
    # Three epochs of so few objects are a handful of steps. Chosen by cross-validation on the train and development
    # objects, for text alone and MaCSC alike: 12 epochs against 25, 1e-3 against 1e-4 for the new layers.
    defaults: ClassVar[Defaults] = Defaults(epochs=12, method_learning_rate=1e-3)

    def load(self, data_dir: Path | None = None) -> TaskData:
        """All splits.

        Args:
            data_dir: MemoryColor's folder or its parent; by default `$POLYSENSE_DATA` and `../shared/data` beside the
                working directory or the source checkout are looked at. CoDa itself ships with the package.

        Raises:
            PolysenseError: `data_dir` is no folder, or MemoryColor's file is not in the expected form.
        """
        seen = [thing for thing in coda_objects() if not is_in_memory_color(_names(thing))]
        splits = {
            "train": _coda_split([thing for thing in seen if thing["split"] == "train"]),
            "validation": _coda_split([thing for thing in seen if thing["split"] == "dev"]),
            "coda_test": _coda_split([thing for thing in coda_objects() if thing["split"] == "test"]),
        }
        folder = find_folder(MEMORY_COLOR_FOLDERS, data_dir, lambda place: _memory_color_file(place) is not None)
        path = _memory_color_file(folder) if folder is not None else None
        if path is None:
            return self.task_data(splits, ["coda: MemoryColor is not on this machine, so there is no such split"])
        splits["memory_color"] = _memory_color_split(read_table(path))
        return self.task_data(splits)


def _names(thing: dict[str, Any]) -> list[str]:
    return [name for name in (thing["singular"], thing["plural"], thing["ngram"]) if name]


def _coda_split(things: Sequence[dict[str, Any]]) -> Dataset:
    texts = [
        color_question(thing["singular"] or thing["plural"], article(thing["singular"], thing["plural"]))
        for thing in things
    ]
    return build_split([texts], [most_frequent_color(thing["colors"]) for thing in things], "classification")


def _memory_color_file(folder: Path) -> Path | None:
    return next((folder / name for name in MEMORY_COLOR_FILES if (folder / name).is_file()), None)


def _memory_color_split(table: Table) -> Dataset:
    texts = [
        color_question(item, descriptor)
        for item, descriptor in zip(table.texts("item"), table.texts("descriptor"), strict=True)
    ]
    american = ["gray" if label == "grey" else label for label in table.column("label")]
    named = Table(table.source, {**table.columns, "label": american}, table.lines)
    return build_split([texts], class_indices(named, "label", COLORS), "classification")
