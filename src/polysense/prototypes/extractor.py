"""From texts to conceptual prototypes, read by a tower once and then looked up: in a store on disk, or in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from polysense.cache import Store, store_folder
from polysense.errors import PolysenseError
from polysense.modality import PrototypeBlock
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.memory_table import MemoryTable
from polysense.prototypes.reader import VERSION, read_prototypes
from polysense.prototypes.reading import Reading
from polysense.prototypes.store import PrototypeStore, text_keys
from polysense.prototypes.windows import Span
from polysense.text import Text
from polysense.towers.registry import open_tower
from polysense.towers.tower import Tower

CHUNK = 4096
"""Texts read and stored together: one shard of a store. A change of it changes the last digits of features."""

RECENT_BYTES = 1 << 30
"""Features of texts that were not prepared, above which they are forgotten."""

Key = tuple[int, ...]
OnRead = Callable[[int], object]
ChunkReader = Callable[[Iterable[list[Text]], OnRead], Iterator[tuple[list[Text], PrototypeBatch]]]
"""Chunks of texts to the same chunks with their prototypes, in order; tells how many texts it has read."""


@dataclass(frozen=True)
class TextPrototypes:
    """The prototypes of one text, in the order of the text; n is at most K, and 0 for a text without a word.

    Attributes:
        features: (n, d_m), float16 or float32 as the reading says.
        tokens: the n chosen tokens as the tower's tokenizer writes them.
        spans: where each stands: text of the pair, first character, character after the last.
        saliency: (n,) attention to the token as a multiple of what evenly spread attention would give it.
    """

    features: np.ndarray
    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    saliency: np.ndarray


@dataclass
class ReadCounts:
    """What `PrototypeExtractor.prepare` did.

    Attributes:
        texts: given.
        read: distinct texts among them that the tower had to read; the others were there, or came twice.
    """

    texts: int = 0
    read: int = 0


class PrototypeExtractor:
    """Reads prototypes from one tower and looks up what was read before, by the content of the text.

    Args:
        tower: frozen; moved to `device`.
        reading: K and the other choices.
        store: root folder of stored prototypes, None for the cache's, False (default) for memory alone. `prepare`
            writes to it, everything else only reads it.
        device: of the tower; by default the accelerator, where there is one.
    """

    def __init__(
        self,
        tower: Tower,
        reading: Reading | None = None,
        store: Store = False,
        device: torch.device | str | None = None,
    ) -> None:
        self.spec, self.width, self._rules = tower.spec, tower.width, tower.rules
        self.reading = reading or Reading()
        self._device = device or torch.accelerator.current_accelerator() or "cpu"
        self._tower: Tower | None = tower.to(self._device)
        self._root = store_folder(store)
        # What `prepare` was asked for is kept; what came by the way is not kept without end.
        self._prepared, self._recent = MemoryTable(), MemoryTable(RECENT_BYTES)

    @property
    def tower(self) -> Tower:
        """The frozen tower; opened again after `release`."""
        if self._tower is None:
            self._tower = open_unchanged(self.spec, self.fingerprint).to(self._device)
        return self._tower

    def release(self) -> None:
        """Let go of the tower's memory until a text comes that is neither stored nor remembered."""
        _ = self.fingerprint  # needs the tower
        self._tower = None

    @cached_property
    def fingerprint(self) -> str:
        """The tower's, computed once: it stays frozen."""
        return self.tower.fingerprint()

    @cached_property
    def store(self) -> PrototypeStore | None:
        """The table of this tower and reading."""
        if self._root is None:
            return None
        rules = {"reader": VERSION, "clean_up": self._rules}
        identity = {"tower": self.fingerprint, "rules": rules, "reading": self.reading.to_dict()}
        return PrototypeStore(self._root, identity, self.reading.k, self.width, self.reading.dtype)

    def prepare(
        self,
        texts: Iterable[Text],
        progress: str | None = None,
        *,
        verify: bool = False,
        reader: ChunkReader | None = None,
    ) -> ReadCounts:
        """Read what is not known yet, so that later calls only look up.

        Texts may be an iterator of any length: memory does not grow with it where there is a store. What is stored
        stays if the work is interrupted; done again, it goes on from there and ends with the same files. Where all is
        known, the store is only read.

        Args:
            texts: sentences or pairs.
            progress: label of a progress bar over the texts, None for none.
            verify: read what is stored too, so that a damaged row is found and computed again now.
            reader: reads the chunks elsewhere (see `prototypes.distributed`); by default the tower reads them here.
        """
        counts = ReadCounts()
        total = len(texts) if isinstance(texts, Sequence) else None
        pending: set[Key] = set()
        bar = tqdm(total=total, desc=progress, unit="text", disable=not progress, leave=False)
        with ExitStack() as stack, bar:

            def begin() -> None:
                if self.store is not None:
                    stack.enter_context(self.store.writing())

            chunks = self._new_chunks(texts, counts, pending, bar, verify, begin)
            for new, batch in (reader or self._read)(chunks, bar.update):
                keys = text_keys(new)
                (self._prepared if self.store is None else self.store).write(keys, batch)
                pending.difference_update(map(tuple, keys.tolist()))
                counts.read += len(new)
        return counts

    def _read(self, chunks: Iterable[list[Text]], on_read: OnRead) -> Iterator[tuple[list[Text], PrototypeBatch]]:
        for chunk in chunks:
            yield chunk, read_prototypes(self.tower, self.reading, chunk, on_read=on_read)

    def extract(self, texts: Sequence[Text]) -> list[TextPrototypes]:
        """The prototypes of each text with their tokens, for people to look at."""
        batch = self.batch(texts)
        result = []
        for row, count in enumerate(batch.counts.tolist()):
            ids = batch.token_ids[row, :count].tolist()
            result.append(
                TextPrototypes(
                    features=batch.features[row, :count],
                    tokens=tuple(self.tower.tokenizer.convert_ids_to_tokens(ids)),
                    spans=tuple((int(text), int(start), int(end)) for text, start, end in batch.spans[row, :count]),
                    saliency=batch.saliency[row, :count],
                )
            )
        return result

    def block(self, texts: Sequence[Text]) -> PrototypeBlock:
        """The prototypes of a batch of texts as tensors, (B, K, d_m) float32 and (B, K) on the CPU."""
        batch = self.batch(texts)
        mask = torch.arange(self.reading.k) < torch.from_numpy(batch.counts)[:, None]
        return PrototypeBlock(torch.from_numpy(batch.features).float(), mask)

    def batch(self, texts: Sequence[Text]) -> PrototypeBatch:
        """The prototypes of each text, in order; what is neither stored nor remembered is read and remembered."""
        keys = text_keys(texts)
        result = self._empty(len(texts))
        missing = np.arange(len(texts))
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
        for start in range(0, len(missing), CHUNK):
            rows = missing[start : start + CHUNK]
            _, first, of_row = np.unique(keys[rows], axis=0, return_index=True, return_inverse=True)
            result.put(rows, self._read_recent([texts[row] for row in rows[first].tolist()]).rows(of_row.ravel()))
        return result

    def look_ahead(self, texts: Sequence[Text]) -> None:
        """Read together, and remember, what is neither stored nor remembered: quicker than batch by batch."""
        keys = text_keys(texts)
        known = self._known(keys) | self._recent.knows(keys)
        new = list(dict.fromkeys(texts[row] for row in np.flatnonzero(~known).tolist()))
        for start in range(0, len(new), CHUNK):
            self._read_recent(new[start : start + CHUNK])

    def _read_recent(self, texts: list[Text]) -> PrototypeBatch:
        batch = read_prototypes(self.tower, self.reading, texts)
        self._recent.write(text_keys(texts), batch)
        return batch

    def _empty(self, n: int) -> PrototypeBatch:
        return PrototypeBatch.empty(n, self.reading.k, self.width, self.reading.dtype)

    def _new_chunks(
        self,
        texts: Iterable[Text],
        counts: ReadCounts,
        pending: set[Key],
        bar: tqdm[NoReturn],
        verify: bool,
        begin: Callable[[], None],
    ) -> Iterator[list[Text]]:
        """Distinct texts that are neither known nor `pending`, `CHUNK` at a time; the others are done on the bar.

        `begin` is called before the first chunk; what another process has stored until then is known.
        """
        rest = iter(texts)
        new: dict[Key, Text] = {}
        begun = False
        while some := list(islice(rest, CHUNK)):
            counts.texts += len(some)
            keys = text_keys(some)
            for text, key, known in zip(some, map(tuple, keys.tolist()), self._known(keys, verify), strict=True):
                if known or key in pending or key in new:
                    bar.update()
                else:
                    new[key] = text
            if len(new) >= CHUNK and not begun:
                begun = True
                begin()
                self._drop_known(new, bar, verify)
            if len(new) >= CHUNK:
                first = dict(islice(new.items(), CHUNK))
                pending.update(first)
                yield list(first.values())
                new = dict(islice(new.items(), CHUNK, None))
        if new and not begun:
            begin()
            self._drop_known(new, bar, verify)
        if new:
            yield list(new.values())

    def _drop_known(self, new: dict[Key, Text], bar: tqdm[NoReturn], verify: bool) -> None:
        known = self._known(text_keys(list(new.values())), verify)
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
