"""Reading prototypes with a tower: windows, the tower, Top-K, and the windows of a long text merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from polysense.errors import PolysenseError
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.reading import Reading
from polysense.prototypes.selection import top_k
from polysense.prototypes.windows import Window, cut_windows
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


def read_prototypes(
    tower: Tower,
    reading: Reading,
    texts: Sequence[Text],
    batch_tokens: int | None = None,
    on_read: Callable[[int], object] = lambda _: None,
) -> PrototypeBatch:
    """The prototypes of each text, in order (MaCSC Eq. 1).

    Args:
        tower: frozen; runs where it is.
        reading: K and the other choices.
        texts: sentences or pairs. All of them are in memory at once: give a data set in chunks.
        batch_tokens: tokens of texts a call of the tower, if no single sequence is longer; None: by its device.
        on_read: told the number of texts read, for a progress bar.

    Raises:
        PolysenseError: a feature does not fit half precision.
    """
    windows = windows_of(tower, reading, texts)
    found = PrototypeBatch.empty(len(windows), reading.k, tower.width, np.float32)
    for rows in tower_calls(tower, windows, batch_tokens):
        found.put(rows, _read_windows(tower, reading, [windows[row] for row in rows]))
        on_read(len(texts_begun(windows, rows)))
    return in_precision(_merge(windows, found, len(texts), reading.k), tower, reading)


def windows_of(tower: Tower, reading: Reading, texts: Sequence[Text]) -> list[Window]:
    """The sequences that a tower reads of texts, at least one a text, in order."""
    return cut_windows(tower.tokenizer, texts, tower.max_length, reading.long_texts, tower.joins_pairs, tower.clean_up)


def texts_begun(windows: Sequence[Window], rows: Sequence[int]) -> list[int]:
    """The texts whose first window is among `rows`."""
    return [windows[row].text for row in rows if row == 0 or windows[row - 1].text != windows[row].text]


def in_precision(batch: PrototypeBatch, tower: Tower, reading: Reading) -> PrototypeBatch:
    """The batch with its features in the reading's precision.

    Raises:
        PolysenseError: a feature does not fit half precision.
    """
    with np.errstate(over="ignore"):  # it is said below
        features = batch.features.astype(reading.dtype)
    if not np.isfinite(features).all():
        raise PolysenseError(
            f"tower {tower.spec}: a feature is too large for half precision, or no number; "
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


def _read_windows(tower: Tower, reading: Reading, windows: Sequence[Window]) -> PrototypeBatch:
    """One call of the tower."""
    tokens = PackedTokens.pack([window.input_ids for window in windows], tower.device)
    output = tower.encode(tokens, reading.layers)
    positions, mask = top_k(tokens.pad(output.saliency), tokens.pad(output.candidates), reading.k)
    flat, absent = tokens.starts[:, None] + positions, ~mask
    # Windows differ in length, so their attention is compared as a multiple of an even share.
    relative = output.saliency[flat] * tokens.sizes[:, None]
    found = PrototypeBatch(
        features=output.states[flat].float().masked_fill(absent[..., None], 0).cpu().numpy(),
        counts=mask.sum(dim=1).int().cpu().numpy(),
        token_ids=tokens.input_ids[flat].masked_fill(absent, 0).int().cpu().numpy(),
        spans=np.zeros((*positions.shape, 3), np.int32),
        saliency=relative.float().masked_fill(absent, 0).cpu().numpy(),
    )
    for row, (window, places) in enumerate(zip(windows, positions.tolist(), strict=True)):
        for j in range(found.counts[row]):
            found.spans[row, j] = window.spans[places[j]]
    return found


def _merge(windows: Sequence[Window], found: PrototypeBatch, texts: int, k: int) -> PrototypeBatch:
    """The windows' prototypes by text; of a long text the K strongest of all its windows."""
    rows_of: list[list[int]] = [[] for _ in range(texts)]
    for row, window in enumerate(windows):
        rows_of[window.text].append(row)
    merged = found.rows([rows[0] for rows in rows_of])
    for text, rows in enumerate(rows_of):
        if len(rows) > 1:
            merged.put([text], _strongest(found.rows(rows), k))
    return merged


def _strongest(parts: PrototypeBatch, k: int) -> PrototypeBatch:
    """The K strongest of several windows' prototypes, in the order of the text.

    A token that two windows share counts once, where it is stronger.
    """
    best: dict[tuple[int, ...], tuple[int, int]] = {}
    for row, count in enumerate(parts.counts):
        for place in range(count):
            key = (*parts.spans[row, place].tolist(), int(parts.token_ids[row, place]))
            if key not in best or parts.saliency[row, place] > parts.saliency[best[key]]:
                best[key] = (row, place)
    ranked = sorted(best.items(), key=lambda item: (-parts.saliency[item[1]], item[0]))[:k]
    kept = [where for _, where in sorted(ranked)]
    result = PrototypeBatch.empty(1, k, parts.features.shape[-1], np.float32)
    result.counts[0] = len(kept)
    for j, where in enumerate(kept):
        result.features[0, j], result.token_ids[0, j] = parts.features[where], parts.token_ids[where]
        result.spans[0, j], result.saliency[0, j] = parts.spans[where], parts.saliency[where]
    return result
