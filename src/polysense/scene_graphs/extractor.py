"""From texts to scene graphs, parsed once and then looked up: in a store on disk, or in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NoReturn

from tqdm.auto import tqdm

from polysense.cache import Store, store_folder
from polysense.scene_graphs.graph import SceneGraph
from polysense.scene_graphs.parser import SceneGraphParser
from polysense.scene_graphs.store import GraphStore
from polysense.text import Text, text_keys

CHUNK = 1024
"""Texts parsed and stored together."""

RECENT_BYTES = 1 << 28
"""JSON of graphs that were not prepared, above which they are forgotten."""


@dataclass
class ParseCounts:
    """What `GraphExtractor.prepare` did.

    Attributes:
        texts: given.
        parsed: distinct texts among them that had to be parsed; the others were there, or came twice.
    """

    texts: int = 0
    parsed: int = 0


class GraphExtractor:
    """Parses texts and looks up what was parsed before, by the content of the text.

    spaCy is loaded when a text must be parsed, not before. The object may be pickled and forked.

    Args:
        store: root folder of stored graphs, None for the cache's, False (default) for memory alone. `prepare` writes
            to it, everything else only reads it.
    """

    def __init__(self, store: Store = False) -> None:
        self._root = store_folder(store)
        self._parser = SceneGraphParser()
        # What `prepare` was asked for is kept; what came by the way is not kept without end.
        self._prepared: dict[bytes, str] = {}
        self._recent: dict[bytes, str] = {}
        self._recent_bytes = 0

    @property
    def identity(self) -> dict[str, str]:
        """What the graphs depend on: the parser that is installed.

        Raises:
            PolysenseError: spaCy or its English pipeline is not installed.
        """
        return self._parser.identity

    @cached_property
    def store(self) -> GraphStore | None:
        """The graphs of this identity on disk."""
        return None if self._root is None else GraphStore(self._root, self.identity)

    def release(self) -> None:
        """Let go of spaCy's memory until a text comes that is neither stored nor remembered."""
        self._parser = SceneGraphParser()

    def prepare(self, texts: Iterable[Text], progress: str | None = None) -> ParseCounts:
        """Parse what is not known yet, so that later calls only look up.

        Texts may be an iterator of any length: memory does not grow with it where there is a store. What is stored
        stays if the work is interrupted; done again, it goes on from there.

        Args:
            texts: sentences or pairs.
            progress: label of a progress bar over the texts, None for none.

        Raises:
            PolysenseError: the store cannot be written, or spaCy or its English pipeline is not installed.
        """
        counts = ParseCounts()
        total = len(texts) if isinstance(texts, Sequence) else None
        with tqdm(total=total, desc=progress, unit="text", disable=not progress, leave=False) as bar:
            for new in self._new_chunks(texts, counts, bar):
                graphs = dict(zip(new, self._parser.parse(new.values(), bar.update), strict=True))
                if self.store is None:
                    self._prepared.update((key, graph.to_json()) for key, graph in graphs.items())
                else:
                    self.store.write(graphs)
                counts.parsed += len(graphs)
        return counts

    def graphs(self, texts: Sequence[Text]) -> list[SceneGraph]:
        """The graph of each text, in order; what is neither stored nor remembered is parsed and remembered."""
        keys = _keys(texts)
        found = self._read(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        for key, graph in zip(new, self._parser.parse(new.values()), strict=True):
            found[key] = graph
            self._remember(key, graph)
        return [found[key] for key in keys]

    def look_ahead(self, texts: Sequence[Text]) -> None:
        """Parse together, and remember, what is neither stored nor remembered: quicker than batch by batch."""
        for first in range(0, len(texts), CHUNK):
            self.graphs(texts[first : first + CHUNK])

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, SceneGraph]:
        """What is stored or remembered."""
        found = {} if self.store is None else self.store.read(list(dict.fromkeys(keys)))
        for table in (self._prepared, self._recent):
            found.update((key, SceneGraph.from_json(table[key])) for key in keys if key not in found and key in table)
        return found

    def _remember(self, key: bytes, graph: SceneGraph) -> None:
        text = graph.to_json()
        if self._recent_bytes + len(text) > RECENT_BYTES:
            self._recent.clear()
            self._recent_bytes = 0
        self._recent[key] = text
        self._recent_bytes += len(text)

    def _new_chunks(
        self, texts: Iterable[Text], counts: ParseCounts, bar: tqdm[NoReturn]
    ) -> Iterator[dict[bytes, Text]]:
        """Distinct texts that are not known, about `CHUNK` at a time; the others are done on the bar."""
        rest = iter(texts)
        new: dict[bytes, Text] = {}
        while some := list(islice(rest, CHUNK)):
            counts.texts += len(some)
            keys = _keys(some)
            known = self._prepared.keys() if self.store is None else self.store.read(list(dict.fromkeys(keys))).keys()
            for key, text in zip(keys, some, strict=True):
                if key in known or key in new:
                    bar.update()
                else:
                    new[key] = text
            if len(new) >= CHUNK:
                yield new
                new = {}
        if new:
            yield new


def _keys(texts: Sequence[Text]) -> list[bytes]:
    return [key.tobytes() for key in text_keys(texts)]
