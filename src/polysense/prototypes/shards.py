"""One shard of stored prototypes: an Arrow IPC file whose rows are read in place through a memory map."""

from __future__ import annotations

import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polysense.durable import whole_file
from polysense.prototypes.batch import PrototypeBatch


class DamagedShard(Exception):  # noqa: N818 (it is caught by the store, which says so in a warning)
    """A file that is no shard of this table, with the reason."""


class ShardMark(NamedTuple):
    """What tells one shard from another of the same name: its size in bytes and the digest of its keys (16 bytes)."""

    size: int
    identity: bytes


@dataclass(frozen=True)
class Layout:
    """What a row of a table is made of.

    Attributes:
        table: digest of the table; a shard of any other table is refused.
        k: prototypes a text.
        width: d_m of the features.
        dtype: of the features, float16 or float32.
    """

    table: str
    k: int
    width: int
    dtype: np.dtype[Any]

    @property
    def columns(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """Element type and shape of a row of each column, in the order of the file."""
        return {
            "key": (np.dtype(np.uint64), (2,)),
            "count": (np.dtype(np.int32), ()),
            "token_ids": (np.dtype(np.int32), (self.k,)),
            "spans": (np.dtype(np.int32), (self.k, 3)),
            "saliency": (np.dtype(np.float32), (self.k,)),
            "features": (self.dtype, (self.k, self.width)),
            "checksum": (np.dtype(np.uint32), ()),
        }

    @property
    def schema(self) -> pa.Schema:
        fields = []
        for name, (dtype, shape) in self.columns.items():
            arrow = pa.from_numpy_dtype(dtype)
            for size in reversed(shape):
                arrow = pa.list_(arrow, size)
            fields.append(pa.field(name, arrow, nullable=False))
        return pa.schema(fields)


@dataclass(frozen=True)
class Shard:
    """An open shard.

    Attributes:
        columns: a view into the file for each column of the layout, n rows each.
        mark: its size, and the digest that its keys had when it was written.
    """

    columns: tuple[NDArray[Any], ...]
    mark: ShardMark

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def keys(self) -> NDArray[np.uint64]:
        """(n, 2)."""
        return self.columns[0]

    @property
    def keys_intact(self) -> bool:
        """Whether the keys are those that were written; this reads them all."""
        return _digest(self.keys) == self.mark.identity


def row_checksums(keys: NDArray[np.uint64], batch: PrototypeBatch) -> NDArray[np.uint32]:
    """(n,) CRC-32 of each row: all of its columns, the key first and the features last."""
    if not len(batch):
        return np.zeros(0, np.uint32)
    parts = (keys, batch.counts, batch.token_ids, batch.spans, batch.saliency)
    heads = np.concatenate([_bytes(part) for part in parts], axis=1)
    features = _bytes(batch.features)
    sums = [zlib.crc32(row, zlib.crc32(head)) for head, row in zip(heads, features, strict=True)]
    return np.array(sums, np.uint32)


def write_shard(file: Path, layout: Layout, keys: NDArray[np.uint64], batch: PrototypeBatch) -> ShardMark:
    """Write one shard, whole or not at all; the same rows always give the same bytes.

    Args:
        file: where it goes.
        layout: of the table.
        keys: (n, 2) uint64, n at least 1.
        batch: the n rows, in the layout's shape and types.
    """
    checksums = row_checksums(keys, batch)
    values = (keys, batch.counts, batch.token_ids, batch.spans, batch.saliency, batch.features, checksums)
    identity = _digest(keys)
    schema = layout.schema.with_metadata({"table": layout.table, "keys": identity.hex()})
    arrays = []
    for column, (dtype, shape) in zip(values, layout.columns.values(), strict=True):
        array = pa.array(np.ascontiguousarray(column, dtype).reshape(-1))
        for size in reversed(shape):
            array = pa.FixedSizeListArray.from_arrays(array, size)
        arrays.append(array)
    with whole_file(file) as stream, pa.ipc.new_file(stream, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return ShardMark(file.stat().st_size, identity)


def open_shard(file: Path, layout: Layout) -> Shard:
    """Map a shard into memory; its rows are read from the disk when they are touched, and checked by `row_checksums`.

    Raises:
        DamagedShard: it is no Arrow file, or none of this layout and table.
        OSError: the machine does not let it be read.
    """
    try:
        with pa.memory_map(str(file)) as source:
            whole = source.read_buffer()
        # In the byte order of the file and without threads: nothing is copied, nothing started in a forked worker.
        options = pa.ipc.IpcReadOptions(use_threads=False, ensure_native_endian=False)
        reader = pa.ipc.open_file(whole, options=options)
        if not reader.schema.equals(layout.schema, check_metadata=False):
            raise DamagedShard("its columns are not those of this table")
        metadata = reader.schema.metadata or {}
        if metadata.get(b"table") != layout.table.encode():
            raise DamagedShard("it belongs to another table")
        identity = bytes.fromhex(metadata[b"keys"].decode())
        if reader.num_record_batches != 1:
            raise DamagedShard("it does not hold one batch of rows")
        batch = reader.get_batch(0)
        batch.validate()
        return Shard(_views(whole, batch, layout), ShardMark(whole.size, identity))
    except DamagedShard:
        raise
    except Exception as error:  # a damaged file can raise nearly anything
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedShard(f"it cannot be read as an Arrow file: {' '.join(str(error).split())[:200]}") from error


def _views(whole: pa.Buffer, batch: pa.RecordBatch, layout: Layout) -> tuple[NDArray[Any], ...]:
    """The columns as arrays over the mapped file; numpy refuses one that does not lie within it."""
    n = batch.num_rows
    views = []
    for column, (dtype, shape) in zip(batch.columns, layout.columns.values(), strict=True):
        start = column.buffers()[-1].address - whole.address
        views.append(np.frombuffer(whole, dtype, n * math.prod(shape), start).reshape(n, *shape))
    return tuple(views)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """(n, bytes of a row)."""
    return np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)


def _digest(keys: NDArray[np.uint64]) -> bytes:
    return hashlib.blake2b(keys.tobytes(), digest_size=16).digest()
