"""Features of texts or of spans, read once and then looked up: in a store on disk, or in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from polysense.errors import PolysenseError
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.memory_table import MemoryTable
from polysense.prototypes.reader import VERSION
from polysense.prototypes.reading import Reading
from polysense.prototypes.store import PrototypeStore
from polysense.towers.registry import open_tower
from polysense.towers.tower import Tower

CHUNK = 4096
"""Items read and stored together: one shard of a store. A change of it changes the last digits of features."""

RECENT_BYTES = 1 << 30
"""Features of items that were not prepared, above which they are forgotten."""

Item = TypeVar("Item")
Key = tuple[int, ...]
OnRead = Callable[[int], object]
ChunkReader = Callable[[Iterable[list[Item]], OnRead], Iterator[tuple[list[Item], PrototypeBatch]]]
"""Chunks of items to the same chunks with their features, in order; tells how many items it has read."""


@dataclass
class ReadCounts:
    """What `FeatureLookup.prepare` did.

    Attributes:
        items: given, texts or spans.
        read: distinct ones among them that had to be read; the others were there, or came twice.
    """

    items: int = 0
    read: int = 0


class Handle(ABC):
    """What features are read with, which can be let go and opened again: a tower, or pictures and their encoder.

    Attributes:
        spec: the text that opens the same again.
        width: d_m.
        rules: by which features are made of it and which its fingerprint does not cover, as JSON values.
    """

    spec: str
    width: int
    rules: Mapping[str, Any]

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of all that features depend on, beside the rules and the reading."""

    @abstractmethod
    def release(self) -> None:
        """Let go of its memory until it is asked for."""

    def report(self) -> None:  # noqa: B027
        """Say once, at the end of some reading, what could not be read; nothing of a tower."""


class TowerHandle(Handle):
    """A frozen tower that can be let go and opened again.

    Args:
        tower: moved to `device`.
        device: by default the accelerator, where there is one.
    """

    def __init__(self, tower: Tower, device: torch.device | str | None = None) -> None:
        self.spec, self.width = tower.spec, tower.width
        self.rules = {"reader": VERSION, "clean_up": tower.rules}
        self._device = device or torch.accelerator.current_accelerator() or "cpu"
        self._tower: Tower | None = tower.to(self._device)

    @property
    def tower(self) -> Tower:
        """The tower; opened again after `release`."""
        if self._tower is None:
            self._tower = open_unchanged(self.spec, self.fingerprint).to(self._device)
        return self._tower

    def release(self) -> None:
        _ = self.fingerprint  # needs the tower
        self._tower = None

    @cached_property
    def fingerprint(self) -> str:
        """Computed once: the tower stays frozen."""
        return self.tower.fingerprint()


