"""Prototypes of many texts side by side: what an extractor computes and a store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PrototypeBatch:
    """The conceptual prototypes of n texts from one tower (MaCSC Eq. 1), in the order of each text.

    A text with fewer than K prototypes has them in its first places; the other places are zero.

    Attributes:
        features: (n, K, d_m) float16 or float32.
        counts: (n,) int32, prototypes of each text; 0 for a text without a word.
        token_ids: (n, K) int32, the chosen tokens of the tower's tokenizer.
        spans: (n, K, 3) int32, where each stands: text of the pair, first character, character after the last.
        saliency: (n, K) float32, attention to the token as a multiple of what evenly spread attention would give it.
    """

    features: NDArray[np.float16] | NDArray[np.float32]
    counts: NDArray[np.int32]
    token_ids: NDArray[np.int32]
    spans: NDArray[np.int32]
    saliency: NDArray[np.float32]

    @classmethod
    def empty(cls, n: int, k: int, width: int, dtype: type[np.floating]) -> Self:
        """n texts without a prototype."""
        return cls(
            features=np.zeros((n, k, width), dtype),
            counts=np.zeros(n, np.int32),
            token_ids=np.zeros((n, k), np.int32),
            spans=np.zeros((n, k, 3), np.int32),
            saliency=np.zeros((n, k), np.float32),
        )

    def __len__(self) -> int:
        return len(self.counts)

    def rows(self, index: NDArray[np.int64] | Sequence[int]) -> PrototypeBatch:
        """The texts at `index`, in that order."""
        i = np.asarray(index, np.int64)
        return PrototypeBatch(self.features[i], self.counts[i], self.token_ids[i], self.spans[i], self.saliency[i])

    def put(self, index: NDArray[np.int64] | Sequence[int], rows: PrototypeBatch) -> None:
        """Set the texts at `index` to `rows`."""
        i = np.asarray(index, np.int64)
        self.features[i], self.counts[i] = rows.features, rows.counts
        self.token_ids[i], self.spans[i], self.saliency[i] = rows.token_ids, rows.spans, rows.saliency
