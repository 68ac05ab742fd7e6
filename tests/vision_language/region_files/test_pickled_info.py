"""The dictionary in NPZ of bottom-up-attention.pytorch: read as numpy does, and small ones do not become large."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.region_files.pickled_info import read_info

NAMES = ("objects_id", "objects_conf")
START = b"\x80\x02"


def member(pickled: bytes) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
    return stream.getvalue() + pickled


def text(content: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(content)) + content


def plain(value: Any) -> bytes:
    """A value as it stands in a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def array(shape: Any, code: bytes, content: Any) -> bytes:
    """An array under the name objects_id."""
    kind = b"cnumpy\ndtype\n" + text(code) + b"\x85R"
    state = b"(K\x01" + plain(shape) + kind + b"\x89" + plain(content) + b"t"
    return START + b"}" + text(b"objects_id") + b"cnumpy\nndarray\n)\x81" + state + b"bs."


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["<i8", "<f4", ">i4"])
def test_info_reads_as_numpy_does(protocol: int, kind: str) -> None:
    values = {"objects_id": np.array([[5, 6], [7, 8]], dtype=kind, order="F"), "scalar": np.float32(2.5), "text": "é"}
    found = read_info(
        member(pickle.dumps(np.array(values, dtype=object), protocol)), ["objects_id", "scalar", "absent"]
    )
    assert list(found) == ["objects_id", "scalar"]
    assert np.array_equal(found["objects_id"], values["objects_id"]) and found["scalar"] == 2.5


def test_lists_of_numbers() -> None:
    found = read_info(member(pickle.dumps({"objects_id": [3, 4], "objects_conf": (0.5, 1)}, 2)), NAMES)
    assert found["objects_id"].tolist() == [3, 4] and found["objects_conf"].tolist() == [0.5, 1]


def test_an_array_of_python_2() -> None:
    """Its bytes are a text, and many names may have the same one."""
    found = read_info(member(array((2,), b"i2", "\x01\x00\xff\x00")), NAMES)
    assert found["objects_id"].tolist() == [1, 255]


def test_damaged_info_is_never_a_traceback() -> None:
    values = {"objects_id": np.array([0, 3]), "objects_conf": np.float32([0.5, 0.25]), "image_h": np.int64(480)}
    whole = member(pickle.dumps(np.array(values, dtype=object), 4))
    random = np.random.default_rng(0)
    for length in range(0, len(whole), 7):
        with pytest.raises(PolysenseError):
            read_info(whole[:length], NAMES)
    for _ in range(1000):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 2):
            damaged[place] = int(random.integers(0, 256))
        try:
            read_info(bytes(damaged), NAMES)
        except PolysenseError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (array((10**30,), b"f4", "abcd"), "dimension"),
        (array((2,), b"f4", "abcd"), "cannot reshape"),
        (array((1,), b"f4,(", "abcd"), r"an array of 'f4,\('"),
        (array((1,), b"(" * 500, "abcd"), r"an array of '\(\("),
        (array((1,), b"O8", "abcdefgh"), "an array of 'O8'"),
        (array((1,), b"f9", "abcdefghi"), "f9"),
        (array(("x",), b"f4", "abcd"), "integer"),
        (array((1,), b"f4", "\u2020bcd"), "latin-1"),
        (pickle.dumps({"objects_id": "a text"}, 2), "objects_id: one number a region"),
        (pickle.dumps({"objects_id": [[1], [2]]}, 2), "objects_id: one number a region"),
        (pickle.dumps([1], 2), "it is no dictionary"),
        (pickle.dumps({10**5000: 1}, 2), "an integer of over 255 bytes"),
        (pickle.dumps({frozenset({1}): 1}, 4), "it has a set in it"),
    ],
)
def test_what_is_no_such_dictionary(pickled: bytes, reason: str) -> None:
    with pytest.raises(PolysenseError, match=rf"info cannot be read \(.*{reason}") as caught:
        read_info(member(pickled), NAMES)
    assert "\n" not in str(caught.value)


def one_text_encoded(times: int) -> bytes:
    """As 100 kB of bytes each time."""
    kept = text(b"a" * 100_000) + b"q\x000" + text(b"latin1") + b"q\x010c_codecs\nencode\nq\x020"
    return START + kept + b"}" + text(b"objects_id") + b"](" + b"h\x02h\x00h\x01\x86R" * times + b"es."


def list_of_lists(depth: int) -> bytes:
    """Each has the last one twice."""
    made = b"](K\x01K\x01eq\x000"
    for i in range(1, depth):
        made += b"](h" + bytes([i - 1]) + b"h" + bytes([i - 1]) + b"eq" + bytes([i]) + b"0"
    return START + made + b"}" + text(b"objects_id") + b"h" + bytes([depth - 1]) + b"s."


def one_text_of_many_arrays(count: int) -> bytes:
    kept = text(b"a" * 100_000) + b"q\x000cnumpy\ndtype\n" + text(b"i1") + b"\x85Rq\x010"
    state = b"(K\x01" + plain((100_000,)) + b"h\x01\x89h\x00t"
    arrays = b"".join(text(b"%d" % i) + b"cnumpy\nndarray\n)\x81" + state + b"b" for i in range(count))
    return START + kept + b"}(" + arrays + b"u."


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (one_text_encoded(300), "more bytes than it has texts"),
        (list_of_lists(20), "objects_id: one number a region"),
        (one_text_of_many_arrays(300), None),
    ],
)
def test_what_is_there_many_times(pickled: bytes, reason: str | None) -> None:
    tracemalloc.start()
    try:
        if reason is None:
            assert read_info(member(pickled), NAMES) == {}
        else:
            with pytest.raises(PolysenseError, match=rf"info cannot be read \({reason}"):
                read_info(member(pickled), NAMES)
        assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    finally:
        tracemalloc.stop()
