"""A store of a million texts and three modalities: its size, how fast it opens, is read, and what memory it takes.

Files are opened and read right after they were written, so that they come from the page cache: the time is that of the
processor, not of a disk. `python -m benchmarks.store FOLDER TEXTS` uses a store alone and prints what it took as JSON.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import Benchmark, limit, memory_kilobytes, seconds
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.lookup import CHUNK
from polysense.prototypes.store import PrototypeStore

K, WIDTHS = 4, {"image": 512, "audio": 1024, "video": 512}
SMALL, LARGE = 10_000, 1_000_000
BATCH, BATCHES = 32, 2000


@dataclass(frozen=True)
class Use:
    """What using a store took, files apart that are mapped.

    Attributes:
        opening_seconds: to open all tables and look one text up in each.
        opening_megabytes: that this took.
        reading_milliseconds: the median of `BATCHES` batches, all modalities of `BATCH` texts each.
        megabytes: that opening and all reading took together.
    """

    opening_seconds: float
    opening_megabytes: float
    reading_milliseconds: float
    megabytes: float


def open_store(root: Path, modality: str) -> PrototypeStore:
    """The table of one modality."""
    return PrototypeStore(root, {"tower": modality}, K, WIDTHS[modality], np.float16)


def keys(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Keys (n, 2) of made-up texts by their numbers (n,), spread over all 128 bits as digests are."""
    return np.stack([numbers * np.uint64(0x9E3779B97F4A7C15), numbers * np.uint64(0xC2B2AE3D27D4EB4F)], axis=1)


def fill(root: Path, texts: int) -> float:
    """Write all tables, `CHUNK` texts a shard; the seconds it took."""

    batches = {modality: PrototypeBatch.empty(CHUNK, K, width, np.float16) for modality, width in WIDTHS.items()}
    for batch in batches.values():
        batch.counts[:] = K
        batch.features[:] = np.random.default_rng(0).standard_normal(batch.features.shape)

    def work() -> None:
        for modality, batch in batches.items():
            store = open_store(root, modality)
            with store.writing():
                for first in range(0, texts, CHUNK):
                    rows = min(CHUNK, texts - first)
                    numbers = np.arange(first, first + rows, dtype=np.uint64)
                    store.write(keys(numbers), batch.rows(np.arange(rows)))

    return seconds(work)


def use(root: Path, texts: int) -> Use:
    """Open all tables and read batches, each of texts drawn alone, so that they lie all over the files."""
    before = memory_kilobytes("RssAnon")
    stores = [open_store(root, modality) for modality in WIDTHS]
    opening = seconds(lambda: [store.lookup(keys(np.zeros(1, np.uint64))) for store in stores])
    opened = memory_kilobytes("RssAnon")
    asked = keys(np.random.default_rng(1).integers(0, texts, BATCHES * BATCH, np.uint64)).reshape(BATCHES, BATCH, 2)
    drawn = memory_kilobytes("RssAnon")

    def read(batch: NDArray[np.uint64]) -> None:
        for store in stores:
            _, intact = store.read(store.lookup(batch))
            if not intact.all():
                raise RuntimeError("a row is damaged")

    times = [seconds(lambda batch=batch: read(batch)) for batch in asked]
    taken = opened - before + memory_kilobytes("RssAnon") - drawn  # without the batches' own keys
    return Use(opening, (opened - before) / 1024, 1000 * statistics.median(times), taken / 1024)


def use_alone(root: Path, texts: int) -> Use:
    """The same in a process of its own, whose memory nothing else fills."""
    command = [sys.executable, "-m", "benchmarks.store", str(root), str(texts)]
    return Use(**json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def benchmarks() -> list[Benchmark]:
    """All rows about the store; a tenth of the texts where the disk has no room for all."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        large = LARGE if shutil.disk_usage(root).free > 25e9 else LARGE // 10
        fill(root / "small", SMALL)
        took = fill(root / "large", large)
        size = sum(file.stat().st_size for file in (root / "large").rglob("*"))
        small_use, large_use = use_alone(root / "small", SMALL), use_alone(root / "large", large)
    formula = large * sum(K * (2 * width + 20) + 48 for width in WIDTHS.values())
    what = f"store of {large:,} texts x 3 modalities (512, 1024, 512 wide, K = 4, half precision)"
    beside = f"reference: a store of {SMALL:,} texts"
    return [
        limit(f"{what}: size", size / 1e9, formula / 1e9, 1.01, "GB", "reference: K (2 d + 20) + 48 bytes a row"),
        limit("the same: opening all three", large_use.opening_seconds, 1.0, 1.0, "s", "reference: the limit"),
        limit(
            "the same: memory that opening takes, mapped files apart",
            large_use.opening_megabytes,
            small_use.opening_megabytes,
            None,
            "MB",
            beside,
        ),
        limit(
            f"the same: looking up and reading {BATCH} random texts from the page cache, checksums included",
            large_use.reading_milliseconds,
            small_use.reading_milliseconds,
            None,
            "ms",
            beside,
        ),
        limit(
            f"the same: memory that opening and reading {BATCH * BATCHES:,} texts takes, mapped files apart",
            large_use.megabytes,
            small_use.megabytes,
            None,
            "MB",
            beside,
        ),
        limit("the same: writing it", size / 1e6 / took, 0, None, "MB/s"),
    ]


if __name__ == "__main__":
    print(json.dumps(asdict(use(Path(sys.argv[1]), int(sys.argv[2])))))
