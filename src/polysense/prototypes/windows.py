"""Texts longer than a tower's context, cut into overlapping windows.

A contrastive tower reads 77 tokens or so. Here a long text is read window by window, and its prototypes are chosen
over all of them; "truncate" reads only its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from polysense.text import Text, clean

LongTexts = Literal["window", "truncate"]

Span = tuple[int, int, int]
"""Which text of the pair (0 or 1), first character, character after the last."""

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
) -> list[Window]:
    """Tokenise texts into sequences of at most `max_length` tokens, special tokens included.

    A pair that fits is joined as the tokenizer joins pairs; the windows of a pair that does not fit, or of any pair
    without `join_pairs`, are cut from each of its texts alone.

    Returns:
        the windows in the order of the texts, at least one a text.
    """
    windows: dict[int, list[Window]] = {}
    for is_pair in (False, True):
        indices = [i for i, text in enumerate(texts) if isinstance(text, tuple) == is_pair]
        if not indices:
            continue
        columns = _columns([texts[i] for i in indices])
        whole = _tokenize(tokenizer, columns, truncation=False)
        too_long: list[int] = []
        for index, encoding in zip(indices, whole.encodings, strict=True):
            if len(encoding.ids) <= max_length and (join_pairs or not is_pair):
                windows[index] = [_window(index, encoding)]
            else:
                too_long.append(index)
        for index in too_long:
            windows[index] = _cut(tokenizer, index, texts[index], max_length, long_texts, join_pairs)
    return [window for index in range(len(texts)) for window in windows[index]]


def _cut(
    tokenizer: PreTrainedTokenizerBase,
    index: int,
    text: Text,
    max_length: int,
    long_texts: LongTexts,
    join_pairs: bool,
) -> list[Window]:
    parts = text if isinstance(text, tuple) else (text,)
    if long_texts == "truncate" and (join_pairs or len(parts) == 1):
        cut = _tokenize(tokenizer, _columns([text]), truncation="longest_first", max_length=max_length)
        return [_window(index, cut.encodings[0])]
    windows = []
    for owner, part in enumerate(parts):
        cut = _tokenize(
            tokenizer,
            [[clean(part)]],
            truncation=True,
            max_length=max_length,
            stride=int(OVERLAP * max_length),
            return_overflowing_tokens=True,
        )
        kept = cut.encodings[:1] if long_texts == "truncate" else cut.encodings
        windows += [_window(index, encoding, owner) for encoding in kept]
    return windows


def _columns(texts: Sequence[Text]) -> list[list[str]]:
    if isinstance(texts[0], tuple):
        return [[clean(text[side]) for text in texts] for side in (0, 1)]
    return [[clean(str(text)) for text in texts]]


def _tokenize(tokenizer: PreTrainedTokenizerBase, columns: list[list[str]], **kwargs: Any) -> Any:
    return tokenizer(*columns, return_attention_mask=False, return_token_type_ids=False, verbose=False, **kwargs)


def _window(index: int, encoding: Any, owner: int = 0) -> Window:
    spans = [
        (owner or sequence or 0, *offsets)
        for sequence, offsets in zip(encoding.sequence_ids, encoding.offsets, strict=True)
    ]
    return Window(index, encoding.ids, spans)
