"""Prototypes remembered in memory, by the key of their text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polysense.prototypes.batch import PrototypeBatch


class MemoryTable:
    """What an extractor has computed itself.

    Args:
        most_bytes: of features, above which everything is forgotten; None keeps all.
    """

    def __init__(self, most_bytes: int | None = None) -> None:
        self._rows: dict[tuple[int, ...], tuple[PrototypeBatch, int]] = {}
        self._most_bytes = most_bytes
        self._bytes = 0

    def knows(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """(n,) whether the row of each key (n, 2) is there."""
        return np.array([tuple(key) in self._rows for key in keys.tolist()], bool)

    def read(self, keys: NDArray[np.uint64], into: PrototypeBatch) -> NDArray[np.bool_]:
        """Copy the rows of known keys (n, 2) to the same places of `into`; returns (n,) which were known."""
        found = np.zeros(len(keys), bool)
        for i, key in enumerate(map(tuple, keys.tolist())):
            if key in self._rows:
                batch, row = self._rows[key]
                into.put([i], batch.rows([row]))
                found[i] = True
        return found

    def write(self, keys: NDArray[np.uint64], batch: PrototypeBatch) -> None:
        """Remember a batch by its keys (n, 2)."""
        if self._most_bytes is not None and self._bytes + batch.features.nbytes > self._most_bytes:
            self._rows.clear()
            self._bytes = 0
        self._bytes += batch.features.nbytes
        self._rows.update({tuple(key): (batch, row) for row, key in enumerate(keys.tolist())})
