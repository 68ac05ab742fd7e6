"""Prototypes kept on disk, so that a text is read by a tower once and never again.

One table a tower and reading: a folder of Arrow IPC files, the shards, with an index from the key of a text to its
row. A row takes

    K * (d_m * itemsize + 4 + 12 + 4) + 4 + 16 + 4 bytes

(features, token ids, spans, saliency; count, key, checksum) and 24 bytes in the index; a shard adds about 3 kB.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.key_index import SHARD_BITS, DamagedIndex, KeyIndex
from polysense.prototypes.shards import DamagedShard, Layout, Shard, ShardMark, open_shard, row_checksums, write_shard
from polysense.prototypes.table_folder import TableFolder

logger = logging.getLogger(__name__)

FORMAT = 1
"""Version of the files; another one is another table."""

_PLACE = (1 << SHARD_BITS) - 1


class PrototypeStore:
    """The stored prototypes of one tower and reading.

    A row keeps its number for good: the number stands for the same text, or for nothing. Reading needs no lock and
    goes on while another process writes. The object may be pickled and forked; a pickled copy opens the table for
    itself. Nothing is on the disk before the first `writing`.

    Args:
        root: folder of all tables.
        identity: what the prototypes depend on, as JSON values: the tower's fingerprint and the reading.
        k: prototypes a text.
        width: d_m of the features.
        dtype: of the features, float16 or float32.

    Raises:
        ValueError: another dtype.
        PolysenseError: (by each method) the files cannot be read or written, or are another table's.
    """

    def __init__(self, root: Path, identity: Mapping[str, Any], k: int, width: int, dtype: type[np.floating]) -> None:
        self._arguments = (root, identity, k, width, dtype)
        kind = np.dtype(dtype)
        if kind not in (np.float16, np.float32):
            raise ValueError(f"features are stored as float16 or float32, not {kind}")
        layout = {"k": k, "width": width, "dtype": kind.name}
        self._folder = TableFolder(root, {"identity": dict(identity), **layout, "format": FORMAT})
        self._layout = Layout(self._folder.digest, k, width, kind)
        # The index that is saved, then those of newer shards; empty until the table is opened.
        self._indexes: list[KeyIndex] = []
        self._saved: Mapping[int, ShardMark] | None = None
        # The shards that row numbers were given for; a number that later stands for another file is not used.
        self._marks: dict[int, ShardMark] = {}
        self._shards: dict[int, Shard] = {}
        self._lost: set[int] = set()
        self._forgotten: set[int] = set()
        self._writing = False

    def __reduce__(self) -> tuple[type[PrototypeStore], tuple[Any, ...], dict[str, Any]]:
        return PrototypeStore, self._arguments, {"_marks": self._marks}

    @property
    def folder(self) -> Path:
        """Where the table is, once something was stored."""
        return self._folder.path

    @property
    def size_in_bytes(self) -> int:
        """What the table takes on the disk."""
        with self._folder.reading():
            return sum(self._folder.sizes().values())

    def __len__(self) -> int:
        """Texts that are there and not known to be damaged."""
        return sum(int(self._usable(index.rows).sum()) for index in self._opened())

    def lookup(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(n,) row numbers of keys (n, 2), -1 where a text is absent."""
        if keys.dtype != np.uint64:
            raise ValueError(f"keys are uint64 (see polysense.text.text_keys), not {keys.dtype}")
        rows = np.full(len(keys), -1, np.int64)
        for index in reversed(self._opened()):
            absent = np.flatnonzero(rows < 0)
            rows[absent] = index.find(keys[absent])
        return np.where(self._usable(rows), rows, -1)

    def read(self, rows: NDArray[np.int64]) -> tuple[PrototypeBatch, NDArray[np.bool_]]:
        """The prototypes at row numbers of `lookup` (n,), and (n,) which of them are intact.

        A damaged row is named in a warning, comes back empty, and is forgotten: `lookup` no longer finds it.

        Raises:
            ValueError: a row number is -1.
        """
        if (rows < 0).any():
            raise ValueError("rows are read that lookup did not find")
        self._opened()
        batch = self._empty(len(rows))
        keys, checksums = np.zeros((len(rows), 2), np.uint64), np.zeros(len(rows), np.uint32)
        targets = (keys, batch.counts, batch.token_ids, batch.spans, batch.saliency, batch.features, checksums)
        there = np.zeros(len(rows), bool)
        numbers, places = rows >> SHARD_BITS, rows & _PLACE
        for number in np.unique(numbers).tolist():
            shard = self._shard(number)
            if shard is not None:
                i = np.flatnonzero((numbers == number) & (places < len(shard)))
                there[i] = True
                for target, column in zip(targets, shard.columns, strict=True):
                    target[i] = column[places[i]]
        intact = there & (row_checksums(keys, batch) == checksums)
        if not intact.all():
            bad = np.flatnonzero(~intact)
            batch.put(bad, self._empty(len(bad)))
            self._forget(rows[bad])
        return batch, intact

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let this process alone write; wait, and say so, while another does. What that one wrote is then seen."""
        if self._writing:
            raise RuntimeError("this store is being written already")
        with self._folder.locked():
            self._writing = True
            try:
                with self._folder.storing():
                    self._folder.tidy()
                    self._refresh()
                try:
                    yield
                finally:
                    self._save_index()
            finally:
                self._writing = False

    def write(self, keys: NDArray[np.uint64], batch: PrototypeBatch) -> None:
        """Add texts as one shard, which is there as a whole or not at all. Only within `writing`.

        Args:
            keys: (n, 2), none of them there already.
            batch: their prototypes, in the table's shape and dtype.

        Raises:
            ValueError: other shapes or types, or a key that is there or comes twice.
            PolysenseError: the disk takes no more; what was stored before stays.
        """
        if not self._writing:
            raise RuntimeError("write within writing()")
        self._check(keys, batch)
        if not len(keys):
            return
        with self._folder.storing():
            number = self._folder.next_shard()
            mark = write_shard(self._folder.shard(number), self._layout, keys, batch)
        self._marks[number] = mark
        self._indexes.append(KeyIndex.of_shard(number, keys, mark))
        # Merged only when they double, indexes are few to ask and each key is seldom sorted again.
        while len(self._indexes) > 1 and 2 * len(self._indexes[-1]) > len(self._indexes[-2]):
            self._indexes[-2:] = [KeyIndex.merged(self._indexes[-2:])]

    def _opened(self) -> list[KeyIndex]:
        if not self._indexes:
            with self._folder.reading():
                self._refresh()
        return self._indexes

    def _refresh(self) -> None:
        """See what is on the disk now. The index is derived: of shards that it does not know, the keys are read."""
        self._folder.check()
        # The index first: a shard that is added in between is then only one that it does not know yet.
        index = self._load_index()
        sizes = self._folder.shards()
        if self._lost or any(sizes.get(number) != mark.size for number, mark in index.shards.items()):
            logger.info("%s: the index knows other shards than there are; it is built anew", self.folder)
            index = KeyIndex.empty()
        self._shards.clear()
        self._lost.clear()
        indexes = [index]
        for number in sorted(sizes.keys() - index.shards.keys()):
            shard = self._load_shard(number)
            if shard is not None:
                if not shard.keys_intact:
                    logger.warning("%s: keys are damaged; their texts are computed again", self._folder.shard(number))
                self._shards[number] = shard
                indexes.append(KeyIndex.of_shard(number, shard.keys, shard.mark))
            elif self._writing:
                self._folder.set_aside(number)
                self._lost.discard(number)
        self._indexes = [KeyIndex.merged(indexes)]
        for number, mark in self._indexes[0].shards.items():
            if self._marks.setdefault(number, mark) != mark:
                self._lose_other(number)

    def _load_index(self) -> KeyIndex:
        """Empty where there is none that can be used."""
        try:
            index = KeyIndex.load(self._folder.index)
            self._saved = index.shards
        except FileNotFoundError:
            index, self._saved = KeyIndex.empty(), {}
        except DamagedIndex as damage:
            logger.warning("%s is damaged: %s; it is built anew from the shards", self._folder.index, damage)
            index, self._saved = KeyIndex.empty(), None
        return index

    def _save_index(self) -> None:
        """Bring the index file up to date; where that fails nothing is lost, as it can be built anew."""
        file = self._folder.index
        try:
            if self._lost:
                self._refresh()
            index = KeyIndex.merged(self._indexes)
            self._indexes = [index]
            if index.shards != self._saved:
                index.save(file)
                self._indexes, self._saved = [KeyIndex.load(file)], index.shards
        except (OSError, DamagedIndex) as error:
            logger.warning("%s cannot be written (%s); it is built anew when the table is opened", file, error)

    def _shard(self, number: int) -> Shard | None:
        """The shard, if it can be read and is still the one whose keys are in the index."""
        if number in self._shards or number in self._lost:
            return self._shards.get(number)
        with self._folder.reading():
            shard = self._load_shard(number)
        if shard is None:
            return None
        if self._marks.get(number) != shard.mark:
            self._lose_other(number)
            return None
        self._shards[number] = shard
        return shard

    def _load_shard(self, number: int) -> Shard | None:
        """None where it cannot be read; then it is lost."""
        file = self._folder.shard(number)
        try:
            return open_shard(file, self._layout)
        except FileNotFoundError:
            logger.warning("%s is gone; its texts are computed again", file)
        except DamagedShard as damage:
            logger.warning("%s is damaged: %s; its texts are computed again", file, damage)
        self._lost.add(number)
        return None

    def _lose_other(self, number: int) -> None:
        logger.warning("%s is another file than it was; its texts are computed again", self._folder.shard(number))
        self._shards.pop(number, None)
        self._lost.add(number)

    def _usable(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        usable = np.ones(len(rows), bool)
        if self._forgotten:
            usable &= ~np.isin(rows, list(self._forgotten))
        if self._lost:
            usable &= ~np.isin(rows >> SHARD_BITS, list(self._lost))
        return usable

    def _forget(self, rows: NDArray[np.int64]) -> None:
        new = sorted(row for row in set(rows.tolist()) - self._forgotten if row >> SHARD_BITS not in self._lost)
        self._forgotten.update(new)
        for number in sorted({row >> SHARD_BITS for row in new}):
            places = [row & _PLACE for row in new if row >> SHARD_BITS == number]
            named = ", ".join(map(str, places[:10])) + (f" and {len(places) - 10} more" if len(places) > 10 else "")
            logger.warning("%s: damaged in row %s; computed again", self._folder.shard(number), named)

    def _check(self, keys: NDArray[np.uint64], batch: PrototypeBatch) -> None:
        expected = self._empty(len(keys))
        for name in ("features", "counts", "token_ids", "spans", "saliency"):
            given, wanted = getattr(batch, name), getattr(expected, name)
            if given.shape != wanted.shape or given.dtype != wanted.dtype:
                raise ValueError(f"{name} are {given.dtype} {given.shape}, not {wanted.dtype} {wanted.shape}")
        if (self.lookup(keys) >= 0).any() or len(np.unique(keys, axis=0)) < len(keys):
            raise ValueError("a text is written that is there already, or twice")

    def _empty(self, n: int) -> PrototypeBatch:
        layout = self._layout
        return PrototypeBatch.empty(n, layout.k, layout.width, layout.dtype.type)
