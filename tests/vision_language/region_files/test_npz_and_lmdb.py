"""The NPZ layouts of UNITER and bottom-up-attention.pytorch, in folders and in LMDB."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.region_files import npz, open_regions

SHARES = np.array([[0, 0, 0.5, 0.5, 0.5, 0.5], [0.25, 0.125, 1, 1, 0.75, 0.875]], dtype=np.float16)
SIZES = {"9": (640, 480), "dev-850-0-img0": (100, 80), "1": (10, 10)}
NAMES = "yolk\ngoggles\nbathtub,bath tub\n"


def uniter(**changed: Any) -> bytes:
    content: dict[str, Any] = {
        "features": np.arange(8, dtype=np.float16).reshape(2, 4),
        "norm_bb": SHARES,
        "conf": np.float16([0.5, 0.25]),
        # background, then the three names; the first region's best class is background, which is no tag
        "soft_labels": np.float16([[0.9, 0, 0, 0.1], [0, 0.75, 0.25, 0]]),
        "allow_pickle": np.array(True),  # how older numpy stored UNITER's own call of savez
    }
    return packed({name: value for name, value in (content | changed).items() if value is not None})


def bottom_up(**changed: Any) -> bytes:
    content: dict[str, Any] = {
        "x": np.arange(8, dtype=np.float32).reshape(2, 4),
        "bbox": np.float32([[0, 0, 320, 240], [1, 2, 3, 481]]),
        "num_bbox": 2,
        "image_h": 480,
        "image_w": 640,
        "info": {
            "image_id": "COCO_val2014_000000000009",
            "image_h": np.int64(480),
            "objects_id": np.array([0, 3]),
            "objects_conf": np.float32([0.5, 0.25]),
        },
    }
    return packed({name: value for name, value in (content | changed).items() if value is not None})


def packed(content: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **content)  # type: ignore[arg-type]
    return stream.getvalue()


def folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def database(path: Path, values: dict[str, bytes], *, keys: bool) -> Path:
    with lmdb.open(str(path), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for name, value in values.items():
            transaction.put(name.encode(), value)
        if keys:
            transaction.put(b"__keys__", json.dumps(list(values)).encode())
    return path


FILES = {"coco_train2014_000000000009.npz": uniter(), "nlvr2_dev-850-0-img0.npz": uniter()}


@pytest.mark.parametrize("kind", ["folder", "lmdb", "lmdb with keys", "data.mdb"])
def test_uniter(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "x"
    path = folder(place, FILES) if kind == "folder" else database(place, FILES, keys=kind != "lmdb")
    (tmp_path / "names.txt").write_text(NAMES)
    path = path / kind if kind == "data.mdb" else path
    source = open_regions(path, sizes=SIZES, tag_names=tmp_path / "names.txt")
    assert sorted(source) == ["9", "dev-850-0-img0"] and source.width == 4
    found = pickle.loads(pickle.dumps(source))["9"]  # noqa: S301
    assert found.boxes.tolist() == [[0, 0, 320, 240], [160, 60, 640, 480]]
    assert found.tags == ["bathtub", "yolk"] and found.scores is not None and found.scores.tolist() == [0.5, 0.25]
    assert found.features.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with get_context("fork").Pool(2) as pool:
        assert pool.map(_Size(source), range(3)) == [(100, 80)] * 3


class _Size:
    def __init__(self, source: Any) -> None:
        self.source = source

    def __call__(self, _: int) -> tuple[int, int]:
        found = self.source["dev-850-0-img0"]
        return found.width, found.height


def test_bottom_up_attention_pytorch_counts_background_as_class_0(tmp_path: Path) -> None:
    path = folder(tmp_path / "x", {"COCO_val2014_000000000009.npz": bottom_up()})
    (tmp_path / "names.txt").write_text(NAMES)
    found = open_regions(path, tag_names=tmp_path / "names.txt")["9"]
    assert (found.width, found.height, found.tags) == (640, 480, ["", "bathtub"])
    assert found.scores is not None and found.scores.tolist() == [0.5, 0.25]
    assert found.boxes.tolist() == [[0, 0, 320, 240], [1, 2, 3, 480]]
    assert open_regions(path)["9"].tags == ["", ""]


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (Path("made_by_a_pickle"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (uniter(features=np.full((2, 4), np.nan, np.float16)), "not finite"),
        (uniter(features=np.zeros((2, 5), np.float16)), "features of width 5 where the others have 4"),
        (uniter(features=np.zeros((3, 4), np.float16)), "boxes: shape"),
        (uniter(features=None), "no array 'features'"),
        (uniter(norm_bb=None), "neither norm_bb nor bbox"),
        (uniter(norm_bb=SHARES * 2), "norm_bb holds pixels"),
        (uniter(norm_bb=SHARES[:, :3]), "norm_bb has shape"),
        (uniter(norm_bb=SHARES[:, [2, 3, 0, 1]]), "is empty or outside"),
        (uniter(soft_labels=np.zeros((2, 9))), "class scores of shape"),
        (uniter(conf=np.zeros(3)), "scores: shape"),
        (uniter()[:-40], "not a whole NPZ"),
        (b"", "not a whole NPZ"),
        (bottom_up(num_bbox=3), "num_bbox is 3"),
        (bottom_up(image_h=np.float32("nan")), "image_h: a whole number"),
        (bottom_up(info={"objects_id": _Evil()}), "only plain data are read"),
        (bottom_up(info={"objects_id": np.array([0, 9])}), "object classes from 0 to 9, but 3 names"),
        (bottom_up(info={"objects_id": np.array([1.5, 2])}), "one whole number a region"),
        (bottom_up(info={"objects_id": np.array([1, 2, 3])}), r"objects_id: shape \(3,\) for 2 boxes"),
        (bottom_up(info={}), "no objects_id"),
        (bottom_up(info=None), "no array 'info'"),
        (bottom_up(x=np.array([{}, {}], dtype=object)), "array 'x' is damaged"),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "lmdb"])
def test_bad_pictures(tmp_path: Path, content: bytes, message: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"0.npz": uniter(), "1.npz": content}
    (tmp_path / "names.txt").write_text(NAMES)
    path = folder(tmp_path / "x", files) if kind == "folder" else database(tmp_path / "x", files, keys=True)
    source = open_regions(path, sizes=SIZES, tag_names=tmp_path / "names.txt")
    if kind == "lmdb" and content == b"":
        message = "not NPZ"
    with pytest.raises(PolysenseError, match=message) as caught:
        source["1"]
    assert "x, picture '1': " in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("made_by_a_pickle").exists()


def test_half_precision_shares_may_lie_a_little_outside(tmp_path: Path) -> None:
    path = folder(tmp_path / "x", {"9.npz": uniter(norm_bb=np.float16([[0, 0, 1.001, 1], [0, 0, 0.5, 0.5]]))})
    assert open_regions(path, sizes={"9": (4000, 3000)})["9"].boxes[0].tolist() == [0, 0, 4000, 3000]
    with pytest.raises(PolysenseError, match="outside its picture"):
        open_regions(folder(path, {"9.npz": uniter(norm_bb=SHARES * np.float16(1.25))}), sizes=SIZES)["9"]


def test_sizes_are_asked_for(tmp_path: Path) -> None:
    path = folder(tmp_path / "x", FILES)
    with pytest.raises(PolysenseError, match="does not say how large"):
        open_regions(path)["9"]
    with pytest.raises(PolysenseError, match="no picture '9'"):
        open_regions(path, sizes={"1": (2, 2)})["9"]


def test_bad_databases(tmp_path: Path) -> None:
    path = database(tmp_path / "cut", {str(i): uniter() for i in range(20)}, keys=True)
    data = path / "data.mdb"
    data.write_bytes(data.read_bytes()[: 5 * 4096])
    with pytest.raises(PolysenseError, match="cut short"):
        open_regions(path)
    data.write_bytes(b"no database")
    with pytest.raises(PolysenseError, match="not an LMDB"):
        open_regions(path)
    with pytest.raises(PolysenseError, match="msgpack"):
        open_regions(database(tmp_path / "packed", {"1.npz": b"\x84features"}, keys=True))
    with pytest.raises(PolysenseError, match="no pictures"):
        open_regions(database(tmp_path / "empty", {}, keys=False))
    path = database(tmp_path / "keys", {"1.npz": uniter(), "__keys__": b'["1.npz", "2.npz"]'}, keys=False)
    with pytest.raises(PolysenseError, match="in __keys__ but not in the database"):
        open_regions(path)["2"]
    with pytest.raises(PolysenseError, match="not a list of texts"):
        open_regions(database(tmp_path / "numbers", {"__keys__": b"[1]"}, keys=False))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (b"[" * 100_000, "__keys__ is nested too deep"),
        (b'["\\ud800"]', r"entry '\\ud800': damaged LMDB \(.*surrogates"),
    ],
)
def test_odd_keys(tmp_path: Path, keys: bytes, message: str) -> None:
    with pytest.raises(PolysenseError, match=message) as caught:
        open_regions(database(tmp_path / "x", {"__keys__": keys}, keys=False))
    assert str(caught.value).startswith(f"{tmp_path / 'x'}") and "\n" not in str(caught.value)


def test_a_file_with_holes_that_says_it_has_terabytes(tmp_path: Path) -> None:
    with (tmp_path / "1.npz").open("wb") as stream:
        stream.truncate(2**42)
    with pytest.raises(PolysenseError, match=r"1\.npz: over 1 GiB; one picture a file is expected"):
        open_regions(tmp_path)


def with_header(shape: str) -> bytes:
    """An NPZ whose features are as the header says, and without a number in them."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape},)}}".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("features.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    return stream.getvalue()


@pytest.mark.parametrize(
    "shape", ["-" * 9000 + "1", "-" * 3000 + "1", "(" * 150 + ")" * 150, "1" + "+1" * 3000, "1,10**9"]
)
@pytest.mark.parametrize("kind", ["folder", "lmdb"])
def test_odd_headers(tmp_path: Path, shape: str, kind: str) -> None:
    files = {"1.npz": with_header(shape)}
    with pytest.raises(PolysenseError, match=r"array 'features' is damaged \(.+\)") as caught:
        open_regions(folder(tmp_path / "x", files) if kind == "folder" else database(tmp_path / "x", files, keys=True))
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    path = folder(tmp_path / "x", {"9.npz": bottom_up()})
    source = open_regions(path)
    monkeypatch.setattr(npz, "finite", full)
    for read in (lambda: source["9"], lambda: open_regions(path)):
        with pytest.raises(PolysenseError, match=r"x.*9.*: its regions do not fit into memory; extract"):
            read()


@pytest.mark.parametrize("kind", ["folder", "lmdb"])
def test_small_numbers_that_become_large_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(npz, "LARGEST", 2**20)
    for rows in (2**15, 2**13):
        content = packed({"x": np.ones((rows, 20), np.int8), "bbox": np.zeros((rows, 4), np.int8)})
        files = {"1.npz": content}
        path = tmp_path / f"{rows}"
        with pytest.raises(
            PolysenseError, match="over 1 GiB as float32, array 'x' included" if rows > 2**13 else "num_"
        ):
            open_regions(folder(path, files) if kind == "folder" else database(path, files, keys=True))["1"]
