"""Pickles of plain data: lists, dictionaries, numbers and texts, and nothing else."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError
from polysense.pickles import check_pickle
from polysense.unpacking import most_unpacked

_LARGEST = 2**30  # bytes; the largest published file of this kind has 70 MB


class PlainUnpickler(pickle.Unpickler):
    """Refuses every class and function, so that nothing of a pickle can run."""

    def find_class(self, module: str, name: str, /) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only plain data are read")


def read_pickle(file: Path | str) -> Any:
    """The plain data of a pickle of Python 2 or 3.

    Raises:
        PolysenseError: no such file, over 1 GiB, damaged, or it holds more than plain data.
    """
    file = Path(file).expanduser()
    try:
        if file.stat().st_size > _LARGEST:
            raise PolysenseError(f"{file}: a pickle of over 1 GiB is not read; give the same as JSON")
        data = file.read_bytes()
    except FileNotFoundError:
        raise PolysenseError(f"{file}: no such file; check the path") from None
    except OSError as error:
        raise PolysenseError(f"{file}: cannot be read ({error.strerror or error}); check the path") from None
    try:
        return unpickle(PlainUnpickler, data, "utf-8", most_unpacked(len(data)))
    except ValueError as error:
        raise PolysenseError(f"{file}: not a pickle of plain data ({error}); fetch it again or give JSON") from None


def unpickle(kind: type[PlainUnpickler], data: bytes, encoding: str, most: int) -> Any:
    """What an unpickler of this kind makes of the bytes.

    Args:
        encoding: of the texts of Python 2.
        most: bytes that it may take of the memory.

    Raises:
        ValueError: whatever is wrong with them; damaged ones raise nearly every kind of error.
    """
    check_pickle(data, most)
    try:
        return kind(io.BytesIO(data), encoding=encoding).load()
    except (MemoryError, RecursionError):
        raise ValueError("its sizes make no sense") from None
    except Exception as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
