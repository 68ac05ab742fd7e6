"""Features of media files, whatever the medium: read, decoded, encoded in batches, and kept on disk by content.

A medium (`pictures`, `sounds`, `clips`) says how a file is read, decoded and encoded (`Medium`); what can be shared is
here: leaving out bad files with one warning, the cache, the progress bar.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from polysense.cache import cache_folder
from polysense.errors import PolysenseError
from polysense.kept_tensors import read_kept, turn_at, write_kept

MAX_MEGABYTES = 256

KEEP_EVERY = 10.0
"""Seconds after which what was encoded is kept, so that a killed process loses no more."""
KEEP_SHARE = 0.05
"""Share of the time that keeping may take: the file is written whole, and a large one, so, more seldom.

A picture takes 5.4 KB; the file of 100,000 takes about ten seconds.
"""

Parts = dict[str, NDArray[np.float32]]
"""Raw features (n, width) by part of what is perceived; every part has a row for each item."""

Content = TypeVar("Content")
Decoded = TypeVar("Decoded")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MediaFeatures:
    """Raw features of the n files that could be read.

    Attributes:
        parts: by name, (n, width); which parts there are is the medium's.
        kept: (n,), which of the files the rows belong to, rising.
        skipped: the files left out, each with the reason.
    """

    parts: Parts
    kept: NDArray[np.int64]
    skipped: tuple[tuple[Path, str], ...]


class UnusableError(Exception):
    """Why a file is left out, in a few words; raised by a medium's `read` and `decode`."""


def read_file(file: Path) -> tuple[bytes, bytes]:
    """The SHA-256 of a file's content, and the content.

    Raises:
        UnusableError: missing, unreadable, empty, or above `MAX_MEGABYTES`.
    """
    try:
        if (size := file.stat().st_size) > MAX_MEGABYTES * 2**20:
            raise UnusableError(f"{size / 2**20:.0f} MiB, more than {MAX_MEGABYTES}")
        data = file.read_bytes()
    except OSError as error:
        raise UnusableError(error.strerror or str(error)) from None
    if not data:
        raise UnusableError("empty file")
    return hashlib.sha256(data).digest(), data


@dataclass(frozen=True)
class Medium(Generic[Content, Decoded]):
    """What `media_features` has to know of a kind of file.

    Attributes:
        name: of one item, e.g. "picture"; in messages (with an s where there are several) and in the cache's file.
        parts: the names of the parts, in the order in which a tower's space joins them.
        version: of what is computed and how it is kept; raised with any change that alters a feature, so that old
            caches are not read.
        formats: what can be read, for the error that nothing could.
        batch: how many decoded items are encoded at once, and wait in memory for it.
        read: a path to (32-byte digest of all that its features depend on, content). `read_file` for media of one
            file. It runs for every path, known or not, so it should not decode.
        decode: content to what is encoded; it runs for content that is not in the cache.
        encode: a list of 1 to `batch` decoded items to their raw features by part. It runs only if there is something
            new, so it is the place to open an encoder's weights.

    `read` and `decode` raise `UnusableError` with a short reason; the path then is left out.
    """

    name: str
    parts: tuple[str, ...]
    version: int
    formats: str
    batch: int
    decode: Callable[[Content], Decoded]
    encode: Callable[[list[Decoded]], Parts]
    read: Callable[[Path], tuple[bytes, Content]]


