"""How far packed files are unpacked, so that a small one fills neither the memory nor the disk."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import BinaryIO

from polysense.errors import PolysenseError

FREE = 2**30
"""Bytes that any file may unpack to."""

TIMES = 100
"""A file may unpack to more than that where it is at most so many times its size; texts and features stay below 20."""


def most_unpacked(size: int) -> int:
    """Bytes that a packed file of `size` bytes may unpack to."""
    return max(FREE, TIMES * size)


def gunzipped(stream: BinaryIO, file: Path) -> io.BufferedReader:
    """The unpacked bytes of a gzip stream, forwards only; errors of broken gzip are those of `gzip`.

    Args:
        stream: the packed bytes, from their start.
        file: where they are from.

    Raises:
        PolysenseError: while reading, where there are more than `most_unpacked` allows.
    """
    return io.BufferedReader(_Gunzipped(stream, file), 2**20)


class _Gunzipped(io.RawIOBase):
    def __init__(self, stream: BinaryIO, file: Path) -> None:
        super().__init__()
        self._stream, self._file = gzip.GzipFile(fileobj=stream), file
        self._most = self._left = most_unpacked(file.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what a BufferedReader gives
        count = self._stream.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise PolysenseError(
                f"{self._file}: it unpacks to more than {self._most / 2**30:.3g} GiB, over {TIMES} times its size, as "
                "no data do; if it is what you expect, unpack it yourself"
            )
        return count


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of an entry, never more than it announces; the caller looks at `file_size` first.

    Raises:
        zipfile.BadZipFile: it is packed with bzip2 or LZMA, which unpack without an end, or its content is broken.
        zlib.error, EOFError, OSError: as `zipfile` raises them of broken files.
    """
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile("only stored and deflated entries are read")
    with archive.open(entry) as stream:
        return stream.read(entry.file_size)  # without the number, zlib would first unpack up to 2 GiB
