"""The dictionary that bottom-up-attention.pytorch pickles into its NPZ files, read without running anything of it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from polysense.errors import PolysenseError
from polysense.vision_language.annotations.plain_pickle import PlainUnpickler, unpickle

_NUMBERS = "fiub"


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
        dtype = np.dtype(kind.order + kind.code)
        if dtype.kind not in _NUMBERS:
            raise ValueError(f"an array of {dtype}")
        content = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _array(*_: Any) -> _Array:
    return _Array()


def _scalar(kind: Any, content: Any) -> Any:
    array = _Array()
    array.__setstate__((1, (), kind, False, content))
    return array


def _bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes as {encoding}")
    return text.encode("latin1")


class _InfoUnpickler(PlainUnpickler):
    """Plain data, and arrays of numbers as stand-ins of our own: no function of numpy's is called by the pickle."""

    def find_class(self, module: str, name: str, /) -> Any:
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
            stand_ins = {"ndarray": _Array, "dtype": _Type, "_reconstruct": _array, "scalar": _scalar}
            if name in stand_ins:
                return stand_ins[name]
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return _bytes
        return super().find_class(module, name)


def read_info(member: bytes) -> dict[str, Any]:
    """The dictionary of an NPZ's member `info`: an array of one object.

    Raises:
        PolysenseError: it is damaged, or holds more than plain data and arrays of numbers.
    """
    stream = io.BytesIO(member)
    try:
        # The header says no more than that it is one object; its length is 2 bytes long, from version 2 on 4.
        major, _ = np.lib.format.read_magic(stream)
        stream.seek(int.from_bytes(stream.read(2 if major == 1 else 4), "little"), io.SEEK_CUR)
        outer = unpickle(_InfoUnpickler, stream.read(), "latin1")
        info = outer.value() if isinstance(outer, _Array) else outer
        return {str(name): value.value() if isinstance(value, _Array) else value for name, value in info.items()}
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise PolysenseError(
            f"info cannot be read ({' '.join(str(error).split())}); leave tag_names out, or extract the picture again"
        ) from None
