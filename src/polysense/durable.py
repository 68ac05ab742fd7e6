"""Files that are whole or not there, also after a crash or a power cut, and locks of those that several may write."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

PARTIAL = ".partial"
"""Ends the name of a file that is being written; one that a killed process left may be deleted."""

LOCKS = "locks"
"""Folder of the locks, beside the files that they are of."""


def lock_of(file: Path) -> FileLock:
    """The lock of a file that several processes may write; a process that dies gives it up.

    Raises:
        OSError: the folder of the locks cannot be made.
    """
    folder = file.parent / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{file.name}.lock")


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """A stream to write; when the block ends well its bytes are on the disk and take the place of `file`.

    Raises:
        OSError: as writing does; then `file` is what it was, or, if only its folder could not be flushed, the new one.
    """
    # Two that write the same file at once must not share what is staged.
    staged = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}{PARTIAL}")
    try:
        with staged.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(file)
    except BaseException:
        with suppress(OSError):
            staged.unlink()
        raise
    flush(file.parent)


def flush(path: Path) -> None:
    """Have the bytes of a file, or the names in a folder, on the disk.

    Raises:
        OSError: as opening it, or writing, does.
    """
    if os.name != "posix":  # elsewhere a folder cannot be opened, and what is only read cannot be flushed
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
