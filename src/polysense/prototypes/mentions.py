"""What a tower makes of the words that a scene graph names: the token features of a span, in their sentence."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.lookup import FeatureLookup, OnRead, TowerHandle
from polysense.prototypes.reader import in_precision, texts_begun, tower_calls, windows_of
from polysense.prototypes.reading import Reading
from polysense.prototypes.windows import Window, shares_a_character
from polysense.text import Text, text_keys
from polysense.towers.packing import PackedTokens
from polysense.towers.tower import Tower

if TYPE_CHECKING:  # it makes a `MentionExtractor`
    from polysense.prototypes.extractor import PrototypeExtractor

_SPAN = struct.Struct("<3q")


@dataclass(frozen=True)
class Mention:
    """A span of a text.

    Attributes:
        text: the whole sentence or pair; a tower reads the words within it.
        part: which text of the pair, 0 or 1.
        start: first character.
        end: character after the last.
    """

    text: Text
    part: int
    start: int
    end: int


def mention_keys(mentions: Sequence[Mention]) -> NDArray[np.uint64]:
    """(n, 2) keys of mentions: 128 bits of blake2b each, of the text and the span."""
    texts = list(dict.fromkeys(mention.text for mention in mentions))
    of_text = {text: key.tobytes() for text, key in zip(texts, text_keys(texts), strict=True)}
    digests = [
        hashlib.blake2b(of_text[m.text] + _SPAN.pack(m.part, m.start, m.end), digest_size=16).digest() for m in mentions
    ]
    return np.frombuffer(b"".join(digests), np.uint64).reshape(len(mentions), 2)


def read_mentions(
    tower: Tower,
    reading: Reading,
    mentions: Sequence[Mention],
    on_read: OnRead = lambda _: None,
) -> PrototypeBatch:
    """The mean feature of each mention's tokens, in order; each text is read once.

    A token counts if it shares a character with the mention. Where windows overlap, a token counts once in each. A
    mention none of whose words the tower reads (a text cut at its context, a character without a token) has no feature.

    Args:
        tower: frozen; runs where it is.
        reading: how long texts are read, and the precision; K plays no part.
        mentions: of any texts.
        on_read: told the number of mentions read, for a progress bar.

    Returns:
        features (n, 1, d_m), counts 1 or 0, and the spans; no tokens, and no saliency.
    """
    of_text: dict[Text, list[int]] = {}
    for row, mention in enumerate(mentions):
        of_text.setdefault(mention.text, []).append(row)
    rows_of = [np.array(rows) for rows in of_text.values()]
    spans = np.array([(m.part, m.start, m.end) for m in mentions], np.int32).reshape(-1, 3)
    windows = windows_of(tower, reading, list(of_text))
    sums = torch.zeros(len(mentions), tower.width, device=tower.device)
    counts = torch.zeros(len(mentions), dtype=torch.int32, device=tower.device)
    for call in tower_calls(tower, windows):
        chosen = [windows[number] for number in call]
        tokens = PackedTokens.pack([window.input_ids for window in chosen], tower.device)
        states = tower.encode(tokens, reading.layers)
        pairs = [
            _tokens_of(spans, rows_of[window.text], window, start)
            for window, start in zip(chosen, tokens.starts.tolist(), strict=True)
        ]
        rows, places = torch.from_numpy(np.concatenate(pairs, axis=1)).to(tower.device)
        kept = states.candidates[places]
        rows, places = rows[kept], places[kept]
        sums.index_add_(0, rows, states.states[places].float())
        counts.index_add_(0, rows, torch.ones_like(rows, dtype=torch.int32))
        on_read(sum(len(rows_of[text]) for text in texts_begun(windows, call)))
    found = PrototypeBatch.empty(len(mentions), 1, tower.width, np.float32)
    found.features[:, 0] = (sums / counts.clamp(min=1)[:, None]).cpu().numpy()
    found.counts[:] = counts.clamp(max=1).cpu().numpy()
    found.spans[:, 0] = spans
    return in_precision(found, tower.spec, reading)


def _tokens_of(spans: NDArray[np.int32], rows: NDArray[np.int64], window: Window, first: int) -> NDArray[np.int64]:
    """(2, P) pairs of a mention, one of `rows`, and a token that shares a character with it.

    The window's tokens are numbered from `first`.
    """
    which, places = np.nonzero(shares_a_character(spans[rows], np.array(window.spans, np.int32).reshape(-1, 3)))
    return np.stack([rows[which], first + places])


class MentionExtractor(FeatureLookup[Mention]):
    """Reads the features of mentions, with the tower, reading and store of an extractor of prototypes.

    A mention's feature depends on its text and span, not on the parser that named it: another version of the parser
    finds the spans that stayed the same.

    Args:
        beside: the extractor whose tower is shared.
    """

    handle: TowerHandle
    features_each = 1
    unit = "entity"

    def __init__(self, beside: PrototypeExtractor) -> None:
        super().__init__(beside.handle, beside.reading, beside.root)

    def keys(self, items: Sequence[Mention]) -> NDArray[np.uint64]:
        return mention_keys(items)

    def read(self, items: Sequence[Mention], on_read: OnRead = lambda _: None) -> PrototypeBatch:
        return read_mentions(self.handle.tower, self.reading, items, on_read)

    def describe(self) -> dict[str, Any]:
        reading = self.reading.to_dict()
        return {"mentions": {name: reading[name] for name in ("long_texts", "precision")}}
