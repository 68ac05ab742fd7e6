"""Files of regions, and folders of data to train on."""

from __future__ import annotations

import base64
import gzip
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import lmdb
import numpy as np

from benchmarks.reliability.fuzz.reader import Reader
from benchmarks.reliability.fuzz.readers.annotations import PICTURES, SIZE, SIZES, write_parts
from polysense.vision_language.annotations import write_image_data
from polysense.vision_language.captions import read_caption_folder
from polysense.vision_language.region_files import open_regions, write_regions
from polysense.vision_language.regions import Regions, RegionSource
from polysense.vision_language.tasks import get_task

_COUNT, _WIDTH = 3, 8
_NAMES = ("cat", "dog", "mat")
_SHARES = np.array([[0, 0, 0.5, 0.5], [0.25, 0.125, 1, 1], [0.5, 0.5, 1, 1]], np.float32)
_BOXES = (_SHARES * np.array([*SIZE, *SIZE])).astype(np.float32)
_IDS = np.array([0, 1, 2], np.int64)
_SCORES = np.array([0.5, 0.75, 1], np.float32)


def _features(number: int) -> Any:
    return np.random.default_rng(number).random((_COUNT, _WIDTH), np.float32)


def _write_own(file: Path) -> None:
    rows = ((name, Regions(_features(i), _BOXES, *SIZE, _NAMES, _SCORES)) for i, name in enumerate(PICTURES))
    write_regions(file, rows)


def read_all(source: RegionSource) -> Any:
    """Every picture; a public reader is lazy."""
    return {name: source[name] for name in source}


def _own(name: str, in_memory: bool) -> Reader:
    return Reader(
        name,
        lambda folder: _write_own(folder / "regions.h5"),
        lambda folder: read_all(open_regions(folder / "regions.h5", in_memory=in_memory)),
        checksums=True,
    )


def _write_published(folder: Path) -> None:
    """As bottom-up-attention-vqa has it, with the pictures' rows in a pickle beside."""
    with h5py.File(folder / "train36.hdf5", "w") as file:
        file["image_features"] = np.stack([_features(i) for i in range(len(PICTURES))])
        file["image_bb"] = np.stack([_BOXES] * len(PICTURES))
    with (folder / "ids.pkl").open("wb") as stream:
        pickle.dump({name: row for row, name in enumerate(PICTURES)}, stream, protocol=2)
    write_image_data(folder / "image_data.json", SIZES)


def _read_published(folder: Path) -> Any:
    sizes, ids = folder / "image_data.json", folder / "ids.pkl"
    return read_all(open_regions(folder / "train36.hdf5", sizes=sizes, ids_file=ids))


def _packed(content: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **content)
    return stream.getvalue()


def _uniter(number: int) -> bytes:
    norm = np.concatenate([_SHARES, _SHARES[:, 2:] - _SHARES[:, :2]], axis=1)
    scores = np.eye(_COUNT, len(_NAMES) + 1, 1)
    return _packed({"features": _features(number), "norm_bb": norm, "conf": _SCORES, "soft_labels": scores})


def _bottom_up(number: int) -> bytes:
    info = {"objects_id": _IDS + 1, "objects_conf": _SCORES, "image_id": PICTURES[number]}
    sides = {"num_bbox": _COUNT, "image_h": SIZE[1], "image_w": SIZE[0]}
    return _packed({"x": _features(number), "bbox": _BOXES, "info": info, **sides})


def _write_npz(made: Callable[[int], bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "names.txt").write_text("\n".join(_NAMES))
        if made is _uniter:  # the other layout has the pictures' sizes
            write_image_data(folder / "sizes.json", SIZES)
        (folder / "npz").mkdir()
        for number, name in enumerate(PICTURES):
            (folder / "npz" / f"{name}.npz").write_bytes(made(number))

    return write


def _write_lmdb(folder: Path) -> None:
    (folder / "names.txt").write_text("\n".join(_NAMES))
    write_image_data(folder / "sizes.json", SIZES)
    place = folder / "lmdb"
    with lmdb.open(str(place), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for number, name in enumerate(PICTURES):
            transaction.put(f"{name}.npz".encode(), _uniter(number))
        transaction.put(b"__keys__", json.dumps([f"{name}.npz" for name in PICTURES]).encode())
        for number in range(200):  # so that there is more than one page of keys
            transaction.put(f"unused {number}".encode(), bytes(40))
    (place / "lock.mdb").unlink()


def _read_named(place: str, sizes: bool) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        given = folder / "sizes.json" if sizes else None
        return read_all(open_regions(folder / place, sizes=given, tag_names=folder / "names.txt"))

    return read


def _tsv(lxmert: bool) -> bytes:
    lines = []
    for number, name in enumerate(PICTURES):
        boxes, features = (base64.b64encode(a.tobytes()).decode() for a in (_BOXES, _features(number)))
        if lxmert:
            ids, scores = (base64.b64encode(a.tobytes()).decode() for a in (_IDS, _SCORES))
            fields: list[object] = [name, SIZE[1], SIZE[0], ids, scores, ids, scores, _COUNT, boxes, features]
        else:
            fields = [name, *SIZE, _COUNT, boxes, features]
        lines.append("\t".join(map(str, fields)) + "\n")
    return "".join(lines).encode()


def _write_lxmert(folder: Path) -> None:
    (folder / "names.txt").write_text("\n".join(_NAMES))
    (folder / "train.tsv.gz").write_bytes(gzip.compress(_tsv(lxmert=True)))


def write_task_data(folder: Path) -> None:
    """A folder with the files of all tasks and the regions of their pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    write_parts(folder)
    _write_own(folder / "regions.h5")
    (folder / "regions.detector.json").write_text(json.dumps({"detector": "segments"}))


def _read_data(folder: Path) -> Any:
    captions, regions, detector = read_caption_folder(folder)
    tasks = [get_task(name).read(folder) for name in ("vqa", "nlvr2", "snli-ve", "rec", "retrieval")]
    return [captions, read_all(regions), detector, tasks]


REGIONS = (
    _own("regions, own HDF5", in_memory=False),
    _own("regions, own HDF5 in memory", in_memory=True),
    Reader("regions, HDF5 and pickle", _write_published, _read_published),
    Reader("regions, NPZ of UNITER", _write_npz(_uniter), _read_named("npz", sizes=True)),
    Reader("regions, NPZ of bottom-up", _write_npz(_bottom_up), _read_named("npz", sizes=False)),
    Reader("regions, LMDB", _write_lmdb, _read_named("lmdb", sizes=True)),
    Reader(
        "regions, TSV", lambda f: (f / "train.tsv").write_bytes(_tsv(lxmert=False)),
        lambda f: read_all(open_regions(f / "train.tsv")),
    ),
    Reader("regions, TSV of LXMERT, gzip", _write_lxmert, _read_named("train.tsv.gz", sizes=False)),
    Reader("folder of captions and tasks", write_task_data, _read_data),
)  # fmt: skip
