"""Writes regions as HDF5 in the layout that `hdf5` describes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from polysense.errors import PolysenseError
from polysense.text import clean
from polysense.vision_language.annotations.records import writing
from polysense.vision_language.regions import Regions

_BUFFER = 4096  # regions held before they are written
_CHUNK_BYTES = 2**17  # of features in one chunk: about one picture's


def write_hdf5(file: Path, regions: Iterable[tuple[str, Regions]]) -> None:
    """Write regions; see `polysense.vision_language.region_files.write_regions`."""
    # HDF5 writes by name, not to a stream; the stream makes the same file whole. From HDF5 1.10 on what describes data
    # has checksums; the data themselves have Fletcher's.
    with writing(file) as staged, h5py.File(staged.name, "w", libver=("v110", "v110")) as target:
        _Writer(file, target).write(regions)


class _Writer:
    def __init__(self, file: Path, target: Any) -> None:
        self._file = file
        self._target = target
        self._buffer: list[dict[str, NDArray[Any]]] = []
        self._held = 0
        self._tag_rows: dict[str, int] = {"": -1}

    def write(self, regions: Iterable[tuple[str, Regions]]) -> None:
        names: dict[str, None] = {}
        ends = [0]
        sizes = []
        width = None
        for name, found in regions:
            if name in names:
                raise PolysenseError(f"{self._file}: picture {name!r} is there twice; give each once")
            if width is None:
                width = found.features.shape[1]
                self._start(width)
            if found.features.shape[1] != width:
                raise PolysenseError(
                    f"{self._file}, picture {name!r}: features of width {found.features.shape[1]} where the first "
                    f"picture's have {width}; give features of one extractor"
                )
            names[name] = None
            ends.append(ends[-1] + len(found))
            sizes.append((found.width, found.height))
            self._add(name, found)
        if width is None:
            raise PolysenseError(f"{self._file}: there are no pictures to write")
        self._flush()
        if unusable := [text for text in [*names, *self._tag_rows] if clean(text) != text]:
            raise PolysenseError(
                f"{self._file}: the name {unusable[0]!r} has a character that HDF5 cannot hold; rename it"
            )
        self._write("image_ids", _fixed(list(names)))
        self._write("image_size", np.array(sizes, dtype=np.int32))
        self._write("pos_boxes", np.array([ends[:-1], ends[1:]], dtype=np.int64).T)
        self._write("tag_names", _fixed(list(self._tag_rows)[1:]))

    def _write(self, name: str, values: NDArray[Any]) -> None:
        # Only what is cut into chunks has checksums, and no chunk is empty.
        self._target.create_dataset(name, data=values, fletcher32=len(values) > 0)

    def _start(self, width: int) -> None:
        if width < 1:
            raise PolysenseError(f"{self._file}: features of width 0 cannot be written")
        rows = max(1, min(_BUFFER, _CHUNK_BYTES // (2 * width)))
        for name, shape, kind in (
            ("image_features", (width,), np.float16),
            ("image_bb", (4,), np.float32),
            ("tags", (), np.int32),
            ("scores", (), np.float32),
        ):
            self._target.create_dataset(
                name, (0, *shape), kind, maxshape=(None, *shape), chunks=(rows, *shape), fletcher32=True
            )

    def _add(self, name: str, found: Regions) -> None:
        with np.errstate(over="ignore"):
            features = found.features.astype(np.float16)
        if not np.isfinite(features).all():
            raise PolysenseError(
                f"{self._file}, picture {name!r}: a feature is too large for float16 (65,504); scale the features down"
            )
        tags = [self._tag_rows.setdefault(tag, len(self._tag_rows) - 1) for tag in found.tags]
        # NaN says that the detector gave no score.
        scores = np.full(len(found), np.nan, dtype=np.float32) if found.scores is None else found.scores
        self._buffer.append(
            {
                "image_features": features,
                "image_bb": found.boxes.astype(np.float32),
                "tags": np.array(tags, dtype=np.int32),
                "scores": scores.astype(np.float32),
            }
        )
        self._held += len(found)
        if self._held >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        for name in self._buffer[0] if self._buffer else ():
            dataset = self._target[name]
            begin = len(dataset)
            dataset.resize(begin + self._held, axis=0)
            dataset[begin:] = np.concatenate([part[name] for part in self._buffer])
        self._buffer, self._held = [], 0


def _fixed(texts: Sequence[str]) -> NDArray[Any]:
    """Texts as bytes of one length: HDF5 keeps those of any length in a heap without checksums, and may never come back
    from a damaged one."""
    encoded = [text.encode() for text in texts]
    return np.array(encoded, dtype=h5py.string_dtype(length=max([1, *map(len, encoded)])))
