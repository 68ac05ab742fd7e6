"""Scene graphs kept on disk, so that a text is parsed once and never again: one SQLite file a parser identity.

A row is the key of a text, its graph as JSON, and a checksum; it takes about 200 bytes for a caption.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from polysense.durable import whole_file
from polysense.errors import PolysenseError
from polysense.scene_graphs.graph import SceneGraph

logger = logging.getLogger(__name__)

FORMAT = 1
"""Version of the files; another one is another folder."""

DAMAGED = ".damaged"
"""Ends the name of a database that could not be read, once a writer has set it aside; it may be deleted."""

_TABLE = (
    "CREATE TABLE IF NOT EXISTS graphs "
    "(key BLOB PRIMARY KEY, graph BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID"
)
_ASKED_AT_ONCE = 500
_TIMEOUT = 60.0
"""Seconds to wait for another process that is writing."""

_NOT_DAMAGE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}

_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's interface raises; the latter where its message quotes a damaged schema."""

_inherited: list[sqlite3.Connection] = []
"""Connections that a fork brought along: neither used nor closed here, as SQLite asks."""


class GraphStore:
    """The stored graphs of one parser.

    Nothing is on the disk before the first `write`. Processes may read and write at once. What cannot be read is
    named in one warning and counts as absent; it is replaced when it is written again. The object may be pickled and
    forked: each process opens the database for itself.

    Args:
        root: folder of all stores.
        identity: of the parser, as JSON values.
    """

    def __init__(self, root: Path, identity: Mapping[str, Any]) -> None:
        self._arguments = (root, dict(identity))
        description = {"identity": dict(identity), "format": FORMAT}
        self.digest = hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16).hexdigest()
        self.folder = root / f"graphs-{self.digest}"
        self.database = self.folder / "graphs.sqlite"
        self._description = json.dumps({"store": self.digest, **description}, indent=2).encode() + b"\n"
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None
        self._unreadable: tuple[int, int] | None = None
        self._forgotten: set[bytes] = set()

    def __reduce__(self) -> tuple[type[GraphStore], tuple[Any, ...]]:
        return GraphStore, self._arguments

    def read(self, keys: Sequence[bytes]) -> dict[bytes, SceneGraph]:
        """The graphs of those keys that are stored and intact."""
        found: dict[bytes, SceneGraph] = {}
        damaged: list[bytes] = []
        try:
            for key, graph, checksum in self._rows(keys):
                intact = isinstance(key, bytes) and isinstance(graph, bytes) and checksum == self._sum(key, graph)
                if intact:
                    found[key] = SceneGraph.from_json(graph.decode())
                elif key not in self._forgotten:
                    damaged.append(key)
        except (*_ERRORS, OSError) as error:
            logger.warning("%s cannot be read (%s); its texts are parsed again", self.database, error)
            self._close()
            if isinstance(error, _ERRORS) and not _is_no_damage(error):
                self._unreadable = self._file()  # else it may be well the next time
            return {}
        if damaged:
            logger.warning("%s: %d rows are damaged; their texts are parsed again", self.database, len(damaged))
            self._forgotten.update(damaged)
        return found

    def write(self, graphs: Mapping[bytes, SceneGraph]) -> None:
        """Store graphs by the keys of their texts, all or none of them; those that are there are replaced.

        Raises:
            PolysenseError: the disk takes no more, or may not be written; what was stored before stays.
        """
        rows = [(key, _checked(graph).encode()) for key, graph in graphs.items()]
        sums = [(key, graph, self._sum(key, graph)) for key, graph in rows]
        with self._storing(), self._locked():
            self._describe()
            if self._is_damaged():
                self._set_aside()
            try:
                self._insert(sums)
            except _ERRORS as error:
                if _is_no_damage(error):
                    raise
                logger.warning("%s is damaged (%s); its texts are parsed again", self.database, error)
                self._set_aside()
                self._insert(sums)
            self._unreadable = None
        self._forgotten.difference_update(graphs)

    def _insert(self, rows: list[tuple[bytes, bytes, int]]) -> None:
        connection = self._connect(writing=True)
        with connection:  # commits, or takes all back
            connection.execute(_TABLE)
            connection.executemany("INSERT OR REPLACE INTO graphs VALUES (?, ?, ?)", rows)

    def _rows(self, keys: Sequence[bytes]) -> Iterator[tuple[Any, Any, Any]]:
        file = self._file()
        if file is None or file == self._unreadable:
            return
        connection = self._connect()
        for first in range(0, len(keys), _ASKED_AT_ONCE):
            asked = keys[first : first + _ASKED_AT_ONCE]
            marks = ",".join("?" * len(asked))
            yield from connection.execute(f"SELECT key, graph, checksum FROM graphs WHERE key IN ({marks})", asked)  # noqa: S608

    def _sum(self, key: bytes, graph: bytes) -> int:
        """Of the store too, so that a file from another parser's folder is not taken for this one's."""
        return zlib.crc32(self.digest.encode() + key + graph)

    def _file(self) -> tuple[int, int] | None:
        """Which file the database is now; None where there is none."""
        try:
            status = self.database.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _connect(self, writing: bool = False) -> sqlite3.Connection:
        """The connection of this process to the file that is there now; one that may write is opened to write."""
        file = self._file()
        opened = (os.getpid(), *file) if file else None
        if self._connection is None or opened != self._opened or writing:
            self._close()
            mode = "rwc" if writing else "rw"  # rw: takes back what a killed writer left half done
            self._connection = sqlite3.connect(
                f"{self.database.absolute().as_uri()}?mode={mode}", uri=True, timeout=_TIMEOUT, check_same_thread=False
            )
            file = self._file()
            self._opened = (os.getpid(), *file) if file else None
            self._check_size(self._connection)
        return self._connection

    def _check_size(self, connection: sqlite3.Connection) -> None:
        """SQLite reads what is missing of a last page as zeros."""
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if self.database.stat().st_size < pages * size:
            raise sqlite3.DatabaseError("it is cut short")

    def _close(self) -> None:
        if self._connection is not None:
            if self._opened is not None and self._opened[0] != os.getpid():
                _inherited.append(self._connection)
            else:
                with suppress(sqlite3.Error):
                    self._connection.close()
        self._connection = self._opened = None

    def _is_damaged(self) -> bool:
        """Under the lock, whether a database that this process could not read is no sound one."""
        if self._unreadable is None or self._file() != self._unreadable:
            return False
        try:
            return self._connect().execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
        except _ERRORS as error:
            if _is_no_damage(error):
                raise
            return True

    def _set_aside(self) -> None:
        self._close()
        for name in (self.database.name, f"{self.database.name}-journal"):
            with suppress(FileNotFoundError):
                (self.folder / name).replace(self.folder / (name + DAMAGED))
        logger.info("%s is set aside as %s%s, which may be deleted", self.database, self.database.name, DAMAGED)

    def _describe(self) -> None:
        file = self.folder / "graphs.json"
        if not file.exists() or file.read_bytes() != self._description:
            with whole_file(file) as stream:
                stream.write(self._description)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among writers: SQLite would do for rows, but not for a database that is set aside."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "writer.lock")
        try:
            lock.acquire(timeout=_TIMEOUT)
        except Timeout:
            logger.warning("another process is storing scene graphs: waiting for %s", lock.lock_file)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise PolysenseError(
                f"scene graphs cannot be stored in {self.folder} ({getattr(error, 'strerror', None) or error}): make "
                "room there, get the right to write there, or choose another folder; what was stored before is kept"
            ) from error


def _is_no_damage(error: Exception) -> bool:
    """Whether an error tells of the disk or of rights, not of what the file holds."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_DAMAGE


def _checked(graph: SceneGraph) -> str:
    """Its JSON, if it can be read again: nothing is stored that every later reader would fail on."""
    text = graph.to_json()
    SceneGraph.from_json(text)
    return text
