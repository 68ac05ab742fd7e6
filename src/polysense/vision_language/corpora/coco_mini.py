"""A few photos of COCO 2017 (Lin et al., ECCV 2014) with their captions and objects, at 224 pixels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polysense.errors import PolysenseError
from polysense.tasks.tables import Table, read_table
from polysense.vision_language.corpora.corpus import corpus, corpus_folder
from polysense.vision_language.corpora.flickr8k import captions_of
from polysense.vision_language.corpora.kept import kept_exact_regions
from polysense.vision_language.detection.extraction import Objects
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.examples import Caption, Expression
from polysense.vision_language.regions import RegionSource

ROWS, PHOTOS = "all.jsonl.gz", "images_224.zip"


@dataclass(frozen=True)
class CocoMini:
    """Captions, made expressions, and exact regions.

    Attributes:
        expressions: "the couch" for each object whose category occurs once in its photo, crowds counted as one.
    """

    captions: tuple[Caption, ...]
    expressions: tuple[Expression, ...]
    regions: RegionSource


def load_coco_mini(
    data_dir: Path | None = None, *, features: RegionFeatures | None = None, progress: bool = True
) -> CocoMini:
    """Photos with a region for each annotated object, crowds included; its tag is the category.

    Args:
        data_dir: the folder `coco_mini`, with all.jsonl.gz and images_224.zip, or its parent.
        features: None: `RegionFeatures.pretrained()`.
        progress: show a bar while regions are computed, which happens once.

    Raises:
        PolysenseError: the data are not there or not in this form.
    """
    folder = corpus_folder("coco_mini", data_dir, [ROWS, PHOTOS])
    table = read_table(folder / ROWS)
    captions: list[Caption] = []
    expressions: list[Expression] = []
    known: dict[str, Objects] = {}
    for row, picture in enumerate(table.texts("image")):
        captions += [Caption(picture, text) for text in captions_of(table, row)]
        known[picture] = found = _objects(table, row)
        times = Counter(found.tags)
        for i, (box, tag) in enumerate(zip(found.boxes.tolist(), found.tags, strict=True)):
            if times[tag] == 1:
                x1, y1, x2, y2 = box
                expressions.append(Expression(f"{picture}#{i}", picture, f"the {tag}", (x1, y1, x2, y2)))
    used = features if features is not None else RegionFeatures.pretrained()
    regions = kept_exact_regions("coco_mini", folder / PHOTOS, known, used, progress=progress)
    return CocoMini(
        corpus("coco_mini", {"all": captions}, regions).splits["all"],
        corpus("coco_mini", {"all": expressions}, regions).splits["all"],
        regions,
    )


def _objects(table: Table, row: int) -> Objects:
    try:
        things = table.column("objects")[row]
        boxes = np.array([thing["bbox_xywh"] for thing in things], dtype=np.float32).reshape(-1, 4)
        tags = [str(thing["category"]) for thing in things]
    except (KeyError, TypeError, ValueError) as error:
        raise PolysenseError(
            f"{table.where('objects', [row])}: {type(error).__name__} {error}; "
            "give objects with category and bbox_xywh, four numbers"
        ) from None
    boxes[:, 2:] += boxes[:, :2]
    return Objects(boxes, tags)
