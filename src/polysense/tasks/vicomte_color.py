"""The typical colour of an object, in Visual Genome's descriptions: the colour part of ViComTe (Zhang et al., 2022)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import ClassVar

from polysense.tasks.color import (
    COLORS,
    TEMPLATE,
    american_colors,
    article,
    coda_names,
    coda_objects,
    memory_color_objects,
)
from polysense.tasks.color_names import is_in_color_terms, is_in_memory_color, name_keys
from polysense.tasks.objects import NamedObject, ObjectTask
from polysense.tasks.sources import find_folder
from polysense.tasks.splitting import split_rows
from polysense.tasks.tables import Table, read_table
from polysense.tasks.task import Defaults
from polysense.tasks.vicomte import vicomte_objects

VICOMTE_COLORS = tuple(sorted((*COLORS, "silver")))
"""ViComTe's 12 colours; MemoryColor's and ColorTerms' are among them."""

FOLDERS = ("vicomte_color",)
COLOR_TERMS_FOLDERS = ("color_terms",)
COLOR_TERMS_FILES = ("all.jsonl.gz", "all.jsonl", "color-concrete-objects.csv")


class ColorTask(ObjectTask):
    """Predict an object's typical colour, 12 classes.

    Splits: "train" and "validation", ViComTe's training objects without MemoryColor's, ColorTerms' and what is
    in its test part under another spelling, without and with a tenth of them set aside by class; "test" is its test
    objects; "memory_color" is MemoryColor's 109 objects
    (Norlund et al., 2021) and "color_terms" ColorTerms' 52 (Bruni et al., 2012), each where it is on this machine.
    The label is the most frequent colour.
    """

    name = "color"
    attribute = "color"
    template = TEMPLATE
    label_names = VICOMTE_COLORS
    # As for CoDa, whose sentences these are; not chosen on these data.
    defaults: ClassVar[Defaults] = Defaults(epochs=12, method_learning_rate=1e-3)

    def objects(self, data_dir: Path | None = None) -> tuple[dict[str, list[NamedObject]], list[str]]:
        found = vicomte_objects(self.attribute, FOLDERS, VICOMTE_COLORS, descriptor, data_dir)
        seen = [
            thing
            for thing in found.train
            if not is_in_memory_color([thing.name]) and not is_in_color_terms([thing.name])
        ]
        kept, held_out = split_rows([thing.label for thing in seen], "classification", 0.1, 0, found.source)
        splits = {"train": [seen[i] for i in kept], "validation": [seen[i] for i in held_out], "test": found.test}
        left_out = f"{len(found.train) - len(seen):,} of {len(found.train):,} others are left out"
        notes = [found.note, f"color train: {left_out}, which are MemoryColor's or ColorTerms'"]
        others = {
            "memory_color": ("MemoryColor", memory_color_objects(VICOMTE_COLORS, data_dir)),
            "color_terms": ("ColorTerms", color_terms_objects(data_dir)),
        }
        for split, (title, things) in others.items():
            if things is None:
                notes.append(f"color: {title} is not on this machine, so there is no such split")
            else:
                splits[split] = things
        return splits, notes


def color_terms_objects(data_dir: Path | None = None) -> list[NamedObject] | None:
    """ColorTerms' objects, or None where the data set is not on this machine.

    Args:
        data_dir: its folder or that folder's parent; None: the usual places. The file is VaLM's
            `color-concrete-objects.csv` (object, color), or JSON lines of item and label.

    Raises:
        PolysenseError: `data_dir` is no folder, or the file is not in the expected form.
    """
    folder = find_folder(COLOR_TERMS_FOLDERS, data_dir, lambda place: _color_terms_file(place) is not None)
    path = _color_terms_file(folder) if folder is not None else None
    if path is None:
        return None
    table = read_table(path)
    if path.suffix == ".csv":
        columns = {"item": table.column("object"), "label": table.column("color")}
        table = Table(table.source, columns, table.lines)
    rows = zip(table.texts("item"), american_colors(table, VICOMTE_COLORS), strict=True)
    return [NamedObject(name, descriptor(name), label) for name, label in rows]


def descriptor(name: str) -> str:
    """ "a" or "an", or nothing for what CoDa knows as something that is not counted (snow) or has no singular."""
    return "" if name_keys(name) & _uncounted() else article(name, "")


@cache
def _uncounted() -> frozenset[str]:
    things = (thing for thing in coda_objects() if not article(thing["singular"], thing["plural"]))
    return frozenset(key for thing in things for name in coda_names(thing) for key in name_keys(name))


def _color_terms_file(folder: Path) -> Path | None:
    return next((folder / name for name in COLOR_TERMS_FILES if (folder / name).is_file()), None)
