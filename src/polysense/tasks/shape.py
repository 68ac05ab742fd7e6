"""The typical shape of an object: the shape part of ViComTe (Zhang et al., 2022), which MASE calls ObjectShape."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from polysense.errors import PolysenseError
from polysense.tasks.color import article
from polysense.tasks.labels import class_indices
from polysense.tasks.sources import DATA_VARIABLE, find_folder
from polysense.tasks.splitting import split_rows
from polysense.tasks.tables import Table, read_table
from polysense.tasks.task import Defaults, Task, TaskData, build_split

SHAPES = (
    "cross",
    "heart",
    "octagon",
    "oval",
    "polygon",
    "rectangle",
    "rhombus",
    "round",
    "semicircle",
    "square",
    "star",
    "triangle",
)
"""ViComTe's 12 shapes."""

TEMPLATE = "the shape of {}"
"""The sentence that asks for an object's shape; {} is the object with its article."""

FOLDERS = ("vicomte_shape", "shape")
SUFFIXES = (".jsonl.gz", ".jsonl")


def shape_question(name: str) -> str:
    """The sentence about one object, e.g. "egg" -> "the shape of an egg"."""
    return TEMPLATE.format(f"{article(name, '')} {name}")


class ShapeTask(Task):
    """Predict an object's typical shape, 12 classes.

    Splits: "train" and "validation", ViComTe's training objects without and with a tenth of them set aside by class;
    "test" is its test objects. The label is the most frequent shape in Visual Genome's descriptions ("obj").
    """

    name = "shape"
    label_names = SHAPES
    # As for colours, which are asked for in the same way; not chosen on these data.
    defaults: ClassVar[Defaults] = Defaults(epochs=12, method_learning_rate=1e-3)

    def load(self, data_dir: Path | None = None) -> TaskData:
        """All splits.

        Args:
            data_dir: the folder of `train.jsonl` and `test.jsonl` (maybe .gz) or its parent; by default
                `$POLYSENSE_DATA` and `../shared/data` beside the working directory or the source checkout.

        Raises:
            PolysenseError: the data are not on this machine (they have no licence and so do not ship), or not in the
                expected form.
        """
        folder = find_folder(FOLDERS, data_dir, lambda place: _file(place, "train") is not None)
        train, test = (_file(folder, split) if folder else None for split in ("train", "test"))
        if train is None or test is None:
            raise PolysenseError(
                f"shape: ViComTe's shape data are not on this machine: put mine-data/db/shape's train.jsonl and "
                f"test.jsonl (github.com/ChenyuHeidiZhang/VL-commonsense) into ${DATA_VARIABLE}/vicomte_shape/"
            )
        texts, labels = _questions(read_table(train))
        kept, held_out = split_rows(labels, "classification", 0.1, 0, str(train))
        parts = {"train": kept, "validation": held_out}
        splits = {
            name: build_split([[texts[i] for i in rows]], [labels[i] for i in rows], "classification")
            for name, rows in parts.items()
        }
        test_texts, test_labels = _questions(read_table(test))
        splits["test"] = build_split([test_texts], test_labels, "classification")
        return self.task_data(splits)


def _file(folder: Path, split: str) -> Path | None:
    return next((folder / f"{split}{suffix}" for suffix in SUFFIXES if (folder / f"{split}{suffix}").is_file()), None)


def _questions(table: Table) -> tuple[list[str], list[int]]:
    return [shape_question(name) for name in table.texts("sub")], class_indices(table, "obj", SHAPES)
