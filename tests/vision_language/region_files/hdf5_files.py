"""HDF5 files of regions, written here and in the published adaptive layout.

A plugin, for its fixture: `pytest_plugins = ("vision_language.region_files.hdf5_files",)`. It is imported by name too,
before pytest could rewrite its assertions: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from polysense.vision_language.region_files import write_regions
from polysense.vision_language.regions import Regions

WIDTH, HEIGHT = 64, 48


def regions(count: int, seed: int = 0, *, scored: bool = True, features: int = 6) -> Regions:
    random = np.random.default_rng(seed)
    low = random.uniform(0, 20, (count, 2))
    boxes = np.concatenate([low, low + random.uniform(5, 25, (count, 2))], axis=1).astype(np.float32)
    tags = [("cat", "", "traffic light", "naïve dog")[i % 4] for i in range(count)]
    scores = random.uniform(0, 1, count).astype(np.float32) if scored else None
    return Regions(random.normal(size=(count, features)).astype(np.float16), boxes, WIDTH, HEIGHT, tags, scores)


WRITTEN = {"9": regions(3, 1), "none": regions(0, 2, scored=False), "café": regions(5, 3, scored=False)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_regions(tmp_path / "regions.h5", WRITTEN.items())
    return tmp_path / "regions.h5"


def adaptive(file: Path, **changed: object) -> None:
    """The published adaptive layout of two pictures, 640 x 480 and 500 x 333, without ids."""
    boxes = np.array([[0, 0, 640, 480], [10, 20, 110, 220], [5, 5, 499.5, 333]], dtype=np.float32)
    sizes = np.array([[640, 480], [640, 480], [500, 333]], dtype=np.float32)
    shares = boxes / np.tile(sizes, 2)
    content: dict[str, object] = {
        "image_features": np.arange(12, dtype=np.float32).reshape(3, 4),
        "image_bb": boxes,
        "spatial_features": np.concatenate([shares, shares[:, 2:] - shares[:, :2]], axis=1),
        "pos_boxes": np.array([[0, 2], [2, 3]], dtype=np.int32),
    }
    with h5py.File(file, "w") as target:
        for name, value in (content | changed).items():
            if value is not None:
                target[name] = value
