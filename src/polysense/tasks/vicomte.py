"""Typical properties of objects counted in Visual Genome: the data of ViComTe (Zhang et al., 2022)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polysense.errors import PolysenseError
from polysense.tasks.color_names import name_keys
from polysense.tasks.labels import class_indices
from polysense.tasks.objects import NamedObject
from polysense.tasks.sources import DATA_VARIABLE, find_folder
from polysense.tasks.tables import read_table

SUFFIXES = (".jsonl.gz", ".jsonl")

_ARTICLE = re.compile(r"^(?:a|an|the)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class VicomteObjects:
    """The objects of one property.

    Attributes:
        train: the training objects that are none of the test's under another spelling (see `object_keys`).
        test: the test objects, all.
        source: the training file.
        note: how many were left out of training.
    """

    train: list[NamedObject]
    test: list[NamedObject]
    source: str
    note: str


def vicomte_objects(
    attribute: str,
    folders: Sequence[str],
    label_names: Sequence[str],
    describe: Callable[[str], str],
    data_dir: Path | None = None,
) -> VicomteObjects:
    """ViComTe's training and test objects; the label is the most frequent property in the descriptions ("obj").

    ViComTe draws its parts by name, and Visual Genome spells many a name in several ways: "arm chair" is tested and
    "armchair" trained on. Such objects are left out of training.

    Args:
        attribute: "color" or "shape".
        folders: names of the folder of `train.jsonl` and `test.jsonl` (maybe .gz).
        label_names: the attribute's values.
        describe: the descriptor of a name.
        data_dir: that folder or its parent; None: the usual places.

    Raises:
        PolysenseError: the data are not on this machine (they have no licence and so do not ship), or not in the
            expected form.
    """
    folder = find_folder(folders, data_dir, lambda place: _file(place, "train") is not None)
    files = [_file(folder, split) if folder else None for split in ("train", "test")]
    parts = []
    for file in files:
        if file is None:
            raise PolysenseError(
                f"{attribute}: ViComTe's {attribute} data are not on this machine: put mine-data/db/{attribute}'s "
                "train.jsonl and test.jsonl (github.com/ChenyuHeidiZhang/VL-commonsense) into "
                f"${DATA_VARIABLE}/{folders[0]}/"
            )
        table = read_table(file)
        labels = class_indices(table, "obj", label_names)
        names = table.texts("sub")
        parts.append([NamedObject(name, describe(name), label) for name, label in zip(names, labels, strict=True)])
    things, tested = parts
    asked = {key for thing in tested for key in object_keys(thing.name)}
    train = [thing for thing in things if asked.isdisjoint(object_keys(thing.name))]
    left_out = f"{len(things) - len(train):,} of {len(things):,} objects are left out"
    note = f"{attribute} train: {left_out}, which are the test's under another spelling"
    return VicomteObjects(train, tested, str(files[0]), note)


def object_keys(name: str) -> frozenset[str]:
    """Two names that share a key are of one object: `name_keys` of the name without its article.

    That is, they are the same but for case, a leading "a", "an" or "the", spaces, hyphens, underscores and other signs,
    and a plural ending (-s, -es, -ies, -ves).
    """
    return name_keys(_ARTICLE.sub("", name.strip()))


def _file(folder: Path, split: str) -> Path | None:
    return next((folder / f"{split}{suffix}" for suffix in SUFFIXES if (folder / f"{split}{suffix}").is_file()), None)