class FeatureLookup(ABC, Generic[Item]):
    """Reads features of items, and looks up what was read before by the content of the item.

    Args:
        handle: what they are read with; several lookups may share one.
        reading: how texts are read.
        root: folder of stored features, None for memory alone. `prepare` writes to it, everything else only reads.
    """

    handle: Handle

    def __init__(self, handle: Handle, reading: Reading, root: Path | None) -> None:
        self.handle, self.reading, self.root = handle, reading, root
        # What `prepare` was asked for is kept; what came by the way is not kept without end.
        self._prepared, self._recent = MemoryTable(), MemoryTable(RECENT_BYTES)

    unit: ClassVar[str] = "text"
    """What a progress bar counts."""

    @property
    def chunk(self) -> int:
        """Items that are read and stored together."""
        return CHUNK

    @property
    @abstractmethod
    def features_each(self) -> int:
        """The most features that an item has."""

    @abstractmethod
    def keys(self, items: Sequence[Item]) -> NDArray[np.uint64]:
        """(n, 2) what items are looked up by."""

    @abstractmethod
    def read(self, items: Sequence[Item], on_read: OnRead = lambda _: None) -> PrototypeBatch:
        """Read items, whatever is known of them."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What the features depend on, beside the handle's fingerprint and rules, as JSON values."""

    @property
    def spec(self) -> str:
        """The text that opens what features are read with."""
        return self.handle.spec

    @property
    def width(self) -> int:
        """d_m."""
        return self.handle.width

    @property
    def fingerprint(self) -> str:
        """Of what features are read with."""
        return self.handle.fingerprint

    @cached_property
    def store(self) -> PrototypeStore | None:
        """The table of this handle and reading."""
        if self.root is None:
            return None
        identity = {"tower": self.fingerprint, "rules": dict(self.handle.rules), **self.describe()}
        return PrototypeStore(self.root, identity, self.features_each, self.width, self.reading.dtype)

    def prepare(
        self,
        items: Iterable[Item],
        progress: str | None = None,
        *,
        verify: bool = False,
        reader: ChunkReader[Item] | None = None,
    ) -> ReadCounts:
        """Read what is not known yet, so that later calls only look up.

        Items may be an iterator of any length: memory does not grow with it where there is a store. What is stored
        stays if the work is interrupted; done again, it goes on from there and ends with the same files. Where all is
        known, the store is only read.

        Args:
            items: e.g. sentences or pairs.
            progress: label of a progress bar over the items, None for none.
            verify: read what is stored too, so that a damaged row is found and computed again now.
            reader: reads the chunks elsewhere (see `prototypes.distributed`); by default they are read here.
        """
        counts = ReadCounts()
        total = len(items) if isinstance(items, Sequence) else None
        pending: set[Key] = set()
        bar = tqdm(total=total, desc=progress, unit=self.unit, disable=not progress, leave=False)
        with ExitStack() as stack, bar:

            def begin() -> None:
                if self.store is not None:
                    stack.enter_context(self.store.writing())

            chunks = self._new_chunks(items, counts, pending, bar, verify, begin)
            for new, batch in (reader or self._read_chunks)(chunks, bar.update):
                keys = self.keys(new)
                (self._prepared if self.store is None else self.store).write(keys, batch)
                pending.difference_update(map(tuple, keys.tolist()))
                counts.read += len(new)
        self.handle.report()
        return counts

    def _read_chunks(
        self, chunks: Iterable[list[Item]], on_read: OnRead
    ) -> Iterator[tuple[list[Item], PrototypeBatch]]:
        for chunk in chunks:
            yield chunk, self.read(chunk, on_read)

    def batch(self, items: Sequence[Item]) -> PrototypeBatch:
        """The features of each item, in order; what is neither stored nor remembered is read and remembered."""
        keys = self.keys(items)
        result = self._empty(len(items))
        missing = np.arange(len(items))
        if self.store is not None:
            rows = self.store.lookup(keys)
            stored = np.flatnonzero(rows >= 0)
            batch, intact = self.store.read(rows[stored])
            result.put(stored, batch)
            missing = np.setdiff1d(missing, stored[intact])
        for table in (self._prepared, self._recent):
            if len(missing):
                found = self._empty(len(missing))
                known = table.read(keys[missing], found)
                result.put(missing[known], found.rows(np.flatnonzero(known)))
                missing = missing[~known]
        for start in range(0, len(missing), self.chunk):
            rows = missing[start : start + self.chunk]
            _, first, of_row = np.unique(keys[rows], axis=0, return_index=True, return_inverse=True)
            result.put(rows, self._read_recent([items[row] for row in rows[first].tolist()]).rows(of_row.ravel()))
        self.handle.report()
        return result

    def look_ahead(self, items: Sequence[Item]) -> None:
        """Read together, and remember, what is neither stored nor remembered: quicker than batch by batch."""
        keys = self.keys(items)
        known = self._known(keys) | self._recent.knows(keys)
        new = list(dict.fromkeys(items[row] for row in np.flatnonzero(~known).tolist()))
        for start in range(0, len(new), self.chunk):
            self._read_recent(new[start : start + self.chunk])
        self.handle.report()

    def _read_recent(self, items: list[Item]) -> PrototypeBatch:
        batch = self.read(items)
        self._recent.write(self.keys(items), batch)
        return batch

    def _empty(self, n: int) -> PrototypeBatch:
        return PrototypeBatch.empty(n, self.features_each, self.width, self.reading.dtype)

    def _new_chunks(
        self,
        items: Iterable[Item],
        counts: ReadCounts,
        pending: set[Key],
        bar: tqdm[NoReturn],
        verify: bool,
        begin: Callable[[], None],
    ) -> Iterator[list[Item]]:
        """Distinct items that are neither known nor `pending`, `chunk` at a time; the others are done on the bar.

        `begin` is called before the first chunk; what another process has stored until then is known.
        """
        rest = iter(items)
        new: dict[Key, Item] = {}
        begun = False
        while some := list(islice(rest, self.chunk)):
            counts.items += len(some)
            keys = self.keys(some)
            for item, key, known in zip(some, map(tuple, keys.tolist()), self._known(keys, verify), strict=True):
                if known or key in pending or key in new:
                    bar.update()
                else:
                    new[key] = item
            if len(new) >= self.chunk and not begun:
                begun = True
                begin()
                self._drop_known(new, bar, verify)
            if len(new) >= self.chunk:
                first = dict(islice(new.items(), self.chunk))
                pending.update(first)
                yield list(first.values())
                new = dict(islice(new.items(), self.chunk, None))
        if new and not begun:
            begin()
            self._drop_known(new, bar, verify)
        if new:
            yield list(new.values())

    def _drop_known(self, new: dict[Key, Item], bar: tqdm[NoReturn], verify: bool) -> None:
        known = self._known(self.keys(list(new.values())), verify)
        for key in [key for key, is_known in zip(new, known, strict=True) if is_known]:
            del new[key]
            bar.update()

    def _known(self, keys: NDArray[np.uint64], verify: bool = False) -> NDArray[np.bool_]:
        """(n,) whether keys (n, 2) are stored, or prepared where there is no store."""
        if self.store is None:
            return self._prepared.knows(keys)
        rows = self.store.lookup(keys)
        known = rows >= 0
        if verify:
            known[known] = self.store.read(rows[known])[1]
        return known


def open_unchanged(spec: str, fingerprint: str) -> Tower:
    """The tower that stood under a spec before.

    Raises:
        PolysenseError: it has another fingerprint by now, or cannot be opened.
    """
    tower = open_tower(spec)
    if tower.fingerprint() != fingerprint:
        raise PolysenseError(f"tower {spec} has changed since it was opened first: start again with one or the other")
    return tower
