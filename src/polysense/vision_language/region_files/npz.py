"""Regions in NPZ files, one a picture: UNITER's layout, and that of bottom-up-attention.pytorch (MILVLG).

UNITER: features (R, W), norm_bb (R, 6 or 7) whose first four columns are the box as shares of the picture, conf (R,),
soft_labels (R, classes). The size of the picture is not in it. bottom-up-attention.pytorch: x (R, W), bbox (R, 4) in
pixels, num_bbox, image_h, image_w, and info, a pickled dictionary with objects_id and objects_conf.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from polysense.errors import PolysenseError
from polysense.unpacking import read_entry
from polysense.vision_language.region_files.object_names import ObjectNames
from polysense.vision_language.region_files.pickled_info import read_info
from polysense.vision_language.region_files.source import (
    LARGEST,
    RegionFile,
    Sizes,
    by_picture,
    bytes_held,
    finite,
    make_regions,
    size_of,
)
from polysense.vision_language.regions import Regions

# What zipfile raises of damaged files; a wrong byte may ask for another version or compression.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    OSError,
    RuntimeError,
    ValueError,
)
# What numpy raises of damaged arrays; their headers are read as Python's expressions.
_ARRAY_ERRORS = (
    ValueError,
    EOFError,
    OSError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    SyntaxError,
    TokenError,
)


class NpzRegions(RegionFile):
    """Regions of a folder with one NPZ a picture (pictures are named by `picture_name`).

    Args:
        sizes: (width, height) by picture; UNITER's layout needs it.
        object_names: of the detector's classes; without it there are no tags.

    Raises:
        PolysenseError: no such folder, no NPZ in it, or the first one is not of these layouts.
    """

    def __init__(self, path: Path, *, sizes: Sizes | None = None, object_names: ObjectNames | None = None) -> None:
        self._sizes = sizes
        self._object_names = object_names
        entries = by_picture(path, ((file.name, file.name) for file in sorted(path.glob("*.npz"))))
        first = path / next(iter(entries.values()))
        super().__init__(path, entries, width_of(first, first))

    def _read(self, picture: str, entry: str, /) -> Regions:
        return read_npz(self.path / entry, picture, self._sizes, self._object_names)


def width_of(source: Path | IO[bytes], where: object) -> int:
    """W of one NPZ.

    Raises:
        PolysenseError: it is damaged or of another layout.
    """
    try:
        arrays = _Arrays(source)
        features = finite("features", arrays.get("features" if arrays.has("features") else "x"), (None, None))
    except PolysenseError as error:
        raise PolysenseError(f"{where}: {error}") from None
    except MemoryError:
        raise PolysenseError(f"{where}: its regions do not fit into memory; extract the picture again") from None
    return features.shape[1]


def read_npz(source: Path | IO[bytes], picture: str, sizes: Sizes | None, object_names: ObjectNames | None) -> Regions:
    """The regions of one NPZ in either layout; errors do not name the file."""
    arrays = _Arrays(source)
    if arrays.has("norm_bb"):
        return _uniter(arrays, size_of(picture, sizes), object_names)
    if arrays.has("bbox"):
        return _bottom_up(arrays, object_names)
    raise PolysenseError(
        f"neither norm_bb nor bbox is in it (it has {', '.join(map(repr, sorted(arrays.members))) or 'nothing'}); "
        "give files of UNITER or bottom-up-attention.pytorch"
    )


def _uniter(arrays: _Arrays, size: tuple[int, int], object_names: ObjectNames | None) -> Regions:
    shares = finite("norm_bb", arrays.get("norm_bb"), (None, None)).astype(np.float32)
    if shares.shape[1] not in (4, 6, 7):
        raise PolysenseError(f"norm_bb has shape {shares.shape}; (regions, 6 or 7) is expected")
    if len(shares) and shares[:, :4].max() > 1.5:
        raise PolysenseError("norm_bb holds pixels; shares of the picture from 0 to 1 are expected")
    boxes = shares[:, :4] * np.array([*size, *size], dtype=np.float32)
    tags = None
    if object_names is not None:
        tags = object_names.of_scores(finite("soft_labels", arrays.get("soft_labels"), (len(shares), None)))
    scores = arrays.get("conf") if arrays.has("conf") else None
    # Half-precision shares are off by up to 1 / 2048 of the picture.
    return make_regions(arrays.get("features"), boxes, size, tags, scores, slack=max(2.0, max(size) / 1024))


def _bottom_up(arrays: _Arrays, object_names: ObjectNames | None) -> Regions:
    boxes = finite("bbox", arrays.get("bbox"), (None, 4))
    count, height, width = (_whole(name, arrays.get(name)) for name in ("num_bbox", "image_h", "image_w"))
    if count != len(boxes):
        raise PolysenseError(f"num_bbox is {count}, but there are {len(boxes)} boxes; extract the picture again")
    tags, scores = None, None
    if object_names is not None:
        info = read_info(arrays.content("info"), ("objects_id", "objects_conf"))
        if "objects_id" not in info:
            raise PolysenseError("info has no objects_id, so there are no tags; leave tag_names out")
        ids, scores = info["objects_id"], info.get("objects_conf")
        if ids.shape != (count,):
            raise PolysenseError(
                f"info, objects_id: shape {ids.shape} for {count} boxes; one number a region is expected"
            )
        tags = object_names.of_ids(ids, background=True)
    return make_regions(arrays.get("x"), boxes, (width, height), tags, scores)


def _whole(name: str, value: NDArray[Any]) -> int:
    if value.size != 1 or value.dtype.kind not in "iuf" or not float(value.item()).is_integer():
        raise PolysenseError(f"{name}: a whole number is expected; extract the picture again")
    return int(value.item())


class _Arrays:
    """The arrays of an NPZ, each read when it is asked for, and never unpickled."""

    def __init__(self, source: Path | IO[bytes]) -> None:
        # Read whole: a picture's file is small, and no handle stays open.
        try:
            if isinstance(source, Path) and source.stat().st_size > LARGEST:
                raise PolysenseError("over 1 GiB; one picture a file is expected")
            data = source.read_bytes() if isinstance(source, Path) else source.read()
        except OSError as error:
            raise PolysenseError(f"cannot be read ({error.strerror or error}); check the file and its rights") from None
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _ZIP_ERRORS as error:
            raise PolysenseError(f"not a whole NPZ ({error}); extract the picture again") from None
        self.members = {info.filename.removesuffix(".npy"): info for info in self._zip.infolist()}
        if sum(info.file_size for info in self.members.values()) > LARGEST:
            raise PolysenseError("over 1 GiB unpacked; one picture a file is expected")
        self._held = 0

    def has(self, name: str) -> bool:
        return name in self.members

    def content(self, name: str) -> bytes:
        if name not in self.members:
            raise PolysenseError(
                f"no array {name!r} (it has {', '.join(map(repr, sorted(self.members)))}); extract the picture again"
            )
        try:
            return read_entry(self._zip, self.members[name])
        except _ZIP_ERRORS as error:
            raise PolysenseError(f"array {name!r} is damaged ({error}); extract the picture again") from None

    def get(self, name: str) -> NDArray[Any]:
        try:
            array = np.lib.format.read_array(io.BytesIO(self.content(name)), allow_pickle=False)
        except _ARRAY_ERRORS as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise PolysenseError(f"array {name!r} is damaged ({reason}); extract the picture again") from None
        self._held += bytes_held(array.size, array.dtype)
        if self._held > LARGEST:
            raise PolysenseError(f"over 1 GiB as float32, array {name!r} included; one picture a file is expected")
        return np.asarray(array)
