"""Regions in TSV, one line a picture with base64 arrays, as bottom-up-attention (Anderson et al.) and LXMERT publish.

bottom-up-attention: image_id, image_w, image_h, num_boxes, boxes, features. LXMERT: img_id, img_h, img_w, objects_id,
objects_conf, attrs_id, attrs_conf, num_boxes, boxes, features; class 0 of objects_id is the first name, background is
not counted. Neither has a header; a line of these names is taken as one. Boxes, features and objects_conf are float32,
objects_id int64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polysense.cache import cache_folder
from polysense.errors import PolysenseError
from polysense.vision_language.annotations.records import reading, writing
from polysense.vision_language.region_files.object_names import ObjectNames
from polysense.vision_language.region_files.source import RegionFile, by_picture, make_regions
from polysense.vision_language.regions import Regions

_PLAIN = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
_LXMERT = (
    "img_id",
    "img_h",
    "img_w",
    "objects_id",
    "objects_conf",
    "attrs_id",
    "attrs_conf",
    "num_boxes",
    "boxes",
    "features",
)
_LONGEST = 2**28  # bytes of one line; 100 regions of 2,048 float32 are 1.1 MB


class TsvRegions(RegionFile):
    """Regions of a TSV file; opening it reads it once for the places of the lines (pictures: `picture_name`).

    Args:
        path: plain or gzipped; a gzipped file is unpacked into the cache folder once, since it cannot be read by place.
        object_names: of the detector's classes; without it there are no tags.

    Raises:
        PolysenseError: no such file, broken gzip, a line with another number of fields, or a picture is there twice.
    """

    def __init__(self, path: Path, *, object_names: ObjectNames | None = None) -> None:
        self._object_names = object_names
        plain = _unpacked(path)
        self._fields: tuple[str, ...] = ()
        entries = by_picture(path, self._lines(path, plain))
        if object_names is not None and "objects_id" not in self._fields:
            raise PolysenseError(f"{path}: it has no objects_id, so there are no tags; leave tag_names out")
        self._plain = plain
        super().__init__(path, entries, 0)
        # A picture without regions does not tell the width.
        self._width = next(filter(None, (self._named(name).features.shape[1] for name in entries)), 0)

    def _lines(self, path: Path, plain: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
        """Each line's first field, with its number from 1, its place and its length in bytes."""
        place = 0
        with reading(plain) as stream:
            number = 0
            while line := stream.readline(_LONGEST):
                number += 1
                here, place = place, place + len(line)
                if not line.strip():
                    continue
                count = line.count(b"\t") + 1
                first = line.split(b"\t", 1)[0].decode("utf-8", "replace").strip().strip('"')
                if not self._fields:
                    self._fields = _PLAIN if count == len(_PLAIN) else _LXMERT
                    if first in ("image_id", "img_id"):
                        self._fields = self._header(path, line)
                        continue
                if count != len(self._fields):
                    raise PolysenseError(
                        f"{path}, line {number}: {count} fields where {len(self._fields)} are expected; "
                        "the file is cut short or of another layout: fetch it again"
                    )
                yield first, (number, here, len(line))

    @staticmethod
    def _header(path: Path, line: bytes) -> tuple[str, ...]:
        fields = tuple(field.strip() for field in line.decode("utf-8", "replace").split("\t"))
        if missing := [name for name in ("num_boxes", "boxes", "features") if name not in fields]:
            raise PolysenseError(f"{path}, line 1: the header has no {missing[0]}; give a TSV of bottom-up attention")
        return fields

    def _read(self, _: str, entry: tuple[int, int, int], /) -> Regions:
        number, place, length = entry
        with reading(self._plain) as stream:
            stream.seek(place)
            line = stream.read(length)
        fields = dict(zip(self._fields, line.decode("utf-8", "replace").rstrip("\r\n").split("\t"), strict=False))
        try:
            return self._regions(fields)
        except PolysenseError as error:
            raise PolysenseError(f"line {number}: {error}") from None

    def _regions(self, fields: dict[str, str]) -> Regions:
        plain = "image_id" in fields
        width = _whole(fields, "image_w" if plain else "img_w")
        height = _whole(fields, "image_h" if plain else "img_h")
        count = _whole(fields, "num_boxes")
        boxes = _array(fields, "boxes", np.float32)
        features = _array(fields, "features", np.float32)
        if boxes.size != 4 * count or (features.size % count if count else features.size):
            raise PolysenseError(
                f"{boxes.size} numbers in boxes and {features.size} in features do not fit num_boxes {count}; "
                "extract the picture again"
            )
        columns = features.size // count if count else self._width
        tags, scores = None, None
        if "objects_conf" in fields:
            scores = _array(fields, "objects_conf", np.float32)
        if self._object_names is not None:
            tags = self._object_names.of_ids(_array(fields, "objects_id", np.int64), background=False)
            if len(tags) != count:
                raise PolysenseError(
                    f"{len(tags)} classes in objects_id for num_boxes {count}; extract the picture again"
                )
        return make_regions(features.reshape(count, columns), boxes.reshape(count, 4), (width, height), tags, scores)


def _unpacked(path: Path) -> Path:
    """The file itself, or where a gzipped one is kept unpacked."""
    with reading(path) as stream:
        if stream.seekable():  # which no stream of unpacked bytes is
            return path
        known = path.stat()
        key = hashlib.sha256(f"{path.absolute()}\n{known.st_size}\n{known.st_mtime_ns}".encode()).hexdigest()[:16]
        plain = cache_folder() / "region_files" / f"{path.name.removesuffix('.gz')}.{key}"
        if not plain.exists():
            with writing(plain) as target:
                shutil.copyfileobj(stream, target, 2**20)
    return plain


def _whole(fields: dict[str, str], name: str) -> int:
    text = fields.get(name, "")
    try:
        value = float(text)
        if value == int(value) and value >= 0:
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise PolysenseError(f"{name}: a whole number is expected, not {text[:40]!r}; extract the picture again")


def _array(fields: dict[str, str], name: str, kind: Any) -> NDArray[Any]:
    try:
        data = base64.b64decode(fields.get(name, ""), validate=True)
        return np.frombuffer(data, np.dtype(kind).newbyteorder("<"))
    except (binascii.Error, ValueError) as error:
        raise PolysenseError(
            f"{name}: broken base64 of {np.dtype(kind)} ({error}); the line is damaged: extract the picture again"
        ) from None
