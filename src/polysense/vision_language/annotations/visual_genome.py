"""Visual Genome's region descriptions, pictures and objects (Krishna et al., "Visual Genome").

A picture is named by its image_id in decimal digits, e.g. "2316634".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polysense.vision_language.annotations.records import read_json, records, write_json, written_name
from polysense.vision_language.examples import Caption
from polysense.vision_language.regions import Box

_log = logging.getLogger(__name__)


def read_region_captions(file: Path | str) -> list[Caption]:
    """The phrases of region_descriptions.json, plain or gzipped, as captions of their pictures, in file order.

    Blank phrases are left out; how many are is logged.

    Raises:
        PolysenseError: the file is damaged or of another layout, or a picture or region is there twice.
    """
    pictures: set[str] = set()
    regions: set[str] = set()
    captions = []
    for record in records(str(file), read_json(file)):
        picture = record.new_name("id", pictures)
        for region in record.records("regions"):
            region.new_name("region_id", regions)
            phrase = region.field("phrase")
            if not isinstance(phrase, str) or phrase.strip():
                captions.append(Caption(picture, region.text("phrase")))
    if blank := len(regions) - len(captions):
        _log.warning("%s: %d of %d phrases are blank and are left out", file, blank, len(regions))
    return captions


def write_region_captions(file: Path | str, captions: Iterable[Caption]) -> None:
    """Write captions in the layout of region_descriptions.json, grouped by picture; the regions have no boxes."""
    pictures: dict[str, list[dict[str, Any]]] = {}
    for number, caption in enumerate(captions, 1):
        region = {"region_id": number, "image_id": written_name(caption.picture), "phrase": caption.text}
        pictures.setdefault(caption.picture, []).append(region)
    write_json(file, [{"id": written_name(name), "regions": regions} for name, regions in pictures.items()])


def write_image_data(file: Path | str, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Write (width, height) by picture in the layout of image_data.json; `read_sizes` reads it."""
    write_json(
        file,
        [{"image_id": written_name(name), "width": width, "height": height} for name, (width, height) in sizes.items()],
    )


def read_objects(file: Path | str) -> dict[str, list[tuple[Box, str]]]:
    """Box (corners) and first name of each picture's objects, of objects.json, plain or gzipped.

    An object with an empty box or without a name is left out; how many are is logged.

    Raises:
        PolysenseError: the file is damaged or of another layout, or a picture is there twice.
    """
    pictures: set[str] = set()
    objects: dict[str, list[tuple[Box, str]]] = {}
    total = 0
    for record in records(str(file), read_json(file)):
        found = objects[record.new_name("image_id", pictures)] = []
        for thing in record.records("objects"):
            total += 1
            names = thing.items("names")
            if any(not isinstance(name, str) for name in names):
                raise thing.wrong("names", "a list of texts", names)
            x, y, width, height = (thing.number(side) for side in "xywh")
            if width > 0 and height > 0 and names and names[0].strip():
                found.append(((x, y, x + width, y + height), names[0].strip()))
    if left_out := total - sum(map(len, objects.values())):
        _log.warning("%s: %d of %d objects have no area or no name and are left out", file, left_out, total)
    return objects


def write_objects(file: Path | str, objects: Mapping[str, Sequence[tuple[Box, str]]]) -> None:
    """Write boxes (corners) and names by picture in the layout of objects.json."""
    number = 0
    rows = []
    for picture, found in objects.items():
        things = []
        for box, name in found:
            x1, y1, x2, y2 = map(float, box)
            number += 1
            things.append({"object_id": number, "names": [name], "x": x1, "y": y1, "w": x2 - x1, "h": y2 - y1})
        rows.append({"image_id": written_name(picture), "objects": things})
    write_json(file, rows)
