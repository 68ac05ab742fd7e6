"""The typical shape of an object: the shape part of ViComTe (Zhang et al., 2022), which MASE calls ObjectShape."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from polysense.tasks.color import article
from polysense.tasks.objects import NamedObject, ObjectTask
from polysense.tasks.splitting import split_rows
from polysense.tasks.task import Defaults
from polysense.tasks.vicomte import vicomte_objects

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


def shape_question(name: str) -> str:
    """The sentence about one object, e.g. "egg" -> "the shape of an egg"."""
    return TEMPLATE.format(f"{_descriptor(name)} {name}")


class ShapeTask(ObjectTask):
    """Predict an object's typical shape, 12 classes.

    Splits: "train" and "validation", ViComTe's training objects without what is in its test part under another
    spelling, without and with a tenth of them set aside by class; "test" is its test objects. The label is the most
    frequent shape in Visual Genome's descriptions ("obj").
    """

    name = "shape"
    attribute = "shape"
    template = TEMPLATE
    label_names = SHAPES
    # As for colours, which are asked for in the same way; not chosen on these data.
    defaults: ClassVar[Defaults] = Defaults(epochs=12, method_learning_rate=1e-3)

    def objects(self, data_dir: Path | None = None) -> tuple[dict[str, list[NamedObject]], list[str]]:
        found = vicomte_objects(self.attribute, FOLDERS, SHAPES, _descriptor, data_dir)
        kept, held_out = split_rows([thing.label for thing in found.train], "classification", 0.1, 0, found.source)
        train = {"train": [found.train[i] for i in kept], "validation": [found.train[i] for i in held_out]}
        return {**train, "test": found.test}, [found.note]


def _descriptor(name: str) -> str:
    return article(name, "")
