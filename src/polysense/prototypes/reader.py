"""Reading prototypes with a tower: windows, the tower, Top-K, and the windows of a long text merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polysense.errors import PolysenseError
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.reading import Reading
from polysense.prototypes.selection import top_k
from polysense.prototypes.syntax import content_words
from polysense.prototypes.windows import Window, cut_windows, shares_a_character
from polysense.text import Text
from polysense.towers.packing import PackedTokens
from polysense.towers.tower import Tower

VERSION = 1
"""Of the rules by which prototypes are read here (windows, clean-up, selection, what a tower makes of a token); raised
with any change that alters a prototype, so that stored ones are not taken for it."""

BATCH_TOKENS = {"cpu": 2048}
"""Tokens of the texts in one call of the tower: on a CPU enough for its matrix products and few enough for its caches;
other devices take `MANY_TOKENS`."""

MANY_TOKENS = 65536


@torch.no_grad()
def read_prototypes(
    tower: Tower,
    reading: Reading,
    texts: Sequence[Text],
    batch_tokens: int | None = None,
    on_read: Callable[[int], object] = lambda _: None,
) -> PrototypeBatch:
    """The prototypes of each text, in order (MaCSC Eq. 1), or what else the reading selects.

    Args:
        tower: runs where it is.
        reading: K and the other choices.
        texts: sentences or pairs. All of them are in memory at once: give a data set in chunks.
        batch_tokens: tokens of texts a call of the tower, if no single sequence is longer; None: by its device.
        on_read: told the number of texts read, for a progress bar.

    Raises:
        PolysenseError: a feature does not fit half precision.
    """
    windows = windows_of(tower, reading, texts)
    found = PrototypeBatch.empty(len(windows), reading.features_each, tower.width, np.float32)
    content = content_words(texts) if reading.selection == "syntax" else None
    for rows in tower_calls(tower, windows, batch_tokens):
        chosen = [windows[row] for row in rows]
        if reading.selection == "pooled":
            found.put(rows, _read_pooled(tower, reading, chosen))
        else:
            found.put(rows, _read_windows(tower, reading, chosen, content))
        on_read(len(texts_begun(windows, rows)))
    if reading.selection == "pooled":
        return in_precision(_mean_of_windows(windows, found, texts), tower.spec, reading)
    return in_precision(_merge(windows, found, len(texts), reading.k), tower.spec, reading)


def windows_of(tower: Tower, reading: Reading, texts: Sequence[Text]) -> list[Window]:
    """The sequences that a tower reads of texts, at least one a text, in order."""
    return cut_windows(tower.tokenizer, texts, tower.max_length, reading.long_texts, tower.joins_pairs, tower.clean_up)


def texts_begun(windows: Sequence[Window], rows: Sequence[int]) -> list[int]:
    """The texts whose first window is among `rows`."""
    return [windows[row].text for row in rows if row == 0 or windows[row - 1].text != windows[row].text]


def in_precision(batch: PrototypeBatch, spec: str, reading: Reading) -> PrototypeBatch:
    """The batch with its features in the reading's precision; `spec` is what they come from.

    Raises:
        PolysenseError: a feature does not fit half precision.
    """
    with np.errstate(over="ignore"):  # it is said below
        features = batch.features.astype(reading.dtype)
    if not np.isfinite(features).all():
        raise PolysenseError(
            f"tower {spec}: a feature is too large for half precision, or no number; "
            "read with exact precision (--precision exact), or check the tower's weights"
        )
    return replace(batch, features=features)


def tower_calls(tower: Tower, windows: Sequence[Window], batch_tokens: int | None = None) -> Iterator[list[int]]:
    """The numbers of the windows of each call of the tower.

    Longest first, so that a lack of memory shows at once; like lengths together, so that attention runs on rectangles.
    """
    batch_tokens = batch_tokens or BATCH_TOKENS.get(tower.device.type, MANY_TOKENS)
    batch: list[int] = []
    tokens = 0
    for row in sorted(range(len(windows)), key=lambda row: -len(windows[row].input_ids)):
        length = len(windows[row].input_ids)
        if batch and tokens + length > batch_tokens:
            yield batch
            batch, tokens = [], 0
        batch.append(row)
        tokens += length
    if batch:
        yield batch


def _read_windows(
    tower: Tower, reading: Reading, windows: Sequence[Window], content: Sequence[NDArray[np.int32]] | None
) -> PrototypeBatch:
    """One call of the tower; `content` has the spans of each text whose tokens alone are candidates, None for all."""
    tokens = PackedTokens.pack([window.input_ids for window in windows], tower.device)
    output = tower.encode(tokens, reading.layers)
    candidates = output.candidates
    if content is not None:
        candidates = candidates & torch.from_numpy(_within(windows, content)).to(candidates.device)
    flat, found = choose(windows, tokens, output.saliency, candidates, reading.k)
    features = output.states[flat].float().cpu().numpy()
    features[np.arange(reading.k) >= found.counts[:, None]] = 0
    return replace(found, features=features)


def choose(
    windows: Sequence[Window], tokens: PackedTokens, saliency: Tensor, candidates: Tensor, k: int
) -> tuple[Tensor, PrototypeBatch]:
    """The Top-K tokens of each window of one call of the tower.

    Args:
        windows: B sequences.
        tokens: the same, packed.
        saliency, candidates: (N,) of their tokens.

    Returns:
        (B, K) their numbers among the packed tokens, those of absent ones meaningless; and all that there is to say of
        them but their features, which are 0 wide.
    """
    positions, mask = top_k(tokens.pad(saliency), tokens.pad(candidates), k)
    flat, absent = tokens.starts[:, None] + positions, ~mask
    # Windows differ in length, so their attention is compared as a multiple of an even share.
    relative = saliency[flat] * tokens.sizes[:, None]
    found = PrototypeBatch(
        features=np.zeros((*positions.shape, 0), np.float32),
        counts=mask.sum(dim=1).int().cpu().numpy(),
        token_ids=tokens.input_ids[flat].masked_fill(absent, 0).int().cpu().numpy(),
        spans=np.zeros((*positions.shape, 3), np.int32),
        saliency=relative.float().masked_fill(absent, 0).cpu().numpy(),
    )
    for row, (window, places) in enumerate(zip(windows, positions.tolist(), strict=True)):
        for j in range(found.counts[row]):
            found.spans[row, j] = window.spans[places[j]]
    return flat, found


def _within(windows: Sequence[Window], content: Sequence[NDArray[np.int32]]) -> NDArray[np.bool_]:
    """(N,) which tokens of the windows share a character with a span (n, 3) of their text's `content`."""
    shared = [
        shares_a_character(content[window.text], np.array(window.spans, np.int32).reshape(-1, 3)).any(axis=0)
        for window in windows
    ]
    return np.concatenate(shared)


