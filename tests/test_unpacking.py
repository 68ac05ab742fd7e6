"""Packed files that unpack to far more than data do are refused in one line, and nothing of them is kept."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from polysense import unpacking
from polysense.cache import cache_folder
from polysense.errors import PolysenseError
from polysense.tasks.tables import read_table
from polysense.unpacking import most_unpacked, read_entry
from polysense.vision_language.annotations.records import read_json, read_lines
from polysense.vision_language.region_files import open_regions

MEGABYTE = 2**20


@pytest.fixture
def bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], Path]:
    """Writes a gzipped file of 64 MB of one byte, of which 1 MB may be unpacked freely."""
    monkeypatch.setattr(unpacking, "FREE", MEGABYTE)

    def write(name: str, start: bytes) -> Path:
        (tmp_path / name).write_bytes(gzip.compress(start + bytes([start[-1]]) * 64 * MEGABYTE))
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("name", "start", "read"),
    [
        ("x.csv.gz", b"text,label\na,1\n ", read_table),
        ("x.jsonl.gz", b'{"text": "a', read_table),
        ("x.json.gz", b'["a', read_json),
        ("x.jsonl", b'{"text": "a', lambda file: list(read_lines(file))),
        ("bomb.tsv.gz", b"1\t64\t48\t1\tAAAA\tAA", open_regions),
    ],
)
def test_gzip_bombs(
    bomb: Callable[[str, bytes], Path], name: str, start: bytes, read: Callable[[Path], object]
) -> None:
    file = bomb(name, start)
    tracemalloc.start()
    try:
        with pytest.raises(PolysenseError) as caught:
            read(file)
        assert tracemalloc.get_traced_memory()[1] < 32 * MEGABYTE
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{file}: ") and "\n" not in message
    assert "it unpacks to more than" in message and "over 100 times its size" in message
    assert not list(cache_folder().rglob("bomb.tsv*"))


def test_what_may_be_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything up to a gibibyte, whatever its size; more only of large files."""
    assert most_unpacked(10) == most_unpacked(2**20) == 2**30
    assert most_unpacked(2**30) == 100 * 2**30
    monkeypatch.setattr(unpacking, "FREE", 1000)
    text = "text,label\n" + "".join(f"{i},{i}\n" for i in range(10_000))
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert len(read_table(tmp_path / "x.csv.gz")) == 10_000


def packed(method: int, size: int) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a", bytes(size))
    return bytearray(buffer.getvalue())


def test_an_entry_that_announces_too_little() -> None:
    data = packed(zipfile.ZIP_DEFLATED, 200 * MEGABYTE)
    announced = struct.pack("<I", 200 * MEGABYTE)
    for place in (data.index(announced), data.rindex(announced)):  # in front of it, and in the list of entries
        data[place : place + 4] = struct.pack("<I", 100)
    archive = zipfile.ZipFile(io.BytesIO(data))
    tracemalloc.start()
    try:
        with pytest.raises(zipfile.BadZipFile):
            read_entry(archive, archive.infolist()[0])
        assert tracemalloc.get_traced_memory()[1] < 10 * MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_kinds_of_entries_that_unpack_without_an_end(method: int) -> None:
    archive = zipfile.ZipFile(io.BytesIO(packed(method, 10)))
    with pytest.raises(zipfile.BadZipFile, match="only stored and deflated entries"):
        read_entry(archive, archive.infolist()[0])


def test_entries_of_other_kinds_in_a_picture_of_regions(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "1.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("features.npy", bz2.compress(b"a"))
    with pytest.raises(PolysenseError, match=r"1\.npz: array 'features' is damaged \(only stored and deflated"):
        open_regions(tmp_path)
