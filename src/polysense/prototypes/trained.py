"""Prototypes of a tower that is trained along with a model: "Non-fixed" in MaCSC Table 6.

They change with every step, so nothing is kept: a batch holds what the tower reads (windows), and the model reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from polysense.errors import PolysenseError
from polysense.modality import PrototypeBlock
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.prototypes.lookup import ReadCounts, open_unchanged
from polysense.prototypes.reader import choose, merged_places, tower_calls, windows_of
from polysense.prototypes.reading import Reading
from polysense.prototypes.windows import Window
from polysense.text import Text
from polysense.towers.packing import PackedTokens
from polysense.towers.tower import Tower

TRAIN = "train:"
"""Before the spec of a tower that is trained."""


class LiveTower(nn.Module):
    """A tower as a part of a model: gradients reach its weights through the features of its prototypes.

    Which tokens are chosen has no gradient. The tower stays in eval mode: it reads without dropout, and before the
    first step as it does when it is frozen.

    Args:
        tower: trained from here on.
        reading: by saliency, or the pooled feature.
    """

    def __init__(self, tower: Tower, reading: Reading) -> None:
        super().__init__()
        self.tower, self.reading = tower.thaw(), reading

    def forward(self, windows: Sequence[Window]) -> PrototypeBlock:
        """The prototypes (B, K, d_m) of the texts 0 to B - 1 that the windows are of, on the tower's device."""
        texts, pooled = windows[-1].text + 1, self.reading.selection == "pooled"
        found = PrototypeBatch.empty(len(windows), self.reading.features_each, 0, np.float32)
        numbers = np.zeros((len(windows), self.reading.features_each), np.int64)
        parts: list[Tensor] = []
        for rows in tower_calls(self.tower, windows):
            some = [windows[row] for row in rows]
            tokens = PackedTokens.pack([window.input_ids for window in some], self.tower.device)
            output = self.tower.encode(tokens, self.reading.layers)
            flat, chosen = choose(some, tokens, output.saliency.detach(), output.candidates, numbers.shape[1])
            found.put(rows, chosen)
            before = sum(map(len, parts))
            numbers[rows] = before + (np.arange(len(rows))[:, None] if pooled else flat.cpu().numpy())
            parts.append(output.pooled if pooled else output.states)
        features = torch.cat(parts).float()
        if pooled:
            return _means(windows, features[self._on_device(numbers[:, 0])], self._on_device(found.counts), texts)
        rows_of, places, counts = merged_places(windows, found, texts, self.reading.k)
        mask = self._on_device(np.arange(self.reading.k) < counts[:, None])
        return PrototypeBlock(features[self._on_device(numbers[rows_of, places])] * mask[..., None], mask)

    def _on_device(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.tower.device)


def _means(windows: Sequence[Window], features: Tensor, counts: Tensor, texts: int) -> PrototypeBlock:
    """One feature a text: the mean (d_m,) over those of its windows (W, d_m) that have a word (counts (W,))."""
    of_text = torch.tensor([window.text for window in windows], device=features.device)
    kept = (counts > 0).to(features)
    sums = features.new_zeros(texts, features.shape[1]).index_add(0, of_text, features * kept[:, None])
    several = kept.new_zeros(texts).index_add(0, of_text, kept)
    return PrototypeBlock((sums / several.clamp(min=1)[:, None])[:, None], (several > 0)[:, None])


class TrainedExtractor(PrototypeExtractor):
    """Where the prototypes of a modality come from while its tower is trained.

    `begin` starts a training run; before it nothing can be read. Features are exact whatever the reading says.

    Args:
        tower: as it is before training; each run starts from it.
        reading: K and the other choices.

    Raises:
        PolysenseError: the tower cannot be trained, or the reading chooses by what is no part of the tower.
    """

    def __init__(self, tower: Tower, reading: Reading | None = None) -> None:
        super().__init__(tower, replace(reading or Reading(), precision="exact"))
        self._live: LiveTower | None = None
        if not tower.trainable:
            raise self._error("there is nothing to train in it; give a text tower")
        if any(parameter.dtype != torch.float32 for parameter in tower.parameters()):
            raise self._error("weights in half precision cannot be trained; leave bf16: out")
        if self.reading.selection == "syntax":
            raise self._error("selection syntax parses texts ahead of time; choose saliency or pooled with train:")

    @property
    def spec(self) -> str:
        return f"{TRAIN}{self.handle.spec}"

    @property
    def fingerprint(self) -> str:
        """Of the tower before training, and that it is trained."""
        return f"{TRAIN}{self.handle.fingerprint}"

    @property
    def tower(self) -> Tower:
        """As it is by now."""
        return self._begun().tower

    def begin(self) -> LiveTower:
        """The tower as it was before any training, for a model of this run; what an earlier run made of it is gone."""
        self._live = LiveTower(open_unchanged(self.handle.spec, self.handle.fingerprint), self.reading)
        return self._live

    def windows(self, texts: Sequence[Text]) -> list[Window]:
        """What the tower reads of a batch of texts: the input of `LiveTower`."""
        return windows_of(self.tower, self.reading, texts)

    def prepare(self, items: Iterable[Text], *_: Any, **__: Any) -> ReadCounts:  # noqa: ARG002
        """Nothing can be read ahead."""
        self._begun()
        return ReadCounts()

    def look_ahead(self, items: Sequence[Text]) -> None:
        """Nothing can be read ahead."""

    def batch(self, items: Sequence[Text]) -> PrototypeBatch:
        """Read by the tower as it is by now, without gradients; nothing is remembered."""
        return self.read(items)

    def mentions(self) -> NoReturn:
        """The features of entities are read once.

        Raises:
            PolysenseError: always.
        """
        raise self._error(
            "the method looks at entities, whose features are read once; choose one without scene graphs, or leave "
            "train: out"
        )

    def _begun(self) -> LiveTower:
        if self._live is None:
            raise self._error("only polysense train and compare train a tower; leave train: out")
        return self._live

    def _error(self, reason: str) -> PolysenseError:
        return PolysenseError(f"tower {self.spec}: {reason}")
