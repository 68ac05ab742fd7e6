"""NLVR (Suhr, Lewis, Yeh and Artzi, ACL 2017): is a sentence true of a picture of flat shapes?

Its JSON lines have identifier, sentence, label, image and the *structured representation*, boxes: three grey boxes of
objects with x_loc, y_loc, size, type and color. A picture is 400 x 100 pixels; the grey boxes are 100 x 100, at x = 0,
150 and 300, and an object is the square of `size` whose top left corner is (x_loc, y_loc) of its grey box.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from polysense.errors import PolysenseError
from polysense.tasks.tables import Table, read_table
from polysense.vision_language.corpora.corpus import Corpus, corpus, corpus_folder
from polysense.vision_language.corpora.kept import kept_exact_regions
from polysense.vision_language.detection.extraction import Objects
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.examples import Question

SPLITS = ("dev", "test")
BOX_SIDE = 100
BOX_STEP = 150
"""Pixels from one grey box's left edge to the next one's."""
BOX_TAG = "box"
COLOURS = {"yellow": "yellow", "#0099ff": "blue", "black": "black"}


def load_nlvr(
    data_dir: Path | None = None, *, features: RegionFeatures | None = None, progress: bool = True
) -> Corpus[Question]:
    """The sentences as questions whose answers are "true" or "false", with exact regions.

    Each picture has a region for each grey box, with the tag "box", and one for each object, e.g. "yellow circle".
    Published: dev 989 and test 990 examples here (the first of six permutations); train's labels are not in the folder.
    For cross-validation, `corpus.folds(groups(questions), n)`.

    Args:
        data_dir: the folder `nlvr`, with dev.jsonl.gz, test.jsonl.gz and images.zip, or its parent.
        features: None: `RegionFeatures.pretrained()`.
        progress: show a bar while regions are computed, which happens once.

    Raises:
        PolysenseError: the data are not there or not in this form.
    """
    folder = corpus_folder("nlvr", data_dir, [*(f"{split}.jsonl.gz" for split in SPLITS), "images.zip"])
    splits: dict[str, list[Question]] = {}
    known: dict[str, Objects] = {}
    for split in SPLITS:
        table = read_table(folder / f"{split}.jsonl.gz")
        pictures = table.texts("image")
        answers = [_answer(table, row) for row in range(len(table))]
        splits[split] = [
            Question(identity, picture, text, (answer,) * 10)
            for identity, picture, text, answer in zip(
                table.texts("identifier"), pictures, table.texts("sentence"), answers, strict=True
            )
        ]
        known |= {picture: _objects(table, row) for row, picture in enumerate(pictures)}
    used = features if features is not None else RegionFeatures.pretrained()
    regions = kept_exact_regions("nlvr", folder / "images.zip", known, used, progress=progress)
    return corpus("nlvr", splits, regions)


def groups(questions: tuple[Question, ...]) -> list[str]:
    """The sentence that each example was written for: an identifier is "sentence-picture", 4 pictures a sentence."""
    return [question.identity.split("-")[0] for question in questions]


def _answer(table: Table, row: int) -> str:
    value = str(table.column("label")[row]).lower()
    if value not in ("true", "false"):
        raise PolysenseError(f"{table.where('label', [row])}: {value!r}; a label is true or false")
    return value


def _objects(table: Table, row: int) -> Objects:
    found: list[tuple[int, int, int, int]] = []
    tags: list[str] = []
    try:
        for index, things in enumerate(table.column("boxes")[row]):
            left = index * BOX_STEP
            found.append((left, 0, left + BOX_SIDE, BOX_SIDE))
            tags.append(BOX_TAG)
            for thing in things:
                x, y, size = left + int(thing["x_loc"]), int(thing["y_loc"]), int(thing["size"])
                found.append((x, y, x + size, y + size))
                tags.append(_tag(thing))
    except (KeyError, TypeError, ValueError) as error:
        raise PolysenseError(
            f"{table.where('boxes', [row])}: {type(error).__name__} {error}; "
            "give lists of objects with x_loc, y_loc, size, type and color"
        ) from None
    return Objects(np.array(found, dtype=np.float32).reshape(-1, 4), tags)


def _tag(thing: dict[str, Any]) -> str:
    return f"{COLOURS[str(thing['color']).lower()]} {thing['type']}"
