"""Texts longer than a tower's context, cut into overlapping windows.

A contrastive tower reads 77 tokens or so. Here a long text is read window by window, and its prototypes are chosen
over all of them; "truncate" reads only its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from polysense.text import Text, clean
from polysense.towers.openai_text import CleanText

LongTexts = Literal["window", "truncate"]

Span = tuple[int, int, int]
"""Which text of the pair (0 or 1), first character, character after the last."""

CleanUp = Callable[[str], CleanText]
Parts = tuple[CleanText, ...]

OVERLAP = 0.25
"""Share of a window that the next one repeats, so that no word is read without its neighbours."""


@dataclass(frozen=True)
class Window:
    """One sequence that a tower reads.

    Attributes:
        text: index of its text in the list.
        input_ids: token ids with the tower's special tokens.
        spans: the place of each token in the text; empty (start = end) for special tokens.
    """

    text: int
    input_ids: list[int]
    spans: list[Span]


def cut_windows(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Text],
    max_length: int,
    long_texts: LongTexts = "window",
    join_pairs: bool = True,
    clean_up: CleanUp | None = None,
) -> list[Window]:
    """Tokenise texts into sequences of at most `max_length` tokens, special tokens included.

    A pair that fits is joined as the tokenizer joins pairs; the windows of a pair that does not fit, or of any pair
    without `join_pairs`, are cut from each of its texts alone. What `clean_up` makes of a text is tokenised; spans are
    places in the text as it was given.

    Returns:
        the windows in the order of the texts, at least one a text.
    """
    cleaned = [_clean(text, clean_up) for text in texts]
    windows: dict[int, list[Window]] = {}
    for is_pair in (False, True):
        indices = [i for i, text in enumerate(texts) if isinstance(text, tuple) == is_pair]
        if not indices:
            continue
        whole = _tokenize(tokenizer, [cleaned[i] for i in indices], truncation=False)
        for index, encoding in zip(indices, whole.encodings, strict=True):
            if len(encoding.ids) <= max_length and (join_pairs or not is_pair):
                windows[index] = [_window(index, encoding, cleaned[index])]
            else:
                windows[index] = _cut(tokenizer, index, cleaned[index], max_length, long_texts, join_pairs)
    return [window for index in range(len(texts)) for window in windows[index]]


def shares_a_character(spans: NDArray[np.int32], tokens: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(n, t) which of n spans (n, 3) overlap which of t tokens (t, 3); each row a text of the pair, start and end."""
    part, start, end = spans.T[:, :, None]
    return (tokens[:, 0] == part) & (np.maximum(tokens[:, 1], start) < np.minimum(tokens[:, 2], end))


def _cut(
    tokenizer: PreTrainedTokenizerBase,
    index: int,
    parts: Parts,
    max_length: int,
    long_texts: LongTexts,
    join_pairs: bool,
) -> list[Window]:
    if long_texts == "truncate" and (join_pairs or len(parts) == 1):
        cut = _tokenize(tokenizer, [parts], truncation="longest_first", max_length=max_length)
        return [_window(index, cut.encodings[0], parts)]
    windows = []
    for owner, part in enumerate(parts):
        cut = _tokenize(
            tokenizer,
            [(part,)],
            truncation=True,
            max_length=max_length,
            stride=int(OVERLAP * max_length),
            return_overflowing_tokens=True,
        )
        kept = cut.encodings[:1] if long_texts == "truncate" else cut.encodings
        windows += [_window(index, encoding, parts, owner) for encoding in kept]
    return windows


def _clean(text: Text, clean_up: CleanUp | None) -> Parts:
    parts = text if isinstance(text, tuple) else (text,)
    return tuple(clean_up(part) if clean_up else CleanText(clean(part)) for part in parts)


def _tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Parts], **kwargs: Any) -> Any:
    columns = [[part.text for part in column] for column in zip(*texts, strict=True)]
    return tokenizer(*columns, return_attention_mask=False, return_token_type_ids=False, verbose=False, **kwargs)


def _window(index: int, encoding: Any, parts: Parts, owner: int = 0) -> Window:
    spans = []
    for sequence, offsets in zip(encoding.sequence_ids, encoding.offsets, strict=True):
        part = owner or sequence or 0
        spans.append((part, *parts[part].original(*offsets)))
    return Window(index, encoding.ids, spans)
