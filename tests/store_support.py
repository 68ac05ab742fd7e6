"""A tiny table of stored prototypes, whose right contents follow from the texts alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.store import PrototypeStore
from polysense.text import Text, text_keys

K, WIDTH = 2, 4
FIELDS = ("features", "counts", "token_ids", "spans", "saliency")
ROW_BYTES = K * (WIDTH * 2 + 4 + 12 + 4) + 4 + 16 + 4
TEXTS: tuple[Text, ...] = tuple(("a pair", f"of {i}") if i % 5 == 0 else f"sentence {i}" for i in range(40))


def tiny_store(root: Path, tower: str = "tiny") -> PrototypeStore:
    return PrototypeStore(root, {"tower": tower, "reading": {"k": K}}, K, WIDTH, np.float16)


def prototypes(texts: Sequence[Text], k: int = K, width: int = WIDTH, dtype: type = np.float16) -> PrototypeBatch:
    """What a tower would find: random, but always the same for the same text."""
    batch = PrototypeBatch.empty(len(texts), k, width, dtype)
    for i, key in enumerate(text_keys(texts)):
        random = np.random.default_rng(key)
        n = int(random.integers(k + 1))
        batch.counts[i] = n
        batch.features[i, :n] = random.standard_normal((n, width))
        batch.token_ids[i, :n] = random.integers(30_000, size=n)
        batch.spans[i, :n] = random.integers(100, size=(n, 3))
        batch.saliency[i, :n] = random.random(n)
    return batch


def absent(store: PrototypeStore, texts: Sequence[Text]) -> list[Text]:
    """Texts that are not there or damaged. Those that are there must be right: this never lets a wrong row pass."""
    rows = store.lookup(text_keys(texts))
    found = np.flatnonzero(rows >= 0)
    batch, intact = store.read(rows[found])
    expected = prototypes([texts[i] for i in found[intact]])
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(batch, name)[intact], getattr(expected, name))
    there = set(found[intact].tolist())
    return [text for i, text in enumerate(texts) if i not in there]


def fill(store: PrototypeStore, texts: Sequence[Text] = TEXTS, chunk: int = 10) -> list[int]:
    """Store what is absent, chunk by chunk, as an extractor does; how many texts each chunk had to have computed."""
    computed = []
    with store.writing():
        for start in range(0, len(texts), chunk):
            new = absent(store, texts[start : start + chunk])
            if new:
                store.write(text_keys(new), prototypes(new))
            computed.append(len(new))
    return computed


def contents(store: PrototypeStore) -> dict[str, bytes]:
    """Every file of the table."""
    return {file.name: file.read_bytes() for file in sorted(store.folder.iterdir())}