def _read_pooled(tower: Tower, reading: Reading, windows: Sequence[Window]) -> PrototypeBatch:
    """One call of the tower: the feature of each whole window, none of one without a word."""
    tokens = PackedTokens.pack([window.input_ids for window in windows], tower.device)
    output = tower.encode(tokens, reading.layers)
    found = PrototypeBatch.empty(len(windows), 1, tower.width, np.float32)
    counts = tokens.pad(output.candidates).any(dim=1)
    found.features[:, 0] = output.pooled.float().masked_fill(~counts[:, None], 0).cpu().numpy()
    found.counts[:] = counts.int().cpu().numpy()
    return found


def _mean_of_windows(windows: Sequence[Window], found: PrototypeBatch, texts: Sequence[Text]) -> PrototypeBatch:
    """One feature a text, the mean over its windows; its span is the whole text, of a pair the first one."""
    merged = PrototypeBatch.empty(len(texts), 1, found.features.shape[-1], np.float32)
    of_text = np.array([window.text for window in windows], np.int64)
    np.add.at(merged.features, of_text, found.features)
    np.add.at(merged.counts, of_text, found.counts)
    merged.features[:] /= np.maximum(merged.counts, 1)[:, None, None]
    merged.counts[:] = np.minimum(merged.counts, 1)
    merged.saliency[:, 0] = merged.counts
    merged.spans[:, 0, 2] = [len(text[0] if isinstance(text, tuple) else text) for text in texts]
    merged.spans[:] *= merged.counts[:, None, None]
    return merged


def _merge(windows: Sequence[Window], found: PrototypeBatch, texts: int, k: int) -> PrototypeBatch:
    """The windows' prototypes by text."""
    rows, places, counts = merged_places(windows, found, texts, k)
    merged = PrototypeBatch(
        found.features[rows, places], counts, found.token_ids[rows, places], found.spans[rows, places],
        found.saliency[rows, places],
    )  # fmt: skip
    absent = np.arange(k) >= counts[:, None]
    for values in (merged.features, merged.token_ids, merged.spans, merged.saliency):
        values[absent] = 0
    return merged


def merged_places(
    windows: Sequence[Window], found: PrototypeBatch, texts: int, k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Which of the windows' prototypes are the texts': of a long text the K strongest of all its windows.

    Returns:
        (texts, K) the window of each, (texts, K) its place among the window's, and (texts,) how many there are.
    """
    rows_of: list[list[int]] = [[] for _ in range(texts)]
    for row, window in enumerate(windows):
        rows_of[window.text].append(row)
    first = np.array([rows[0] for rows in rows_of], np.int64)
    rows, places = np.tile(first[:, None], k), np.tile(np.arange(k), (texts, 1))
    counts = found.counts[first]
    for text, several in enumerate(rows_of):
        if len(several) > 1:
            kept = _strongest(found, several, k)
            counts[text] = len(kept)
            rows[text, : len(kept)] = [row for row, _ in kept]
            places[text, : len(kept)] = [place for _, place in kept]
    return rows, places, counts


def _strongest(found: PrototypeBatch, rows: Sequence[int], k: int) -> list[tuple[int, int]]:
    """The K strongest of several windows' prototypes, by window and place, in the order of the text.

    A token that two windows share counts once, where it is stronger.
    """
    best: dict[tuple[int, ...], tuple[int, int]] = {}
    for row in rows:
        for place in range(found.counts[row]):
            key = (*found.spans[row, place].tolist(), int(found.token_ids[row, place]))
            if key not in best or found.saliency[row, place] > found.saliency[best[key]]:
                best[key] = (row, place)
    ranked = sorted(best.items(), key=lambda item: (-found.saliency[item[1]], item[0]))[:k]
    return sorted(where for _, where in ranked)
