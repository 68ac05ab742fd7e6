"""The folder of one table of stored prototypes: which files are in it, what it says it is, and who may write."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from polysense.durable import PARTIAL, whole_file
from polysense.errors import PolysenseError
from polysense.folder import read_json

logger = logging.getLogger(__name__)

DAMAGED = ".damaged"
"""Ends the name of a shard that could not be read, once a writer has set it aside."""

_SHARD_NAME = re.compile(r"(\d{6,9})\.arrow")
_LAST_SHARD = 10**9 - 1


class TableFolder:
    """Files of a table: shards (000000.arrow, ...), index.bin, table.json, and writer.lock.

    Args:
        root: folder of all tables; the table's own is named by the digest of its description.
        description: what the table is of and how it is laid out, as JSON values.
    """

    def __init__(self, root: Path, description: Mapping[str, Any]) -> None:
        self.description = dict(description)
        self.digest = _digest(self.description)
        self.path = root / self.digest
        self.index = self.path / "index.bin"
        self.table = self.path / "table.json"

    def shard(self, number: int) -> Path:
        return self.path / f"{number:06d}.arrow"

    def sizes(self) -> dict[str, int]:
        """Name and bytes of each file; none where there is no folder."""
        found: dict[str, int] = {}
        with suppress(FileNotFoundError), os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process removed it meanwhile
                    if entry.is_file():
                        found[entry.name] = entry.stat().st_size
        return found

    def shards(self) -> dict[int, int]:
        """Number and bytes of each shard."""
        sizes = self.sizes()
        numbers = {int(match[1]) for name in sizes if (match := _SHARD_NAME.fullmatch(name))}
        return {n: sizes[self.shard(n).name] for n in sorted(numbers) if self.shard(n).name in sizes}

    def next_shard(self) -> int:
        """Above every number that is or was used: a shard that was set aside keeps its own."""
        used = [int(match[1]) for name in os.listdir(self.path) if (match := _SHARD_NAME.match(name))]
        number = 1 + max(used, default=-1)
        if number > _LAST_SHARD:
            raise PolysenseError(
                f"{self.path} has no number left after {self.shard(number - 1).name}*: remove that file"
            )
        return number

    def set_aside(self, number: int) -> None:
        """Move a shard that cannot be read out of the way; it may be gone already."""
        file = self.shard(number)
        with suppress(FileNotFoundError):
            file.replace(file.with_name(file.name + DAMAGED))
            logger.warning("%s is set aside as %s%s, which may be deleted", file, file.name, DAMAGED)

    def check(self) -> None:
        """A damaged description does no harm, as every shard names its table.

        Raises:
            PolysenseError: it is whole, and describes another table.
        """
        try:
            found = read_json(self.table)
            table = found.pop("table")
            whole = table == _digest(found)
        except FileNotFoundError:
            return
        except (ValueError, KeyError, AttributeError, TypeError):
            whole = False
        if not whole:
            logger.warning("%s is damaged; it is written anew when prototypes are next stored", self.table)
        elif table != self.digest:
            raise PolysenseError(f"{self.table} describes another table than its folder is named for: move it away")

    def tidy(self) -> None:
        """Under the lock: remove what a killed writer left, and describe the table."""
        self.check()
        for name in self.sizes():
            if name.endswith(PARTIAL):
                (self.path / name).unlink()
        text = json.dumps({"table": self.digest, **self.description}, indent=2, ensure_ascii=False) + "\n"
        if not self.table.exists() or self.table.read_bytes() != text.encode():
            with whole_file(self.table) as stream:
                stream.write(text.encode())

    def locked(self) -> AbstractContextManager[Any]:
        """Hold the writer's lock, which ends with the process at the latest; say so where it has to be waited for."""
        with self.storing():
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "writer.lock")
            try:
                return lock.acquire(timeout=0)
            except Timeout:
                logger.warning("another process is storing prototypes: waiting for %s", lock.lock_file)
                return lock.acquire()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turns an `OSError` into a `PolysenseError` that names the folder."""
        try:
            yield
        except OSError as error:
            raise PolysenseError(
                f"stored prototypes in {self.path} cannot be read ({error.strerror or error}): "
                "give this user the right to read them, or choose another folder"
            ) from error

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Turns an `OSError` into a `PolysenseError` that names the folder."""
        try:
            yield
        except OSError as error:
            raise PolysenseError(
                f"prototypes cannot be stored in {self.path} ({error.strerror or error}): make room there, get the "
                "right to write there, or choose another folder; what was stored before is kept"
            ) from error


def _digest(description: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16).hexdigest()
