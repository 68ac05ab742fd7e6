"""Regions in HDF5, in the layouts of bottom-up-attention-vqa (Hu et al.) and ban-vqa (Kim et al.), and our own.

"Adaptive": image_features (total, W), image_bb (total, 4) and pos_boxes (N, 2), the first and the last row + 1 of each
picture. "Fixed": image_features (N, K, W) and image_bb (N, K, 4). Either may have spatial_features, whose first four
columns are the box as shares of the picture. Our files are adaptive and also hold image_ids (N,), image_size (N, 2) =
width and height, tags (total,) = rows of tag_names or -1, and scores (total,).
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5z
from numpy.typing import NDArray

from polysense.errors import PolysenseError
from polysense.unpacking import TIMES, most_unpacked
from polysense.vision_language.annotations.plain_pickle import read_pickle
from polysense.vision_language.annotations.records import read_json
from polysense.vision_language.region_files.source import (
    PerProcess,
    RegionFile,
    Sizes,
    bytes_held,
    make_regions,
    picture_name,
    size_of,
)
from polysense.vision_language.regions import Regions

_FEATURES, _BOXES, _ROWS, _SHARES = "image_features", "image_bb", "pos_boxes", "spatial_features"
_BY_REGION = (_FEATURES, _BOXES, _SHARES, "tags", "scores")
_TEXTS = ("image_ids", "tag_names")
_PACKERS = {h5z.FILTER_DEFLATE, h5z.FILTER_LZF}  # LZF makes at most 88 bytes of one
_FILTERS = {*_PACKERS, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
_PER_PICTURE = 1024  # bytes of its name and place, and of what holds its parts
_MOST_OF_DEFLATE = 1032  # bytes that one may become


class Hdf5Regions(RegionFile):
    """Regions of an HDF5 file.

    Args:
        sizes: (width, height) by picture, where the file has no image_size; without either, the size is worked out
            from spatial_features.
        ids_file: JSON or pickle of {picture: row}, or JSON list of pictures in row order; used instead of image_ids.
        in_memory: read everything at once; quicker by far where it fits.

    Raises:
        PolysenseError: not HDF5, cut short, not of these layouts, in parts that lie in other files, or with datasets
            far larger than the file.
    """

    def __init__(
        self, path: Path, *, sizes: Sizes | None = None, ids_file: Path | str | None = None, in_memory: bool = False
    ) -> None:
        self._sizes = sizes
        self._in_memory = in_memory
        self._arrays: Mapping[str, Any] | None = None
        self._made: dict[int, Regions] = {}
        self._file = PerProcess(_open, path)
        try:
            file = self._file.get()
            _check_storage(path, file)
            features = _check_layout(path, file)
            rows = _rows(path, file, ids_file)
            self._ranges = _ranges(path, file, rows)
            self._image_size = file["image_size"][()] if "image_size" in file else None
            self._columns()
            self._tag_names = _texts(path, file["tag_names"]) if "tag_names" in file else []
        except (OSError, AttributeError, KeyError, RuntimeError, TypeError, ValueError, zlib.error) as error:
            raise PolysenseError(f"{path}: damaged HDF5 ({_line(error)}); fetch or write the file again") from None
        if self._image_size is not None and (
            self._image_size.ndim != 2 or self._image_size.shape[1] != 2 or len(self._image_size) <= max(rows.values())
        ):
            raise PolysenseError(
                f"{path}: image_size has shape {self._image_size.shape}; it needs one width and height a picture"
            )
        super().__init__(path, rows, features.shape[-1])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_arrays": None, "_made": {}}

    def _columns(self) -> Mapping[str, Any]:
        if not self._in_memory:
            return self._file.get()
        if self._arrays is None:
            file = self._file.get()
            try:
                self._arrays = {name: file[name][()] for name in _BY_REGION if name in file}
            except MemoryError:
                raise PolysenseError(f"{file.filename}: it does not fit into memory; leave in_memory out") from None
        return self._arrays

    def _read(self, picture: str, entry: int, /) -> Regions:
        if not self._in_memory:
            return self._cut(picture, entry)
        if entry not in self._made:  # checking a picture's regions takes longer than cutting them out
            self._made[entry] = self._cut(picture, entry)
        return self._made[entry]

    def _cut(self, picture: str, entry: int) -> Regions:
        try:
            columns = self._columns()
            if self._ranges is None:
                parts = {name: columns[name][entry] for name in _BY_REGION if name in columns}
            else:
                begin, end = (int(row) for row in self._ranges[entry])
                parts = {name: columns[name][begin:end] for name in _BY_REGION if name in columns}
        except (OSError, AttributeError, KeyError, RuntimeError, ValueError) as error:
            raise PolysenseError(f"damaged HDF5 ({_line(error)}); fetch or write the file again") from None
        boxes = parts[_BOXES]
        scores = parts.get("scores")
        if scores is not None and np.isnan(scores).all():  # written so where a picture has none
            scores = None
        return make_regions(parts[_FEATURES], boxes, self._size(picture, entry, parts), self._tags(parts), scores)

    def _size(self, picture: str, row: int, parts: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
        if self._image_size is not None:
            width, height = self._image_size[row]
            return int(width), int(height)
        if self._sizes is None and _SHARES in parts:
            return _worked_out_size(parts[_BOXES], parts[_SHARES])
        return size_of(picture, self._sizes)

    def _tags(self, parts: Mapping[str, NDArray[Any]]) -> list[str] | None:
        if "tags" not in parts:
            return None
        tags = parts["tags"]
        if tags.dtype.kind not in "iu" or tags.ndim != 1:
            raise PolysenseError(
                f"tags of {tags.dtype} in shape {tags.shape}; one row number of tag_names a region is expected"
            )
        if len(tags) and not -1 <= tags.min() <= tags.max() < len(self._tag_names):
            raise PolysenseError(f"a tag is not among the {len(self._tag_names)} tag_names; write the file again")
        return [self._tag_names[tag] if tag >= 0 else "" for tag in tags]


def _open(path: Path) -> Any:
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise PolysenseError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise PolysenseError(f"{path}: not a whole HDF5 file ({_line(error)}); fetch or write it again") from None


def _check_storage(path: Path, file: Any) -> None:
    """HDF5 can point at any file of the machine, and say of a few bytes that they are terabytes."""
    held = chunk = 0
    most = most_unpacked(path.stat().st_size)
    for name in (*_BY_REGION, _ROWS, "image_size", *_TEXTS):
        part = file.get(name)
        if not isinstance(part, h5py.Dataset):
            continue
        if part.external or part.is_virtual or part.file.filename != file.filename:
            raise PolysenseError(f"{path}: {name} lies in another file, which is not read; write all into one file")
        if part.dtype.hasobject and name not in _TEXTS:
            raise PolysenseError(f"{path}: {name} holds values of any length, not numbers; write the file again")
        filters = _filters(part)
        if not _FILTERS.issuperset(filters) or sum(code in _PACKERS for code in filters) > 1:
            raise PolysenseError(f"{path}: {name} is packed in a way that is not read; write it with gzip or unpacked")
        held += bytes_held(part.size, part.dtype) + (_PER_PICTURE * part.size if name == "image_ids" else 0)
        chunk = max(chunk, _largest_chunk(part, most))  # one at a time is unpacked
    if held + chunk > most:
        raise _too_large(path, held + chunk)


def _too_large(path: Path, held: int) -> PolysenseError:
    return PolysenseError(
        f"{path}: {path.stat().st_size / 2**20:.3g} MiB that unpack to {held / 2**30:.3g} GiB, over {TIMES} times as "
        "much, as no features do; fetch or write the file again"
    )


def _filters(part: Any) -> list[int]:
    settings = part.id.get_create_plist()
    return [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]


def _largest_chunk(part: Any, most: int) -> int:
    """Bytes of the largest chunk, as its shape says or as it unpacks; from `most` on, no more are counted."""
    if part.chunks is None:
        return 0
    filters = _filters(part)
    largest = math.prod(part.chunks) * part.dtype.itemsize
    if h5z.FILTER_DEFLATE in filters:
        # HDF5 unpacks all that is there, whatever the shape. Most chunks are too small to be looked into.
        mask = 1 << filters.index(h5z.FILTER_DEFLATE)
        large: list[Any] = []
        part.id.chunk_iter(lambda chunk: large.append(chunk) if chunk.size * _MOST_OF_DEFLATE > most else None)
        for chunk in large:
            if not chunk.filter_mask & mask:
                largest = max(largest, _inflated(part.id.read_direct_chunk(chunk.chunk_offset)[1], most))
    return largest


def _inflated(packed: bytes, most: int) -> int:
    unpacking = zlib.decompressobj()
    count = 0
    while packed and not unpacking.eof and count <= most:
        count += len(unpacking.decompress(packed, 2**20))
        packed = unpacking.unconsumed_tail
    return count


def _texts(path: Path, part: Any) -> list[str]:
    """The texts of a dataset; of those of any length, all may be the same one in the file."""
    if part.ndim != 1:
        raise ValueError(f"texts of shape {part.shape}")
    kind = h5py.check_string_dtype(part.dtype)
    if kind is None:
        raise ValueError(f"{part.name} holds {part.dtype}, not texts")
    most, view = most_unpacked(path.stat().st_size), part.asstr()
    # Each text may be as long as the file.
    at_once = max(1, len(part) if kind.length else most // path.stat().st_size)
    texts: list[str] = []
    held = 0
    for begin in range(0, len(part), at_once):
        texts += view[begin : begin + at_once].tolist()
        held += sum(map(sys.getsizeof, texts[begin:]))
        if held > most:
            raise _too_large(path, held)
    return texts


def _check_layout(path: Path, file: Any) -> Any:
    for name in (_FEATURES, _BOXES):
        if not isinstance(file.get(name), h5py.Dataset):
            raise PolysenseError(
                f"{path}: no dataset {name!r} (it has {', '.join(map(repr, sorted(file))) or 'none'}); "
                "give a file of bottom-up attention features"
            )
    features, boxes = file[_FEATURES], file[_BOXES]
    adaptive = _ROWS in file
    if features.ndim != (2 if adaptive else 3) or boxes.shape != (*features.shape[:-1], 4) or features.shape[-1] < 1:
        expected = "(total, W) and (total, 4)" if adaptive else f"(N, K, W) and (N, K, 4), or a dataset {_ROWS!r}"
        raise PolysenseError(
            f"{path}: {_FEATURES} has shape {features.shape} and {_BOXES} {boxes.shape}; expected are {expected}"
        )
    for name in _BY_REGION:
        if name in file and file[name].shape[: features.ndim - 1] != features.shape[:-1]:
            raise PolysenseError(
                f"{path}: {name} has shape {file[name].shape} for {_FEATURES} {features.shape}; write the file again"
            )
    return features


def _rows(path: Path, file: Any, ids_file: Path | str | None) -> dict[str, int]:
    if ids_file is not None:
        rows = _rows_of_ids(Path(ids_file).expanduser())
        source = str(ids_file)
    elif "image_ids" in file:
        ids = file["image_ids"]
        names = ids[()].tolist() if ids.dtype.kind in "iu" else _texts(path, ids)
        rows = {str(name): row for row, name in enumerate(names)}
        source = f"{path}, image_ids"
        if len(rows) < len(names):
            raise PolysenseError(f"{source}: a picture is there twice; write the file again")
    else:
        raise PolysenseError(
            f"{path}: the file does not name its pictures; give ids_file= (e.g. train36_imgid2idx.pkl)"
        )
    count = file[_ROWS].shape[0] if _ROWS in file else file[_FEATURES].shape[0]
    if not rows:
        raise PolysenseError(f"{source}: there are no pictures in it")
    if not 0 <= min(rows.values()) <= max(rows.values()) < count:
        raise PolysenseError(
            f"{source}: a picture's row is not among the {count} rows of {path}; give files that belong together"
        )
    return rows


def _rows_of_ids(file: Path) -> dict[str, int]:
    value = read_pickle(file) if file.suffix.lower() in (".pkl", ".p", ".pickle") else read_json(file)
    if isinstance(value, list):
        value = {name: row for row, name in enumerate(value)} if all(isinstance(n, (str, int)) for n in value) else None
    if not isinstance(value, dict) or any(
        not isinstance(name, (str, int)) or not isinstance(row, int) or isinstance(row, bool)
        for name, row in value.items()
    ):
        raise PolysenseError(f"{file}: a mapping of picture to row is expected, or a list of pictures; check the file")
    rows = {picture_name(str(name)): row for name, row in value.items()}
    if len(rows) < len(value):
        raise PolysenseError(f"{file}: a picture is there twice; take one of the two out")
    return rows


def _ranges(path: Path, file: Any, rows: Mapping[str, int]) -> NDArray[np.int64] | None:
    if _ROWS not in file:
        return None
    ranges: NDArray[np.int64] = file[_ROWS][()].astype(np.int64)
    if ranges.ndim != 2 or ranges.shape[1] != 2:
        raise PolysenseError(f"{path}: {_ROWS} has shape {ranges.shape}; (pictures, 2) is expected")
    used = ranges[list(rows.values())]
    total = file[_FEATURES].shape[0]
    bad = (used[:, 0] < 0) | (used[:, 1] < used[:, 0]) | (used[:, 1] > total)
    if bad.any():
        worst = int(bad.argmax())
        raise PolysenseError(
            f"{path}, picture {list(rows)[worst]!r}: its rows {used[worst, 0]} to {used[worst, 1]} are not among the "
            f"{total} of {_FEATURES}; fetch or write the file again"
        )
    # Names may share a picture, but pictures no rows: each has a copy of its own in memory.
    used = ranges[np.unique(list(rows.values()))]
    if (used[:, 1] - used[:, 0]).sum(dtype=float) > total:
        raise PolysenseError(
            f"{path}: some of the {total} rows of {_FEATURES} are of several pictures; fetch or write the file again"
        )
    return ranges


def _worked_out_size(boxes: NDArray[Any], shares: NDArray[Any]) -> tuple[int, int]:
    boxes, shares = boxes.astype(np.float64), shares.astype(np.float64)
    if shares.ndim == 2 and shares.shape[1] >= 4 and len(shares):
        far, far_shares = boxes[:, 2:4], shares[:, 2:4]
        size = (far * far_shares).sum(axis=0) / np.maximum((far_shares**2).sum(axis=0), 1e-12)
        # Shares of half precision are off by up to 1 / 2048.
        if (
            np.isfinite(size).all()
            and (np.abs(np.tile(size, 2) * shares[:, :4] - boxes) <= 1 + size.max() / 1024).all()
        ):
            return max(1, round(size[0])), max(1, round(size[1]))
    raise PolysenseError(
        f"the picture's size cannot be worked out from {_SHARES}; give sizes= (a COCO file with images)"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
