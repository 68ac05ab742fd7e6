"""From texts to conceptual prototypes: windows, the tower, Top-K, and what was chosen in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from polysense.errors import PolysenseError
from polysense.modality import PrototypeBlock
from polysense.prototypes.selection import top_k
from polysense.prototypes.windows import LongTexts, Span, Window, cut_windows
from polysense.text import Text
from polysense.towers.tower import SaliencyLayers, Tower

FORGET_AFTER = 1_000_000
"""Texts kept in memory by one extractor, above which the oldest are forgotten."""


@dataclass(frozen=True)
class Reading:
    """How prototypes are read from a tower.

    Attributes:
        k: prototypes a sentence. The papers do not give it; 4 until our sweep says better.
        layers: saliency from the "last" attention layer or the mean over "all".
        long_texts: "window" chooses over all of a long text, "truncate" over its beginning.
    """

    k: int = 4
    layers: SaliencyLayers = "last"
    long_texts: LongTexts = "window"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise PolysenseError(f"prototypes: K must be at least 1, not {self.k}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TextPrototypes:
    """The prototypes of one text, in the order of the text; n is at most K, and 0 for a text without a word.

    Attributes:
        features: (n, d_m) float32.
        tokens: the n chosen tokens as the tower's tokenizer writes them.
        spans: where each stands: text of the pair, first character, character after the last.
        saliency: (n,) attention to the token as a multiple of what evenly spread attention would give it.
    """

    features: np.ndarray
    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    saliency: np.ndarray


class PrototypeExtractor:
    """Reads prototypes from one tower and remembers them by text.

    Args:
        tower: frozen.
        reading: K and the other choices.
        batch_size: sequences a call of the tower; sequences of like length go together.
    """

    def __init__(self, tower: Tower, reading: Reading | None = None, batch_size: int = 64) -> None:
        self.tower = tower
        self.reading = reading or Reading()
        self.batch_size = batch_size
        self._known: dict[Text, TextPrototypes] = {}

    def extract(self, texts: Sequence[Text], progress: str | None = None) -> list[TextPrototypes]:
        """Prototypes of each text; a text that was seen before is not read again.

        Args:
            texts: sentences or pairs.
            progress: label of a progress bar, None for none.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        found = self._read(new, progress) if new else {}
        result = [self._known[text] if text in self._known else found[text] for text in texts]
        self._known.update(found)
        if len(self._known) > FORGET_AFTER:
            for text in list(self._known)[:-FORGET_AFTER]:
                del self._known[text]
        return result

    def block(self, texts: Sequence[Text]) -> PrototypeBlock:
        """The prototypes of a batch of texts as tensors (B, K, d_m) and (B, K)."""
        return collate(self.extract(texts), self.reading.k, self.tower.width)

    def _read(self, texts: Sequence[Text], progress: str | None) -> dict[Text, TextPrototypes]:
        tower = self.tower
        windows = cut_windows(tower.tokenizer, texts, tower.max_length, self.reading.long_texts, tower.joins_pairs)
        chosen: dict[int, list[list[_Choice]]] = defaultdict(list)
        with tqdm(total=len(windows), desc=progress, unit="text", disable=progress is None, leave=False) as bar:
            for batch in _batches(windows, self.batch_size):
                for window, choices in zip(batch, self._choose(batch), strict=True):
                    chosen[window.text].append(choices)
                bar.update(len(batch))
        return {text: self._merge(chosen[i]) for i, text in enumerate(texts)}

    def _choose(self, windows: Sequence[Window]) -> Iterator[list[_Choice]]:
        tower, device = self.tower, self.tower.device
        ids = [torch.tensor(window.input_ids) for window in windows]
        input_ids = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=tower.tokenizer.pad_token_id)
        lengths = torch.tensor([len(x) for x in ids])
        attention_mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
        output = tower.encode(input_ids.to(device), attention_mask.to(device), self.reading.layers)
        positions, mask = top_k(output.saliency, output.candidates, self.reading.k)
        width = output.states.shape[-1]
        features = output.states.gather(1, positions[..., None].expand(-1, -1, width)).float().cpu().numpy()
        # Windows differ in length, so their attention is compared as a multiple of an even share.
        relative = (output.saliency * lengths.to(device)[:, None]).gather(1, positions).float().cpu().numpy()
        for row, window in enumerate(windows):
            places = positions[row][mask[row]].tolist()
            yield [
                _Choice(window.input_ids[p], window.spans[p], float(relative[row, j]), features[row, j])
                for j, p in enumerate(places)
            ]

    def _merge(self, windows: list[list[_Choice]]) -> TextPrototypes:
        """Top-K over the windows of one text; a token that two windows share counts once, where it is stronger."""
        kept = windows[0]
        if len(windows) > 1:
            best: dict[tuple[Span, int], _Choice] = {}
            for choice in sorted((c for w in windows for c in w), key=lambda c: c.saliency):
                best[choice.span, choice.token_id] = choice
            strongest = sorted(best.values(), key=lambda c: (-c.saliency, c.span))[: self.reading.k]
            kept = sorted(strongest, key=lambda c: c.span)
        return TextPrototypes(
            features=np.stack([c.feature for c in kept]) if kept else np.zeros((0, self.tower.width), np.float32),
            tokens=tuple(self.tower.tokenizer.convert_ids_to_tokens([c.token_id for c in kept])),
            spans=tuple(c.span for c in kept),
            saliency=np.array([c.saliency for c in kept], np.float32),
        )


@dataclass(frozen=True)
class _Choice:
    token_id: int
    span: Span
    saliency: float
    feature: np.ndarray


def collate(prototypes: Sequence[TextPrototypes], k: int, width: int) -> PrototypeBlock:
    """Pad the prototypes of a batch to (B, K, d_m), with their mask (B, K)."""
    features = torch.zeros(len(prototypes), k, width)
    mask = torch.zeros(len(prototypes), k, dtype=torch.bool)
    for row, item in enumerate(prototypes):
        n = len(item.tokens)
        features[row, :n] = torch.from_numpy(item.features)
        mask[row, :n] = True
    return PrototypeBlock(features, mask)


def _batches(windows: Sequence[Window], size: int) -> Iterator[list[Window]]:
    """Windows of like length together, longest first, so that a lack of memory shows at once."""
    ordered = sorted(windows, key=lambda window: -len(window.input_ids))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
