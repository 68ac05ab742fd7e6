from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.store import fill, use

from polysense.prototypes.key_index import SHARD_BITS
from polysense.prototypes.store import PrototypeStore


def test_the_texts_of_a_batch_lie_all_over_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.store.WIDTHS", {"image": 8})
    monkeypatch.setattr("benchmarks.store.CHUNK", 10)
    monkeypatch.setattr("benchmarks.store.BATCHES", 5)
    fill(tmp_path, 500)
    read, shards = PrototypeStore.read, []

    def spy(self: PrototypeStore, rows: Any) -> Any:
        shards.append(np.unique(rows >> SHARD_BITS).size)
        return read(self, rows)

    monkeypatch.setattr(PrototypeStore, "read", spy)
    use(tmp_path, 500)
    assert len(shards) == 5
    assert min(shards) > 15  # of 50, where 32 neighbours lie in 4 or 5
