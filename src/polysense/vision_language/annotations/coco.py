"""COCO's captions and instances files (Lin et al., "Microsoft COCO: Common Objects in Context").

A picture is named by its image_id in decimal digits, e.g. "397133".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError
from polysense.vision_language.annotations.records import Record, read_json, records, write_json, written_name
from polysense.vision_language.examples import Caption
from polysense.vision_language.regions import Box

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Instances:
    """The annotated objects of pictures.

    Attributes:
        sizes: (width, height) in pixels of each picture.
        objects: box and category name of each picture's objects, in file order; a picture may have none.
        annotations: the picture and box of each annotation by its id, for files that refer to them.
        left_out: how many annotations have an empty box; they are in neither.
    """

    sizes: dict[str, tuple[int, int]]
    objects: dict[str, list[tuple[Box, str]]]
    annotations: dict[str, tuple[str, Box]]
    left_out: int = 0


def read_captions(file: Path | str) -> list[Caption]:
    """The captions of a COCO captions JSON, plain or gzipped, in file order.

    Raises:
        PolysenseError: the file is damaged or of another layout, a caption is empty, or an id is there twice.
    """
    seen: set[str] = set()
    captions = []
    for record in Record(str(file), read_json(file)).records("annotations"):
        if record.has("id"):
            record.new_name("id", seen)
        captions.append(Caption(record.name("image_id"), record.text("caption")))
    return captions


def write_captions(
    file: Path | str, captions: Iterable[Caption], sizes: Mapping[str, tuple[int, int]] | None = None
) -> None:
    """Write captions as a COCO captions JSON.

    Args:
        sizes: (width, height) of the pictures, for `images`; without it, `images` has ids alone.
    """
    captions = list(captions)
    names = dict.fromkeys([caption.picture for caption in captions]) if sizes is None else sizes
    write_json(
        file,
        {
            "images": [_image(name, None if sizes is None else sizes[name]) for name in names],
            "annotations": [
                {"id": number, "image_id": written_name(caption.picture), "caption": caption.text}
                for number, caption in enumerate(captions, 1)
            ],
        },
    )


def read_instances(file: Path | str) -> Instances:
    """The pictures' sizes and objects of a COCO instances JSON, plain or gzipped.

    Boxes [x, y, width, height] become corners. A box without area (COCO has a few) is left out, counted and logged.

    Raises:
        PolysenseError: the file is damaged or of another layout, an id is there twice, or an annotation refers to a
            picture or category that is not in the file.
    """
    content = Record(str(file), read_json(file))
    categories: dict[str, str] = {}
    seen: set[str] = set()
    for record in content.records("categories"):
        categories[record.new_name("id", seen)] = record.text("name")
    sizes = sizes_of(content)
    objects: dict[str, list[tuple[Box, str]]] = {picture: [] for picture in sizes}
    annotations: dict[str, tuple[str, Box]] = {}
    seen = set()
    for record in content.records("annotations"):
        identity, picture = record.new_name("id", seen), record.name("image_id")
        category, box = record.name("category_id"), record.corners("bbox")
        if picture not in sizes:
            raise PolysenseError(
                f"{record.where}, field 'image_id': {picture!r} is not among the file's images; mend it"
            )
        if category not in categories:
            raise PolysenseError(f"{record.where}, field 'category_id': there is no category {category!r}; mend it")
        if box[2] > box[0] and box[3] > box[1]:
            objects[picture].append((box, categories[category]))
            annotations[identity] = (picture, box)
    left_out = len(seen) - len(annotations)
    if left_out:
        _log.warning("%s: %d of %d annotations have an empty box and are left out", file, left_out, len(seen))
    return Instances(sizes, objects, annotations, left_out)


def write_instances(
    file: Path | str,
    sizes: Mapping[str, tuple[int, int]],
    objects: Mapping[str, Sequence[tuple[Box, str]]],
) -> dict[tuple[str, Box], int]:
    """Write objects as a COCO instances JSON.

    Args:
        sizes: (width, height) in pixels of each picture.
        objects: box (corners) and category name of each picture's objects.

    Returns:
        The annotation's id by (picture, box); of boxes that are there twice the first.

    Raises:
        PolysenseError: a picture with objects has no size.
    """
    if unsized := [picture for picture in objects if picture not in sizes]:
        raise PolysenseError(f"{file}: picture {unsized[0]!r} has objects but no size; give the sizes of all pictures")
    names = sorted({name for found in objects.values() for _, name in found})
    categories = {name: number for number, name in enumerate(names, 1)}
    ids: dict[tuple[str, Box], int] = {}
    annotations: list[dict[str, Any]] = []
    for picture, found in objects.items():
        for box, name in found:
            x1, y1, x2, y2 = map(float, box)
            number = len(annotations) + 1
            ids.setdefault((picture, (x1, y1, x2, y2)), number)
            annotations.append(
                {
                    "id": number,
                    "image_id": written_name(picture),
                    "category_id": categories[name],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    write_json(
        file,
        {
            "images": [_image(picture, size) for picture, size in sizes.items()],
            "categories": [{"id": number, "name": name} for name, number in categories.items()],
            "annotations": annotations,
        },
    )
    return ids


def read_sizes(file: Path | str) -> dict[str, tuple[int, int]]:
    """(width, height) in pixels by picture, from a COCO file with `images` or Visual Genome's image_data.json.

    Raises:
        PolysenseError: the file is damaged or of another layout, or a picture is there twice.
    """
    value = read_json(file)
    if isinstance(value, dict):
        return sizes_of(Record(str(file), value))
    return _sizes(records(str(file), value), "image_id")


def sizes_of(content: Record) -> dict[str, tuple[int, int]]:
    """(width, height) by picture of the `images` of a COCO file."""
    return _sizes(content.records("images"), "id")


def _sizes(images: Iterable[Record], field: str) -> dict[str, tuple[int, int]]:
    seen: set[str] = set()
    return {record.new_name(field, seen): (record.positive("width"), record.positive("height")) for record in images}


def _image(picture: str, size: tuple[int, int] | None) -> dict[str, Any]:
    image: dict[str, Any] = {"id": written_name(picture)}
    return image if size is None else image | {"width": size[0], "height": size[1]}
