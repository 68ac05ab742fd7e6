"""Regions in UNITER's LMDB: the value of each picture's file name is its NPZ (see `npz`), packed or not.

UNITER also publishes databases whose values are msgpack; those are told apart and refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import lmdb

from polysense.errors import PolysenseError
from polysense.vision_language.region_files.lmdb_pages import check_pages
from polysense.vision_language.region_files.npz import read_npz, width_of
from polysense.vision_language.region_files.object_names import ObjectNames
from polysense.vision_language.region_files.source import PerProcess, RegionFile, Sizes, by_picture
from polysense.vision_language.regions import Regions

_KEYS = b"__keys__"
_ZIP = b"PK"


class LmdbRegions(RegionFile):
    """Regions of an LMDB (pictures are named by `picture_name`).

    Args:
        path: its folder or data.mdb.
        sizes: (width, height) by picture; UNITER's layout needs it.
        object_names: of the detector's classes; without it there are no tags.

    Raises:
        PolysenseError: not LMDB, cut short, or the first value is not NPZ of a known layout.
    """

    def __init__(self, path: Path, *, sizes: Sizes | None = None, object_names: ObjectNames | None = None) -> None:
        self._sizes = sizes
        self._object_names = object_names
        self._environment: PerProcess[Any] = PerProcess(_open, path)
        entries = by_picture(path, ((key, key) for key in self._keys(path)))
        first = next(iter(entries.values()))
        try:
            value = self._value(first)
        except PolysenseError as error:
            raise PolysenseError(f"{path}, entry {first!r}: {error}") from None
        super().__init__(path, entries, width_of(value, f"{path}, entry {first!r}"))

    def _keys(self, path: Path) -> Iterator[str]:
        try:
            with self._environment.get().begin() as transaction:
                listed = transaction.get(_KEYS)
                if listed is not None:
                    keys = json.loads(listed)
                    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
                        raise PolysenseError(f"{path}: __keys__ is not a list of texts; build the database again")
                    yield from keys
                else:
                    for key in transaction.cursor().iternext(values=False):
                        yield key.decode()
        except RecursionError:
            raise PolysenseError(f"{path}: __keys__ is nested too deep; build the database again") from None
        except (lmdb.Error, ValueError) as error:
            raise PolysenseError(f"{path}: damaged LMDB ({error}); fetch or build it again") from None

    def _value(self, key: str) -> io.BytesIO:
        try:
            with self._environment.get().begin() as transaction:
                value = transaction.get(key.encode())
        except (lmdb.Error, UnicodeEncodeError) as error:  # JSON can hold halves of characters
            raise PolysenseError(f"damaged LMDB ({error}); fetch or build it again") from None
        if value is None:
            raise PolysenseError(f"{key!r} is in __keys__ but not in the database; build it again")
        if not value.startswith(_ZIP):
            raise PolysenseError(
                f"the value of {key!r} is not NPZ (msgpack?); use the compressed database, or folders of NPZ"
            )
        return io.BytesIO(value)

    def _read(self, picture: str, entry: str, /) -> Regions:
        return read_npz(self._value(entry), picture, self._sizes, self._object_names)


_open_environments: WeakValueDictionary[Path, Any] = WeakValueDictionary()


def _open(path: Path) -> Any:
    """The environment; LMDB lets a process and its forks open a database only once, so sources share it.

    A fork may go on reading: without locks and writes, a parent's environment is but a mapped file.
    """
    place = path.resolve()
    environment = _open_environments.get(place)
    if environment is None:
        environment = _open_environments[place] = _opened(path)
    return environment


def _opened(path: Path) -> Any:
    try:
        check_pages(path / "data.mdb" if path.is_dir() else path)
        return lmdb.open(str(path), subdir=path.is_dir(), readonly=True, create=False, lock=False, readahead=False)
    except (lmdb.Error, OSError, ValueError) as error:
        raise PolysenseError(
            f"{path}: not an LMDB, or a damaged one ({error}); give its folder or data.mdb, or fetch it again"
        ) from None
