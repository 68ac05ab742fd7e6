"""What the sources of precomputed regions share: finding a picture, checking its regions, and file handles."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from polysense.errors import PolysenseError
from polysense.tasks.tables import near
from polysense.vision_language.annotations.coco import read_sizes
from polysense.vision_language.regions import Regions, inside

Sizes = Mapping[str, tuple[int, int]]
"""(width, height) in pixels by picture."""

_ENDING = re.compile(r"\.(npz|npy|jpe?g|png)$", re.IGNORECASE)
_PREFIX = re.compile(r"^(coco_(train|val|test)\d{4}|flickr30k|nlvr2|vg)_", re.IGNORECASE)

LARGEST = 2**30
"""Bytes of one picture's regions, packed, unpacked and as numbers in memory."""

T = TypeVar("T")


class RegionFile(ABC):
    """Regions in a file or folder; a `RegionSource` that may be pickled, and used in processes that forked off.

    Args:
        path: the file or folder.
        entries: where each picture's regions are, in the format's own way.
        width: W of every picture's features.
    """

    def __init__(self, path: Path, entries: Mapping[str, Any], width: int) -> None:
        self.path = path
        self._entries = entries
        self._width = width

    @property
    def width(self) -> int:
        return self._width

    def __contains__(self, picture: object) -> bool:
        return picture in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, picture: str) -> Regions:
        if picture not in self._entries:
            raise PolysenseError(
                f"{self.path}: no regions of picture {picture!r}{near(picture, list(self._entries)[:10_000])}; "
                f"the {len(self)} pictures are called like {next(iter(self._entries))!r}"
            )
        regions = self._named(picture)
        if regions.features.shape[1] != self._width:
            raise PolysenseError(
                f"{self.path}, picture {picture!r}: features of width {regions.features.shape[1]} where the others "
                f"have {self._width}; extract the picture again"
            )
        return regions

    def _named(self, picture: str) -> Regions:
        """A picture's regions whatever their width; errors name file and picture."""
        try:
            return self._read(picture, self._entries[picture])
        except PolysenseError as error:
            raise PolysenseError(f"{self.path}, picture {picture!r}: {error}") from None
        except MemoryError:
            raise PolysenseError(
                f"{self.path}, picture {picture!r}: its regions do not fit into memory; extract the picture again"
            ) from None

    @abstractmethod
    def _read(self, picture: str, entry: Any, /) -> Regions:
        """The picture's regions; errors need not name file and picture."""


class PerProcess(Generic[T]):
    """A handle that each process opens for itself when it first needs it; pickled without it."""

    def __init__(self, opener: Callable[[Path], T], path: Path) -> None:
        self._opener = opener
        self._path = path
        # A parent's handle is kept, unused: closing it in the child could disturb the parent.
        self._handles: dict[int, T] = {}

    def get(self) -> T:
        process = os.getpid()
        if process not in self._handles:
            self._handles[process] = self._opener(self._path)
        return self._handles[process]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handles": {}}


def picture_name(entry: str) -> str:
    """What the annotations call the picture of a file or entry that an extractor wrote.

    The ending goes, then the data set's prefix (COCO_val2014_, flickr30k_, nlvr2_, vg_), then leading zeros:
    "coco_train2014_000000000009.npz" is "9", "nlvr2_dev-850-0-img0.npz" is "dev-850-0-img0".
    """
    name = _PREFIX.sub("", _ENDING.sub("", entry))
    return str(int(name)) if name.isascii() and name.isdigit() and len(name) < 19 else name


def by_picture(path: Path, entries: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Entries by the name of their picture (see `picture_name`).

    Raises:
        PolysenseError: two entries are of one picture, or there are none.
    """
    found: dict[str, T] = {}
    for entry, value in entries:
        name = picture_name(entry)
        if name in found:
            raise PolysenseError(f"{path}: picture {name!r} is there twice (second: {entry!r}); take one of them out")
        found[name] = value
    if not found:
        raise PolysenseError(f"{path}: there are no pictures in it; check the path")
    return found


def load_sizes(sizes: Sizes | Path | str | None) -> Sizes | None:
    """Sizes as they are given, or read from a COCO file's `images` or Visual Genome's image_data.json."""
    return read_sizes(sizes) if isinstance(sizes, (str, Path)) else sizes


def size_of(picture: str, sizes: Sizes | None) -> tuple[int, int]:
    """The picture's width and height, from outside the region file.

    Raises:
        PolysenseError: it is not there.
    """
    if sizes is None:
        raise PolysenseError(
            "the file does not say how large the picture is; give sizes= (a COCO file with images, or image_data.json)"
        )
    if picture not in sizes:
        raise PolysenseError(f"the sizes given have no picture {picture!r}; give the sizes of all pictures")
    return sizes[picture]


def bytes_held(count: int, kind: np.dtype[Any]) -> int:
    """Bytes of so many numbers in a file's own type or as float32, which is made of smaller ones, if that is more."""
    return count * max(kind.itemsize, np.dtype(np.float32).itemsize)


def finite(name: str, values: NDArray[Any], shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Numbers of the shape asked for (None: any length), float64 made float32.

    Raises:
        PolysenseError: they are no numbers, have another shape, or one is NaN or infinite.
    """
    if values.dtype.kind not in "fiu":
        raise PolysenseError(f"{name}: numbers are expected, not {values.dtype}; extract the picture again")
    if values.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, values.shape, strict=True)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise PolysenseError(f"{name}: shape {values.shape} where ({wanted}) is expected; extract the picture again")
    if not np.isfinite(values).all():
        raise PolysenseError(f"{name}: a number is not finite; the file is damaged: extract the picture again")
    return values if values.dtype in (np.float16, np.float32) else values.astype(np.float32)


def make_regions(
    features: NDArray[Any],
    boxes: NDArray[Any],
    size: tuple[int, int],
    tags: list[str] | None = None,
    scores: NDArray[Any] | None = None,
    slack: float = 2.0,
) -> Regions:
    """Regions of checked parts; boxes up to `slack` pixels outside the picture are cut to it."""
    features = finite("features", features, (None, None))
    count = len(features)
    boxes = inside(finite("boxes", boxes, (count, 4)), *size, slack=slack)
    if scores is not None:
        scores = finite("scores", scores, (count,)).astype(np.float32)
    return Regions(features, boxes, size[0], size[1], [""] * count if tags is None else tags, scores)