def media_features(
    medium: Medium[Content, Decoded], files: Sequence[Path], *, progress: bool, cache: Path | None, quiet: bool = False
) -> MediaFeatures:
    """Features of files, those with content seen before from the cache.

    An interrupted run keeps what it had encoded, a killed one all but the last seconds of it or, where the cache is
    large, the last minutes (`KEEP_SHARE`). Processes that share a cache add to it. The same content twice is encoded
    once.

    Args:
        files: any number of paths.
        progress: show a bar over the files.
        cache: the folder of the kept results; None: `cache.cache_folder()`.
        quiet: leave it to the caller to say what is left out, even where that is all.

    Raises:
        PolysenseError: no file could be read and it is not `quiet`, or the cache cannot be written.
    """
    kept_results = _Cache(
        (cache or cache_folder()) / f"{medium.name}-features-{medium.version}.safetensors", medium.parts
    )
    rows: list[tuple[int, bytes]] = []
    skipped: list[tuple[Path, str]] = []
    waiting: dict[bytes, Decoded] = {}
    bar = tqdm(total=len(files), desc=f"{medium.name}s", unit=medium.name, disable=not progress, leave=False)

    def encode_waiting() -> None:
        if waiting:
            parts = medium.encode(list(waiting.values()))
            for i, key in enumerate(waiting):
                kept_results.add(key, {part: features[i] for part, features in parts.items()})
            waiting.clear()
            kept_results.write_now_and_then()

    try:
        for index, file in enumerate(files):
            bar.update()
            try:
                key, content = medium.read(file)
                if key not in kept_results.rows and key not in waiting:
                    waiting[key] = medium.decode(content)
            except UnusableError as reason:
                skipped.append((file, str(reason)))
                continue
            rows.append((index, key))
            if len(waiting) == medium.batch:
                encode_waiting()
        encode_waiting()
    finally:
        bar.close()
        kept_results.write()
    if not quiet:
        _report(medium, skipped, len(files))
    found = [kept_results.rows[key] for _, key in rows]
    return MediaFeatures(
        {
            part: np.stack([row[part] for row in found]) if found else np.zeros((0, 0), np.float32)
            for part in medium.parts
        },
        np.array([index for index, _ in rows], dtype=np.int64),
        tuple(skipped),
    )


def _report(medium: Medium[Any, Any], skipped: Sequence[tuple[Path, str]], total: int) -> None:
    named = "; ".join(f"{file} ({reason})" for file, reason in skipped[:5])
    more = f"; and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    if len(skipped) == total:
        what = f"none of the {total} {medium.name}s could be read: {named}{more}"
        raise PolysenseError(f"{what if total else f'there are no {medium.name}s'}; give {medium.formats} files")
    if skipped:
        _log.warning("%d of %d %ss are left out: %s%s", len(skipped), total, medium.name, named, more)


_KEYS = "keys"


class _Cache:
    """Features by part and digest of the content, in one safetensors file, to which other processes may add theirs."""

    def __init__(self, file: Path, parts: tuple[str, ...]) -> None:
        self._file, self._parts = file, parts
        self.rows: dict[bytes, Parts] = {}
        self._changed = False
        self._known: tuple[int, int, int] | None = None
        self._read()
        self._due = time.monotonic() + KEEP_EVERY

    def add(self, key: bytes, row: Parts) -> None:
        self.rows[key] = row
        self._changed = True

    def write_now_and_then(self) -> None:
        begin = time.monotonic()
        if begin >= self._due:
            self.write()
            end = time.monotonic()
            self._due = end + max(KEEP_EVERY, (end - begin) / KEEP_SHARE)

    def write(self) -> None:
        if not self._changed:
            return
        with turn_at(self._file):
            if self._stamp() != self._known:
                self._read()
            rows = self.rows.values()
            tensors: dict[str, NDArray[Any]] = {part: np.stack([row[part] for row in rows]) for part in self._parts}
            tensors[_KEYS] = np.stack([np.frombuffer(key, dtype=np.uint8) for key in self.rows])
            write_kept(self._file, tensors)
            self._known = self._stamp()
        self._changed = False

    def _read(self) -> None:
        """Add the rows of the file, which is not read again until another process has written it."""
        self._known = self._stamp()
        if held := read_kept(self._file, *self._parts, _KEYS):
            for i, key in enumerate(held[_KEYS]):
                if key.tobytes() not in self.rows:
                    # A view would keep the whole file in memory, and one more each time.
                    self.rows[key.tobytes()] = {part: held[part][i].copy() for part in self._parts}

    def _stamp(self) -> tuple[int, int, int] | None:
        """What is another once the file is written: it is replaced, never changed."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
