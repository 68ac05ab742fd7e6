"""Pickles that would fill the memory or end the process are told from their instructions, before they are read."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.pickles import UnpackingError, check_pickle
from polysense.vision_language.annotations.plain_pickle import read_pickle
from polysense.vision_language.region_files.pickled_info import read_info

FREE = 2**30
START = b"\x80\x02"
DEEP = START + b"})" + b"\x85" * 20_000 + b"Ns."  # a dictionary with a key of tuples in tuples
WIDE = START + b"})" + b"2\x86" * 40 + b"Ns."  # each has the last one twice: 2^40 of them
MEMO = START + b"Nr" + struct.pack("<I", 2**23) + b"."
# The same by way of a function, which gives back what it is given.
GIVEN = START + b"cmodule\nfirst\nq\x00})" + b"2\x86q\x010h\x00h\x01\x85R" * 40 + b"Ns."
PRIME = 2**61 - 1  # the multiples of which hash alike


def frozen(depth: int) -> bytes:
    """A dictionary of two frozen sets which are equal, and each of which has the last one and a tuple of it in it."""
    made = b""
    for top in (0, depth):
        made += b"(K\x01\x91\x940"
        for i in range(top, top + depth - 1):
            made += b"(h" + bytes([i]) + b"h" + bytes([i]) + b"\x85\x91\x940"
    return b"\x80\x04" + made + b"}h" + bytes([depth - 1]) + b"Nsh" + bytes([2 * depth - 1]) + b"Ns."


def keys(numbers: Iterable[int], protocol: int) -> bytes:
    return pickle.dumps(dict.fromkeys(numbers), protocol)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (MEMO, "it numbers a value 8388608, and has not as many"),
        (b"Np8388608\n.", "it numbers a value 8388608, and has not as many"),
        (b"Np-1\n.", "it numbers a value -1"),
        (DEEP, "it nests deeper than 500"),
        (WIDE, "it has over 1,000,000 values in a tuple"),
        (START + b"]" * 1000 + b"a" * 999 + b".", "it nests deeper than 500"),
        (START + b"]" * 2_000_000 + b".", "it would take .* GiB of memory or more"),
        (GIVEN, "it has over 1,000,000 values in a tuple"),
        (frozen(40), "it has a set in it"),
        (pickle.dumps({6, 7}, 4), "it has a set in it"),
        *((keys((PRIME * i for i in range(1100)), protocol), "it has over 1,000 integers") for protocol in (0, 2)),
        (b"(d" + b"".join(b"I%#x\nNs" % (PRIME * i) for i in range(2**8, 1400)) + b".", "it has over 1,000 integers"),
        *((pickle.dumps(10**3000, protocol), "it has an integer of over 255 bytes") for protocol in (0, 2)),
    ],
)
def test_what_would_fill_the_memory_or_end_the_process(data: bytes, reason: str) -> None:
    with pytest.raises(UnpackingError, match=reason):
        check_pickle(data, FREE // 4)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        START,
        START + b"N",
        START + b"s.",
        START + b"h\x00.",
        START + b"\x85.",
        START + b"e.",
        b"Va",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"a.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**29) + b"a.",
        b"\x80\x02X" + struct.pack("<I", 2**31 - 1) + b"a.",
    ],
)
def test_damaged_pickles(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="cut short or damaged"):
            check_pickle(data, FREE)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


TUPLE = (1, 2.5)
VALUES: list[Any] = [
    None,
    [True, False, 3, -70_000, 2**40, -(2**200), 2.5, "a", "é\nb" * 200, b"a", b"\n" * 300, bytearray(b"a\n")],
    {"a": [{"b": (1, (2, (3, 4)))}], 5: {6: 7}, TUPLE: 8, "shared": [TUPLE, TUPLE]},
    [[i, str(i)] for i in range(3000)],
    {sign * (10**17 + i): -(10**18) for i in range(1500) for sign in (1, -1)},
    [2**128 - 1] * 5 + [2**64 - i for i in range(900)],
    {"pairs": tuple((i, i + 1) for i in range(3000))},
    OrderedDict(a=1, b=OrderedDict(c=2)),
    complex(1, 2),
    len,
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES)
def test_what_data_are_pickled_to(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert check_pickle(b"before" + data + b"behind", FREE, 6)[0] == 6 + len(data)


@pytest.mark.parametrize(
    ("data", "calls"),
    [
        (pickle.dumps([len, OrderedDict], 2), set()),
        (pickle.dumps(OrderedDict(), 2), {("collections.OrderedDict", "nothing")}),
        (pickle.dumps(OrderedDict, 2)[:-1] + b"(tR.", {("collections.OrderedDict", "nothing")}),
        (pickle.dumps(complex(1, 2), 2), {("__builtin__.complex", "plain")}),
        (pickle.dumps({1}, 2), {("__builtin__.set", "others")}),
        (START + b"cm\nf\n]\x85\x85R.", {("m.f", "others")}),
        (START + b"cm\nf\n)\x85R.", {("m.f", "plain")}),
        (START + b"cm\nf\n(cm\ng\n)Rt\x85R.", {("m.g", "nothing"), ("m.f", "values")}),
        (START + b"cm\nf\n]R.", {("m.f", "unknown")}),
        (START + b"cm\nf\n)}\x92.", {("m.f", "unknown")}),
        (START + b"cm\nf\n]\x85R.", {("m.f", "pairs")}),
        (START + b"cm\nf\n](](K\x01K\x02ee\x85R.", {("m.f", "pairs")}),
        (START + b"cm\nf\n(((K\x01K\x02llt R.".replace(b" ", b""), {("m.f", "pairs")}),
        (START + b"cm\nf\n](]K\x01e\x85R.", {("m.f", "others")}),
        (START + b"cm\nf\n]K\x01a]a\x85R.", {("m.f", "others")}),
        (START + b"cm\nf\n]]\x86R.", {("m.f", "others")}),
        (START + b"cm\nf\n)\x81}b.", {("m.f", "nothing"), ("m.f.__setstate__", "dictionary")}),
        (START + b"cm\nf\nq\x000h\x00)R)b.", {("m.f", "nothing"), ("m.f.__setstate__", "others")}),
        (START + b"cm\nf\n)R)R.", {("m.f", "nothing"), ("", "nothing")}),
        (b"\x80\x04\x8c\x01m\x8c\x01f\x93)R.", {("", "nothing")}),
    ],
)
def test_calls(data: bytes, calls: set[tuple[str, str]]) -> None:
    assert check_pickle(data, FREE)[1] == calls


MANY = 2**16
LIST = b"](" + b"N" * MANY + b"e"
DICTIONARY = b"}(" + b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(MANY)) + b"u"


@pytest.mark.parametrize(
    "data",
    [
        b"(" + b"N" * MANY + b"tq\x000](" + b"cm\nf\nh\x00R" * 200,
        b"(" + b"N" * MANY + b"tq\x000](" + b"cm\nf\nh\x00\x85R" * 200,
        LIST + b"q\x000](" + b"cm\nf\nh\x00\x85R" * 200,
        b"]q\x00\x85q\x010h\x00(" + b"N" * MANY + b"e0](" + b"cm\nf\nh\x01R" * 200,  # filled behind its tuple
        LIST + b"q\x000](" + b"(h\x00im\nf\n" * 200,
        DICTIONARY + b"q\x000](" + b"cm\nf\n)Rh\x00b" * 200,
        b"cm\nf\n)R" + DICTIONARY[1:] + b"q\x000](" + b"cm\nf\n)Rh\x00b" * 200,
    ],
)
def test_what_is_copied_over_and_over(data: bytes) -> None:
    with pytest.raises(UnpackingError, match=r"it would take .* GiB of memory or more"):
        check_pickle(START + data + b"e.", FREE)


def test_lists_filled_one_by_one_and_the_memo_read() -> None:
    many = b"]" + b"]a" * 2000  # as protocol 0 writes them: none is deeper than another
    assert check_pickle(START + many + b"q\x00h\x00\x86.", FREE)[0]


@pytest.mark.parametrize("data", [MEMO, DEEP])
def test_they_are_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "refs.p"
    file.write_bytes(data)
    with pytest.raises(PolysenseError, match=r"refs\.p: not a pickle of plain data \(it n") as caught:
        read_pickle(file)
    assert "\n" not in str(caught.value)
    header = b"\x93NUMPY\x01\x00\x02\x00\n\n"
    with pytest.raises(PolysenseError, match=r"info cannot be read \(it n"):
        read_info(header + data, ["objects_id"])
