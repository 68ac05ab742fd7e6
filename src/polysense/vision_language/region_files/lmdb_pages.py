"""The pages of an LMDB, looked through before LMDB itself reads them.

LMDB trusts its file: in a damaged one it follows numbers and offsets out of the mapped memory, which ends the process.
A file (LMDB 0.9, 64 bits, little-endian) begins with two meta pages, of which that of the newer transaction counts. It
names the root of a tree: branches hold numbers of pages, leaves hold keys, and values or, of large ones, the number of
the first of their own pages. Values are not read here.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_PAGE = struct.Struct("<QHHHH")  # number, unused, kind, end of the nodes' offsets, begin of the nodes
_META = struct.Struct("<16x IIQQ I44x 4xHH 32xQ QQ")
"""Magic, version, address, size of the map; size of a page; flags, depth and root; last page and transaction."""
_NODE = struct.Struct("<HHHH")  # of a size: low, high, flags; of a page's number: low, middle, high; length of the key
_NUMBER = struct.Struct("<Q")
_BRANCH, _LEAF = 1, 2
_LARGE = 1
_SIZES = [2**power for power in range(8, 16)]
_EMPTY = 2**64 - 1


class _Meta(NamedTuple):
    size: int
    flags: int
    depth: int
    root: int
    last: int
    transaction: int


def check_pages(file: Path) -> None:
    """Follow every branch and leaf that a reader of the unnamed database may touch.

    Raises:
        ValueError: it is cut short or another kind of file, or a number, an offset or a size in it leads astray.
        OSError: as reading does.
    """
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            first = _meta(content, 0)
            second = _meta(content, first.size)
        except struct.error:
            raise ValueError("cut short") from None
        if second.size != first.size:
            raise ValueError(f"pages of {first.size} and of {second.size} bytes")
        meta = second if second.transaction > first.transaction else first
        needed = (meta.last + 1) * meta.size
        if len(content) < needed:
            raise ValueError(f"cut short: {len(content)} of {needed} bytes")
        if meta.flags:
            raise ValueError("a database with several values a key, or of another order")
        waiting = [] if meta.root == _EMPTY else [(meta.root, 1)]
        seen = set()
        while waiting:
            page, level = waiting.pop()
            if page in seen or not 2 <= page <= meta.last:
                raise ValueError(f"page {page} of {meta.last + 1} is beyond its end, or there twice")
            seen.add(page)
            waiting += [(below, level + 1) for below in _check_page(content, page, meta, level == meta.depth)]


def _meta(content: mmap.mmap, place: int) -> _Meta:
    magic, version, _, _, *told = _META.unpack_from(content, place)
    found = _Meta(*told)
    if magic != _MAGIC or version != _VERSION or found.size not in _SIZES:
        raise ValueError("it does not begin as version 1 does")
    return found


def _check_page(content: mmap.mmap, page: int, meta: _Meta, leaf: bool) -> list[int]:
    """The pages below a branch; none below a leaf."""
    begin = page * meta.size
    number, _, kind, lower, upper = _PAGE.unpack_from(content, begin)
    count = (lower - _PAGE.size) // 2
    well = number == page and kind == (_LEAF if leaf else _BRANCH) and lower <= upper <= meta.size
    if not well or count < (1 if leaf else 2):
        raise ValueError(f"page {page} is no {'leaf' if leaf else 'branch'}")
    below = []
    for offset in struct.unpack_from(f"<{count}H", content, begin + _PAGE.size):
        end = offset + _NODE.size
        if upper <= offset and end <= meta.size:
            low, high, rest, key = _NODE.unpack_from(content, begin + offset)
            end += key
            size = low | high << 16
            if not leaf:
                below.append(size | rest << 32)
            elif rest == 0:
                end += size
            elif rest == _LARGE and end + _NUMBER.size <= meta.size:
                (first,) = _NUMBER.unpack_from(content, begin + end)
                if not 2 <= first <= meta.last or first * meta.size + _PAGE.size + size > len(content):
                    raise ValueError(f"a value of page {page} is beyond its end")
            else:
                raise ValueError(f"a value of page {page} is of no kind that is known")
        if offset < upper or end > meta.size:
            raise ValueError(f"an entry of page {page} is not within it")
    return below
