"""The sorted index of a table: from the key of a text to the row that holds its prototypes."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from polysense.durable import whole_file
from polysense.prototypes.shards import ShardMark

SHARD_BITS = 32
"""A row number is the number of its shard, shifted by this, plus its place there: it stays when shards come and go."""

_MAGIC = b"PSKEYS\0\1"
_HEADER = struct.Struct("=8sQQ")
_SHARD = np.dtype([("number", np.uint64), ("size", np.uint64), ("identity", "V16")])
_ENTRY_BYTES = 24
_DIGEST_BYTES = 16
_CHUNK = 1 << 20


class DamagedIndex(Exception):  # noqa: N818 (it is caught by the store, which rebuilds the index)
    """A file that is no index, with the reason."""


@dataclass(frozen=True)
class KeyIndex:
    """Keys in ascending order, each once.

    Attributes:
        high: (n,) uint64, first half of each key.
        low: (n,) uint64, second half.
        rows: (n,) int64 row numbers.
        shards: the shards whose rows it knows, by number.
    """

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    rows: NDArray[np.int64]
    shards: Mapping[int, ShardMark]

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64), {})

    @classmethod
    def of_shard(cls, number: int, keys: NDArray[np.uint64], mark: ShardMark) -> Self:
        """The index of one shard's keys (n, 2)."""
        rows = (number << SHARD_BITS) + np.arange(len(keys), dtype=np.int64)
        return cls._sorted(keys[:, 0], keys[:, 1], rows, {number: mark})

    @classmethod
    def merged(cls, parts: Sequence[KeyIndex]) -> KeyIndex:
        """One index of all (at least one); of a key that is there more than once, the newest row."""
        if len(parts) == 1:
            return parts[0]
        return cls._sorted(
            np.concatenate([part.high for part in parts]),
            np.concatenate([part.low for part in parts]),
            np.concatenate([part.rows for part in parts]),
            {number: mark for part in parts for number, mark in part.shards.items()},
        )

    @classmethod
    def _sorted(
        cls,
        high: NDArray[np.uint64],
        low: NDArray[np.uint64],
        rows: NDArray[np.int64],
        shards: Mapping[int, ShardMark],
    ) -> Self:
        order = np.argsort(high, kind="stable")  # quick, since all but the newest shards are in order already
        if (high[order[1:]] == high[order[:-1]]).any():  # a key that comes twice, or two with the same first half
            order = np.lexsort((rows, low, high))
            newer, older = order[1:], order[:-1]
            last = (high[newer] != high[older]) | (low[newer] != low[older])
            order = order[np.append(last, True)]
        return cls(high[order], low[order], rows[order], dict(sorted(shards.items())))

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(n,) row number of each key (n, 2), -1 where it is not known."""
        found = np.full(len(keys), -1, np.int64)
        place = np.searchsorted(self.high, keys[:, 0])
        asked = np.arange(len(keys))
        while len(asked):  # once, but for different keys with the same first half
            asked = asked[place[asked] < len(self)]
            asked = asked[self.high[place[asked]] == keys[asked, 0]]
            same = self.low[place[asked]] == keys[asked, 1]
            found[asked[same]] = self.rows[place[asked[same]]]
            asked = asked[~same]
            place[asked] += 1
        return found

    def save(self, file: Path) -> None:
        """Write it whole: a header, the shards, the three columns, and a digest of all that (blake2b, 16 bytes)."""
        shards = np.array([(number, size, identity) for number, (size, identity) in self.shards.items()], _SHARD)
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        with whole_file(file) as stream:
            header = _HEADER.pack(_MAGIC, len(shards), len(self))
            columns = (shards, self.high, self.low, self.rows)
            for part in (header, *(column.tobytes() for column in columns)):
                stream.write(part)
                digest.update(part)
            stream.write(digest.digest())

    @classmethod
    def load(cls, file: Path) -> Self:
        """Map it into memory, after all of its bytes were checked.

        Raises:
            DamagedIndex: it is not as it was saved.
            OSError: as reading does.
        """
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            header = stream.read(_HEADER.size)
            if size < _HEADER.size + _DIGEST_BYTES or not header.startswith(_MAGIC):
                raise DamagedIndex("it is no index of prototypes")
            _, shards, entries = _HEADER.unpack(header)
            start = _HEADER.size + shards * _SHARD.itemsize
            if size != start + entries * _ENTRY_BYTES + _DIGEST_BYTES:
                raise DamagedIndex("it is cut short")
            _check_digest(stream, size)
            stream.seek(_HEADER.size)
            records = np.frombuffer(stream.read(shards * _SHARD.itemsize), _SHARD)
            marks = {int(r["number"]): ShardMark(int(r["size"]), r["identity"].tobytes()) for r in records}
            if not entries:
                return cls.empty()
            words = np.asarray(np.memmap(stream, np.uint64, "r", start, (3, entries)))
        return cls(words[0], words[1], words[2].view(np.int64), marks)


def _check_digest(stream: BinaryIO, size: int) -> None:
    """By reading, not by the map: pages that were only checked should not count as the process's memory."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    stream.seek(0)
    left = size - _DIGEST_BYTES
    while left:
        chunk = stream.read(min(_CHUNK, left))
        if not chunk:
            raise DamagedIndex("it is cut short")
        digest.update(chunk)
        left -= len(chunk)
    if digest.digest() != stream.read(_DIGEST_BYTES):
        raise DamagedIndex("its checksum does not fit")
