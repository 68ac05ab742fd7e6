"""A result that is whole or not there: written beside its place, then moved into it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polysense.durable import PARTIAL, whole_file
from polysense.errors import PolysenseError

RESULTS_FILE = "results.json"


def check_free(folder: Path, overwrite: bool, marker: str) -> None:
    """Refuse to write where something is that nobody asked to replace.

    Args:
        folder: where a result is to go.
        overwrite: whether a result of the same kind may be replaced.
        marker: a file that every result of this kind has; a folder without it is somebody else's.

    Raises:
        PolysenseError: `folder` is a file, holds something else, or a result and `overwrite` is not set.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise PolysenseError(f"{folder} is a file: choose another --output-dir")
    if any(folder.iterdir()):
        if not (folder / marker).exists():
            raise PolysenseError(
                f"{folder} holds something else (there is no {marker} in it): choose another --output-dir"
            )
        if not overwrite:
            raise PolysenseError(f"{folder} already holds a result: choose another --output-dir or add --overwrite")


def working_folder(folder: Path) -> Path:
    """Where a run that ends in `folder` keeps its checkpoints until it is done."""
    folder = folder.absolute()
    return folder.with_name(folder.name + PARTIAL)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into; when the block ends well it takes the place of `folder`, else nothing changes."""
    staged = working_folder(folder) / "result"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    yield staged
    if folder.exists():
        old = working_folder(folder) / "replaced"
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    staged.rename(folder)
    shutil.rmtree(working_folder(folder), ignore_errors=True)


def write_whole(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as stream:
        stream.write(text.encode())


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file whole (see `write_whole`)."""
    write_whole(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def file_digest(file: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        PolysenseError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise PolysenseError(f"{file}: cannot be read ({error.strerror or error}); check the path") from None
