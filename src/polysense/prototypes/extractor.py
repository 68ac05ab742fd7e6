"""Conceptual prototypes of texts, from a tower or from wherever else they come."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polysense.cache import Store, store_folder
from polysense.modality import PrototypeBlock
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.lookup import FeatureLookup, OnRead, TowerHandle
from polysense.prototypes.mentions import Mention, MentionExtractor
from polysense.prototypes.reader import read_prototypes
from polysense.prototypes.reading import Reading
from polysense.prototypes.syntax import tagger_identity
from polysense.prototypes.windows import Span
from polysense.text import Text, text_keys
from polysense.towers.tower import Tower

WHOLE_TEXT = "(whole text)"
"""What a prototype is of that is no token's."""


@dataclass(frozen=True)
class TextPrototypes:
    """The prototypes of one text, in the order of the text; n is at most K, and 0 for a text without a word.

    Attributes:
        features: (n, d_m), float16 or float32 as the reading says.
        tokens: the n chosen tokens as the tower's tokenizer writes them, or what else a prototype is of.
        spans: where each stands: text of the pair, first character, character after the last.
        saliency: (n,) attention to the token as a multiple of what evenly spread attention would give it.
    """

    features: np.ndarray
    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    saliency: np.ndarray


class PrototypeSource(FeatureLookup[Text]):
    """Where the prototypes of one modality come from: all that a model's processor asks of it."""

    @abstractmethod
    def names(self, token_ids: Sequence[int]) -> tuple[str, ...]:
        """What the prototypes of a text are of, for people to look at, from their `PrototypeBatch.token_ids`."""

    @abstractmethod
    def mentions(self) -> FeatureLookup[Mention]:
        """Features of words in their text, from the same source, reading and store."""

    def keys(self, items: Sequence[Text]) -> NDArray[np.uint64]:
        return text_keys(items)

    def release(self) -> None:
        """Let go of the source's memory until a text comes that is neither stored nor remembered."""
        self.handle.release()

    def extract(self, texts: Sequence[Text]) -> list[TextPrototypes]:
        """The prototypes of each text with their tokens, for people to look at."""
        batch = self.batch(texts)
        return [
            TextPrototypes(
                features=batch.features[row, :count],
                tokens=self.names(batch.token_ids[row, :count].tolist()),
                spans=tuple((int(text), int(start), int(end)) for text, start, end in batch.spans[row, :count]),
                saliency=batch.saliency[row, :count],
            )
            for row, count in enumerate(batch.counts.tolist())
        ]

    def block(self, texts: Sequence[Text]) -> PrototypeBlock:
        """The prototypes of a batch of texts as tensors, (B, K, d_m) float32 and (B, K) on the CPU."""
        batch = self.batch(texts)
        mask = torch.arange(self.features_each) < torch.from_numpy(batch.counts)[:, None]
        return PrototypeBlock(torch.from_numpy(batch.features).float(), mask)


class PrototypeExtractor(PrototypeSource):
    """Reads the prototypes of texts from one tower, and looks up what was read before by the content of the text.

    Args:
        tower: frozen; moved to `device`.
        reading: K and the other choices.
        store: root folder of stored prototypes, None for the cache's, False (default) for memory alone. `prepare`
            writes to it, everything else only reads it.
        device: of the tower; by default the accelerator, where there is one.

    Raises:
        PolysenseError: the reading asks for spaCy, which is not installed.
    """

    handle: TowerHandle

    def __init__(
        self,
        tower: Tower,
        reading: Reading | None = None,
        store: Store = False,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(TowerHandle(tower, device), reading or Reading(), store_folder(store))
        # What is missing shows before hours of reading.
        self._tagger = {"tagger": tagger_identity()} if self.reading.selection == "syntax" else {}

    @property
    def tower(self) -> Tower:
        """The frozen tower."""
        return self.handle.tower

    @property
    def features_each(self) -> int:
        return self.reading.features_each

    def read(self, items: Sequence[Text], on_read: OnRead = lambda _: None) -> PrototypeBatch:
        return read_prototypes(self.tower, self.reading, items, on_read=on_read)

    def describe(self) -> dict[str, Any]:
        return {"reading": self.reading.to_dict(), **self._tagger}

    def names(self, token_ids: Sequence[int]) -> tuple[str, ...]:
        if self.reading.selection == "pooled":
            return (WHOLE_TEXT,) * len(token_ids)
        return tuple(self.tower.tokenizer.convert_ids_to_tokens(list(token_ids)))

    def mentions(self) -> MentionExtractor:
        return MentionExtractor(self)
