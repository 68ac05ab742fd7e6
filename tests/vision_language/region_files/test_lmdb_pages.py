"""A damaged LMDB is refused before LMDB reads it, which could end the process."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polysense.errors import PolysenseError
from polysense.vision_language.region_files import open_regions
from polysense.vision_language.region_files.lmdb_pages import check_pages

SIZE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A branch, leaves, and values on pages of their own; its newer meta page is the first one."""
    folder = tmp_path_factory.mktemp("lmdb")
    for first in (0, 300):
        with lmdb.open(str(folder), map_size=2**24) as environment, environment.begin(write=True) as transaction:
            for number in range(first, first + 300):
                transaction.put(f"{number}.npz".encode(), bytes(5000 if number % 50 == 0 else 40))
    file = folder / "data.mdb"
    check_pages(file)
    return file.read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "data.mdb"


def field(content: bytes, form: str, place: int) -> int:
    (value,) = struct.unpack_from(form, content, place)
    return int(value)


def newer(content: bytes) -> int:
    """Where the meta page begins that counts."""
    return SIZE if field(content, "<Q", SIZE + 144) > field(content, "<Q", 144) else 0


def root(content: bytes) -> int:
    return SIZE * field(content, "<Q", newer(content) + 128)


def leaf(content: bytes, large: bool = False) -> int:
    """The first node of a leaf, or one whose value has pages of its own."""
    for page in range(2 * SIZE, len(content), SIZE):
        if field(content, "<H", page + 10) == 2:
            for i in range((field(content, "<H", page + 12) - 16) // 2):
                node = page + field(content, "<H", page + 16 + 2 * i)
                if bool(field(content, "<H", node + 4)) == large:
                    return node
    raise AssertionError


def large_number(content: bytes) -> int:
    node = leaf(content, large=True)
    return node + 8 + field(content, "<H", node + 6)


@pytest.mark.parametrize(
    ("place", "form", "value", "message"),
    [
        (lambda _: 16, "<I", 1, "does not begin"),
        (lambda _: 20, "<I", 9, "does not begin"),
        (lambda _: 40, "<I", 100, "does not begin"),
        (lambda _: SIZE + 40, "<I", 8192, "pages of 4096 and of 8192"),
        (lambda c: newer(c) + 92, "<H", 4, "several values a key"),
        (lambda c: newer(c) + 94, "<H", 1, "is no leaf"),
        (lambda c: newer(c) + 128, "<Q", 2**40, "is beyond its end"),
        (lambda c: newer(c) + 136, "<Q", 2**20, "cut short"),
        (lambda c: root(c), "<Q", 0, "is no branch"),
        (lambda c: root(c) + 10, "<H", 2, "is no branch"),
        (lambda c: root(c) + 12, "<H", 18, "is no branch"),  # a branch of one page
        (lambda c: root(c) + 14, "<H", 5000, "is no branch"),
        (lambda c: root(c) + 16, "<H", 4095, "is not within it"),
        (lambda c: root(c) + 16, "<H", 16, "is not within it"),
        (lambda c: leaf(c), "<H", 4000, "is not within it"),
        (lambda c: leaf(c) + 4, "<H", 2, "of no kind that is known"),
        (lambda c: leaf(c) + 6, "<H", 4000, "is not within it"),
        (lambda c: leaf(c, large=True) + 2, "<H", 2**10, "a value of page"),
        (large_number, "<Q", 2**30, "a value of page"),
    ],
)
def test_what_leads_astray(
    whole: bytes, tmp_path: Path, place: Callable[[bytes], int], form: str, value: int, message: str
) -> None:
    content = bytearray(whole)
    struct.pack_into(form, content, place(whole), value)
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(PolysenseError, match=f"{tmp_path}: not an LMDB, or a damaged one .*{message}"):
        open_regions(tmp_path)


def test_a_page_that_is_there_twice(whole: bytes, tmp_path: Path) -> None:
    """Else a circle would be followed for ever."""
    content, page = bytearray(whole), root(whole)
    first, second = (page + field(whole, "<H", page + 16 + 2 * i) for i in range(2))
    content[second : second + 6] = content[first : first + 6]
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(PolysenseError, match="there twice"):
        open_regions(tmp_path)


def test_an_empty_database(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), map_size=2**20) as environment, environment.begin(write=True):
        pass
    check_pages(tmp_path / "data.mdb")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(place=st.floats(0, 1, exclude_max=True), noise=st.binary(min_size=1, max_size=30), cut=st.booleans())
def test_any_damage(whole: bytes, scratch: Path, place: float, noise: bytes, cut: bool) -> None:
    """What is let through LMDB reads, all keys and values, or refuses; the process goes on."""
    begin = int(place * len(whole))
    scratch.write_bytes(whole[:begin] if cut else whole[:begin] + noise + whole[begin + len(noise) :])
    with suppress(ValueError, lmdb.Error):
        check_pages(scratch)
        with lmdb.open(str(scratch), subdir=False, readonly=True, lock=False) as opened, opened.begin() as begun:
            assert all(isinstance(value, bytes) for _, value in begun.cursor())
