"""Pictures found for a text as its prototypes, K of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polysense.cache import Store, store_folder
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.extractor import PrototypeSource
from polysense.prototypes.lookup import FeatureLookup, Handle, OnRead
from polysense.prototypes.mentions import Mention, mention_keys
from polysense.prototypes.reader import in_precision
from polysense.prototypes.reading import Reading
from polysense.retrieval.command import CONSENT, SearchCommand
from polysense.retrieval.encoders import open_encoder
from polysense.retrieval.finder import Finder
from polysense.retrieval.index import PictureIndex, check_consent
from polysense.retrieval.spec import PictureSpec
from polysense.text import Text, clean

VERSION = 1
"""Of the rules by which texts are made queries; raised with any change that alters a prototype."""


class PictureHandle(Handle):
    """A finder of pictures."""

    def __init__(self, spec: str, finder: Finder) -> None:
        self.spec, self.finder, self.width = spec, finder, finder.width
        self.rules = {"pictures": VERSION}

    @property
    def fingerprint(self) -> str:
        return self.finder.fingerprint

    def report(self) -> None:
        self.finder.report()

    def release(self) -> None:
        self.finder.release()


class PictureSource(PrototypeSource):
    """The features of the K pictures that fit a text best, in that order (MaCSC Tables 2 and 3: "+Image").

    A pair is looked for as one text. A prototype's saliency is the cosine of text and caption, 1 where a command found
    it; its span is the whole text, of a pair the first one. K and precision are all that the reading decides.

    Args:
        handle: of the finder.
        reading: K and precision.
        store: as in `PrototypeExtractor`.
    """

    handle: PictureHandle

    def __init__(self, handle: PictureHandle, reading: Reading | None = None, store: Store = False) -> None:
        super().__init__(handle, reading or Reading(), store_folder(store))

    @property
    def chunk(self) -> int:
        return self.handle.finder.together

    @property
    def features_each(self) -> int:
        return self.reading.k

    def read(self, items: Sequence[Text], on_read: OnRead = lambda _: None) -> PrototypeBatch:
        pairs = [item if isinstance(item, tuple) else (item,) for item in items]
        queries = [clean(" ".join(pair)) for pair in pairs]
        found = self.handle.finder.find(queries, self.reading.k, on_read)
        there = np.arange(self.reading.k) < found.counts[:, None]
        found.spans[..., 2] = np.array([len(pair[0]) for pair in pairs], np.int32)[:, None] * there
        return in_precision(found, self.spec, self.reading)

    def describe(self) -> dict[str, Any]:
        return {"pictures": {"k": self.reading.k, "precision": self.reading.precision}}

    def names(self, token_ids: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.handle.finder.name(number) for number in token_ids)

    def mentions(self) -> FeatureLookup[Mention]:
        return PictureMentions(self)


class PictureMentions(FeatureLookup[Mention]):
    """The mean feature of the K pictures that fit the words of a mention best; the text around them plays no part."""

    handle: PictureHandle
    features_each = 1
    unit = "entity"

    def __init__(self, beside: PictureSource) -> None:
        super().__init__(beside.handle, beside.reading, beside.root)

    @property
    def chunk(self) -> int:
        return self.handle.finder.together

    def keys(self, items: Sequence[Mention]) -> NDArray[np.uint64]:
        return mention_keys(items)

    def read(self, items: Sequence[Mention], on_read: OnRead = lambda _: None) -> PrototypeBatch:
        said = [clean(_words(mention)) for mention in items]
        queries = {words: row for row, words in enumerate(dict.fromkeys(said))}
        pictures = self.handle.finder.find(list(queries), self.reading.k)
        found = PrototypeBatch.empty(len(items), 1, self.width, np.float32)
        rows = np.array([queries[words] for words in said], np.int64)
        counts = pictures.counts[rows]
        found.features[:, 0] = pictures.features[rows].sum(axis=1) / np.maximum(counts, 1)[:, None]
        found.counts[:] = np.minimum(counts, 1)
        found.spans[:, 0] = np.array([(m.part, m.start, m.end) for m in items], np.int32).reshape(-1, 3)
        on_read(len(items))
        return in_precision(found, self.spec, self.reading)

    def describe(self) -> dict[str, Any]:
        return {"picture_mentions": {"k": self.reading.k, "precision": self.reading.precision}}


def open_pictures(
    spec: str, reading: Reading | None = None, store: Store = False, *, saved: bool = False
) -> PictureSource:
    """The source of a spec (see `polysense.retrieval.spec`).

    Args:
        spec: "pictures:..." or "search:...".
        reading: K and precision.
        store: as in `PrototypeExtractor`.
        saved: whether the spec is a saved model's and not the user's: then a folder is read only where the environment
            variable POLYSENSE_PICTURES has it or one above it, and a command is run only where POLYSENSE_SEARCH has
            exactly that command; what a command found is looked up either way, where it is stored.

    Raises:
        PolysenseError: the spec, the folder, the command or the encoder cannot be used.
    """
    parsed = PictureSpec.parse(spec)
    if saved and parsed.kind == "pictures":
        check_consent(Path(parsed.place))
    encoder = open_encoder(parsed.encoder)
    finder: Finder
    if parsed.kind == "pictures":
        finder = PictureIndex(Path(parsed.place), encoder, parsed.similarity)
    else:
        allowed = not saved or os.environ.get(CONSENT) == parsed.place
        finder = SearchCommand(parsed.place, encoder, parsed.seconds, allowed)
    return PictureSource(PictureHandle(str(parsed), finder), reading, store)


def _words(mention: Mention) -> str:
    text = mention.text[mention.part] if isinstance(mention.text, tuple) else mention.text
    return text[mention.start : mention.end]
