"""A result that is whole or not there: written beside its place, then moved into it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from polysense.durable import PARTIAL, flush, whole_file
from polysense.errors import PolysenseError

RESULTS_FILE = "results.json"
CHECKSUMS = "checksums.json"
"""SHA-256 of every file in the folder, by its path in it."""


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
def only_writer(folder: Path) -> Iterator[None]:
    """No other program, or thread, makes `folder` within the block; who does so may enter again.

    Raises:
        PolysenseError: another one is at it.
    """
    partial = working_folder(folder)
    partial.mkdir(parents=True, exist_ok=True)
    lock = FileLock(partial / "writer.lock", is_singleton=True)  # one object a path: so that it may be entered again
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PolysenseError(
            f"{folder}: another run is writing it; wait for its end, or choose another --output-dir"
        ) from None
    held = os.stat(lock.lock_file).st_ino
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):
                if held == os.stat(lock.lock_file).st_ino:  # else it went with the folder, and is another's by now
                    os.unlink(lock.lock_file)
        lock.release()
        with suppress(OSError):  # checkpoints stay, and what another one has begun since
            partial.rmdir()


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into; when the block ends well it takes the place of `folder`, else nothing is left.

    It gets the checksums of what is in it.

    Raises:
        PolysenseError: another program is writing `folder`.
    """
    staged = working_folder(folder) / "result"
    with only_writer(folder):
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        try:
            yield staged
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        write_checksums(staged)
        if folder.exists():
            old = working_folder(folder) / "replaced"
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        staged.rename(folder)
        flush(folder.parent)
        shutil.rmtree(working_folder(folder), ignore_errors=True)


def write_whole(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as stream:
        stream.write(text.encode())


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file whole (see `write_whole`)."""
    write_whole(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(file: Path) -> Any:
    """The value of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("lists in lists in lists") from None


def leads_out(folder: Path, place: str) -> bool:
    """Whether a path in a folder leads out of it, by its own words or through links."""
    try:
        return not (folder / place).resolve().is_relative_to(folder.resolve())
    except (ValueError, RuntimeError):  # a name that no file can have; links in a circle: they lead nowhere
        return False


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


def write_checksums(folder: Path) -> None:
    """Note what every file of a folder holds now, and have all of it on the disk."""
    inside = list(folder.rglob("*"))
    for path in inside:
        flush(path)
    files = sorted(path for path in inside if path.is_file() and path.name != CHECKSUMS)
    write_json(folder / CHECKSUMS, {file.relative_to(folder).as_posix(): file_digest(file) for file in files})


def forget_checksums(folder: Path) -> None:
    """Before a folder's files are written anew by somebody else."""
    (folder / CHECKSUMS).unlink(missing_ok=True)


def check_files(folder: Path, concerns: Callable[[str], bool] = lambda _name: True) -> None:
    """Find files that are not as they were when the folder was written; a folder without checksums is not checked.

    Args:
        concerns: whether a file, by its path in the folder, is about to be read.

    Raises:
        PolysenseError: one is missing or has changed, or the checksums cannot be read.
    """
    if not os.path.isfile(folder / CHECKSUMS):  # False, not an error, for a name that no folder can have
        return
    try:
        known = read_json(folder / CHECKSUMS)
    except (OSError, ValueError):
        known = None
    if not isinstance(known, dict) or not all(isinstance(digest, str) for digest in known.values()):
        raise PolysenseError(f"{folder / CHECKSUMS} is damaged: copy the folder again")
    for name, digest in known.items():
        file = folder / name
        # Only what lies in the folder, whatever the list says.
        if concerns(name) and not leads_out(folder, name):
            if not os.path.isfile(file):
                raise PolysenseError(f"{file} is missing: copy the folder again")
            if file_digest(file) != digest:
                raise PolysenseError(
                    f"{file} is not as it was written: copy the folder again, or, if the change was meant, delete "
                    f"{CHECKSUMS} in it"
                )
