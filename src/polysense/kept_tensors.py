"""Tensors that were computed once and lie in one file of the cache folder, with a checksum."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from polysense.cache import CACHE_VARIABLE
from polysense.durable import PARTIAL, lock_of, whole_file
from polysense.errors import PolysenseError

_SUM = "sha256"

_log = logging.getLogger(__name__)


def read_kept(file: Path, *names: str) -> dict[str, NDArray[Any]] | None:
    """The tensors of `names` that `write_kept` kept in a file; None where there are none, or damaged ones (a warning).

    Args:
        names: all that a file should hold.
    """
    try:
        with safe_open(file, framework="numpy") as opened:
            held = {name: opened.get_tensor(name) for name in names}
            known = (opened.metadata() or {}).get(_SUM)
        if known == _sum(held):
            return held
        if known is None:
            _log.info("%s: without a checksum, of an older version; what it kept is computed anew", file)
            return None
        reason = "their checksum is another one"
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError) as error:
        reason = str(error)
    _log.warning("%s: damaged (%s); what it kept is computed anew", file, reason)
    return None


def write_kept(file: Path, held: Mapping[str, NDArray[Any]]) -> None:
    """Keep tensors in a file; another process sees the old file or the new one.

    Raises:
        PolysenseError: the file cannot be written.
    """
    with _writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as stream:
            stream.write(save(dict(held), {_SUM: _sum(held)}))


@contextmanager
def turn_at(file: Path) -> Iterator[None]:
    """A block in which no other process changes a file, if all change it in such blocks: to read it and write more.

    Raises:
        PolysenseError: the file cannot be written.
    """
    with _writing(file):
        lock = lock_of(file)
        lock.acquire()
    try:
        for stale in file.parent.glob(f"{file.name}.*{PARTIAL}"):  # of a process that was killed while it wrote
            with suppress(OSError):
                stale.unlink()
        yield
    finally:
        lock.release()


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PolysenseError(
            f"{file}: cannot be written ({error.strerror or error}); "
            f"free some space, or set {CACHE_VARIABLE} to another folder"
        ) from None


def _sum(held: Mapping[str, NDArray[Any]]) -> str:
    total = hashlib.sha256()
    for name, values in sorted(held.items()):
        total.update(f"{name} {values.dtype} {values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    return total.hexdigest()
