"""A store of a million texts and three modalities: its size, how fast it opens, is read, and what memory it takes."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import Benchmark, limit, memory_kilobytes, seconds
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.lookup import CHUNK
from polysense.prototypes.store import PrototypeStore

K, WIDTHS = 4, {"image": 512, "audio": 1024, "video": 512}
SMALL, LARGE = 10_000, 1_000_000
BATCH = 32


def open_store(root: Path, modality: str) -> PrototypeStore:
    """The table of one modality."""
    return PrototypeStore(root, {"tower": modality}, K, WIDTHS[modality], np.float16)


def keys(first: int, count: int) -> NDArray[np.uint64]:
    """Keys of made-up texts, spread over all 128 bits as digests are."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    return np.stack([numbers * np.uint64(0x9E3779B97F4A7C15), numbers * np.uint64(0xC2B2AE3D27D4EB4F)], axis=1)


def fill(root: Path, texts: int) -> float:
    """Write all tables, `CHUNK` texts a shard; the seconds it took."""

    def work() -> None:
        for modality, width in WIDTHS.items():
            batch = PrototypeBatch.empty(CHUNK, K, width, np.float16)
            batch.counts[:] = K
            batch.features[:] = np.random.default_rng(0).standard_normal(batch.features.shape)
            store = open_store(root, modality)
            with store.writing():
                for first in range(0, texts, CHUNK):
                    rows = min(CHUNK, texts - first)
                    store.write(keys(first, rows), batch.rows(np.arange(rows)))

    return seconds(work)


def use(root: Path, texts: int) -> None:
    """In a process of its own: open all tables, read random batches; print seconds, milliseconds and megabytes."""
    before = memory_kilobytes("RssAnon")
    stores = [open_store(root, modality) for modality in WIDTHS]
    opening = seconds(lambda: [store.lookup(keys(0, 1)) for store in stores])
    random = np.random.default_rng(1)
    asked = [keys(int(first), BATCH) for first in random.integers(0, texts - BATCH, 2000)]

    def read(batch: NDArray[np.uint64]) -> None:
        for store in stores:
            _, intact = store.read(store.lookup(batch))
            if not intact.all():
                raise RuntimeError("a row is damaged")

    times = [seconds(lambda batch=batch: read(batch)) for batch in asked]
    print(opening, 1000 * statistics.median(times), (memory_kilobytes("RssAnon") - before) / 1024)


def benchmarks() -> list[Benchmark]:
    """All rows about the store; a tenth of the texts where the disk has no room for all."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        large = LARGE if shutil.disk_usage(root).free > 25e9 else LARGE // 10
        fill(root / "small", SMALL)
        took = fill(root / "large", large)
        size = sum(file.stat().st_size for file in (root / "large").rglob("*"))
        figures = {}
        for which, texts in (("small", SMALL), ("large", large)):
            command = [sys.executable, "-m", "benchmarks.store", str(root / which), str(texts)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            figures[which] = [float(value) for value in done.stdout.split()]
    formula = large * sum(K * (2 * width + 20) + 48 for width in WIDTHS.values())
    what = f"store of {large:,} texts x 3 modalities (512, 1024, 512 wide, K = 4, half precision)"
    return [
        limit(f"{what}: size", size / 1e9, formula / 1e9, 1.01, "GB", "reference: K (2 d + 20) + 48 bytes a row"),
        limit("the same: opening all three", figures["large"][0], 1.0, 1.0, "s", "reference: the limit"),
        limit(
            f"the same: looking up and reading {BATCH} random texts, checksums included",
            figures["large"][1],
            figures["small"][1],
            None,
            "ms",
            f"reference: a store of {SMALL:,} texts",
        ),
        limit(
            "the same: memory that reading 64,000 texts takes, mapped files apart",
            figures["large"][2],
            figures["small"][2],
            None,
            "MB",
            f"reference: a store of {SMALL:,} texts",
        ),
        limit("the same: writing it", size / 1e6 / took, 0, None, "MB/s"),
    ]


if __name__ == "__main__":
    use(Path(sys.argv[1]), int(sys.argv[2]))
