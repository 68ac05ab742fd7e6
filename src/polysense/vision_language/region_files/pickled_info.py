"""The dictionary that bottom-up-attention.pytorch pickles into its NPZ files, read without running anything of it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polysense.errors import PolysenseError
from polysense.vision_language.annotations.plain_pickle import PlainUnpickler, unpickle

_LARGEST = 2**30  # bytes that one picture's may take of the memory
_NUMBERS = re.compile(r"[fiub]\d{1,2}")  # kind and bytes of one, as numpy names them in its pickles
# What numpy and Python raise of arrays and texts that make no sense.
_ERRORS = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    SyntaxError,
    MemoryError,
    RecursionError,
)


class _Type:
    """Stands for numpy's dtype: a code such as "<f4" or "O"."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = code
        self.order = ""

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, ...), as numpy's dtype pickles itself
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|"):
            self.order = state[1]


class _Array:
    """Stands for numpy's array: its pickled parts, of which `value` makes numbers, or the one object it holds."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def value(self) -> Any:
        _, shape, kind, fortran, content = self.state
        if isinstance(content, list):
            return content[0] if shape == () else content
        if not _NUMBERS.fullmatch(kind.code):
            raise ValueError(f"an array of {kind.code[:40]!r}")
        dtype = np.dtype(kind.order + kind.code)
        content = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _array(*_: Any) -> _Array:
    return _Array()


def _scalar(kind: Any, content: Any) -> Any:
    array = _Array()
    array.__setstate__((1, (), kind, False, content))
    return array


class _InfoUnpickler(PlainUnpickler):
    """Plain data, and arrays of numbers as stand-ins of our own: no function of numpy's is called by the pickle."""

    def __init__(self, stream: io.BytesIO, *, encoding: str) -> None:
        super().__init__(stream, encoding=encoding)
        self._left = stream.getbuffer().nbytes  # each of Python's texts becomes bytes but once

    def find_class(self, module: str, name: str, /) -> Any:
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
            stand_ins = {"ndarray": _Array, "dtype": _Type, "_reconstruct": _array, "scalar": _scalar}
            if name in stand_ins:
                return stand_ins[name]
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return self._bytes
        return super().find_class(module, name)

    def _bytes(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise ValueError("bytes in another encoding than latin1")
        self._left -= len(text)
        if self._left < 0:
            raise ValueError("more bytes than it has texts")
        return text.encode("latin1")


def read_info(member: bytes, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """The numbers by name, of those names that are there, in an NPZ's member `info`: an array of one dictionary.

    Raises:
        PolysenseError: it is damaged, holds more than plain data and arrays of numbers, or what is under a name is
            neither such an array nor a flat list of numbers.
    """
    stream = io.BytesIO(member)
    try:
        # The header says no more than that it is one object; its length is 2 bytes long, from version 2 on 4.
        major, _ = np.lib.format.read_magic(stream)
        stream.seek(int.from_bytes(stream.read(2 if major == 1 else 4), "little"), io.SEEK_CUR)
        outer = unpickle(_InfoUnpickler, stream.read(), "latin1", _LARGEST)
        info = outer.value() if isinstance(outer, _Array) else outer
        if not isinstance(info, dict):
            raise TypeError("it is no dictionary")
        return {name: _numbers(name, info[name]) for name in names if name in info}
    except _ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PolysenseError(
            f"info cannot be read ({reason}); leave tag_names out, or extract the picture again"
        ) from None


def _numbers(name: str, value: Any) -> NDArray[Any]:
    array = value.value() if isinstance(value, _Array) else value
    # A list may hold another many times, which would be as many numbers.
    if isinstance(array, (list, tuple)) and all(isinstance(number, (int, float)) for number in array):
        array = np.array(array)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: one number a region is expected")
    return array
