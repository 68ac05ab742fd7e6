from __future__ import annotations

import json
import pickle
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.region_files import open_regions, write_regions
from polysense.vision_language.region_files.hdf5 import Hdf5Regions
from polysense.vision_language.regions import Regions, RegionSource
from vision_language.region_files.hdf5_files import WRITTEN, adaptive, regions

pytest_plugins = ("vision_language.region_files.hdf5_files",)


def same(left: Regions, right: Regions) -> bool:
    return (
        np.array_equal(left.features, right.features)
        and np.array_equal(left.boxes, right.boxes)
        and (left.width, left.height, list(left.tags)) == (right.width, right.height, list(right.tags))
        and (left.scores is None) == (right.scores is None)
        and (left.scores is None or right.scores is None or np.array_equal(left.scores, right.scores))
    )


@pytest.mark.parametrize("in_memory", [False, True])
def test_round_trip(file: Path, in_memory: bool) -> None:
    source: RegionSource = open_regions(file, in_memory=in_memory)
    assert list(source) == list(WRITTEN)
    assert (len(source), source.width, "9" in source, "8" in source) == (3, 6, True, False)
    assert all(same(source[name], found) for name, found in WRITTEN.items())


def test_many_pictures_over_the_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polysense.vision_language.region_files.hdf5_writer._BUFFER", 7)
    written = {str(i): regions(i % 5, i) for i in range(30)}
    write_regions(tmp_path / "x.h5", iter(written.items()))
    source = open_regions(tmp_path / "x.h5")
    assert all(np.array_equal(source[name].features, found.features) for name, found in written.items())
    assert all(source[name].tags == list(found.tags) for name, found in written.items())


def _sum(source: RegionSource) -> float:
    return float(source["café"].features.astype(np.float64).sum())


@pytest.mark.parametrize("in_memory", [False, True])
def test_other_processes(file: Path, in_memory: bool) -> None:
    source = open_regions(file, in_memory=in_memory)
    expected = _sum(source)  # the file is open in the parent
    assert _sum(pickle.loads(pickle.dumps(source))) == expected  # noqa: S301
    with get_context("fork").Pool(2) as pool:
        assert pool.map(_Summed(source), range(4)) == [expected] * 4


def test_a_pickled_source_carries_no_arrays(tmp_path: Path) -> None:
    write_regions(tmp_path / "x.h5", [("a", regions(50, features=400))])
    assert len(pickle.dumps(open_regions(tmp_path / "x.h5", in_memory=True))) < 3000


class _Summed:
    def __init__(self, source: RegionSource) -> None:
        self.source = source

    def __call__(self, _: int) -> float:
        return _sum(self.source)


def test_adaptive_layout_with_pickled_ids(tmp_path: Path) -> None:
    adaptive(tmp_path / "a.hdf5")
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps({9: 1, 25: 0}, protocol=2))
    source = open_regions(tmp_path / "a.hdf5", ids_file=tmp_path / "ids.pkl")
    assert list(source) == ["9", "25"]
    assert (source["25"].width, source["25"].height, source["9"].width, source["9"].height) == (640, 480, 500, 333)
    assert source["25"].features.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert source["9"].boxes.tolist() == [[5, 5, 499.5, 333]]
    assert source["9"].tags == [""]
    given = open_regions(tmp_path / "a.hdf5", ids_file=tmp_path / "ids.pkl", sizes={"9": (501, 334)})
    assert (given["9"].width, given["9"].height) == (501, 334)
    with pytest.raises(PolysenseError, match="no picture '25'"):
        given["25"]


def test_no_names_of_a_fixed_length(tmp_path: Path) -> None:
    adaptive(tmp_path / "a.h5", image_ids=["1", "2"], tag_names=np.array([], dtype="S10"))
    assert len(open_regions(tmp_path / "a.h5")) == 2


def test_fixed_layout_with_sizes_of_coco(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(2, 36, 4)).astype(np.float32)
    boxes = np.tile(np.float32([1, 2, 30, 40]), (2, 36, 1))
    with h5py.File(tmp_path / "f.hdf5", "w") as target:
        target["image_features"], target["image_bb"] = features, boxes
    (tmp_path / "ids.json").write_text(json.dumps(["COCO_val2014_000000000042", "7"]))
    images = [{"id": 7, "width": 50, "height": 60}, {"id": 42, "width": 30, "height": 40}]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images}))
    source = open_regions(tmp_path / "f.hdf5", ids_file=tmp_path / "ids.json", sizes=tmp_path / "coco.json")
    assert np.array_equal(source["7"].features, features[1]) and len(source["42"]) == 36
    assert (source["42"].width, source["42"].height) == (30, 40)
    bare = open_regions(tmp_path / "f.hdf5", ids_file=tmp_path / "ids.json")
    with pytest.raises(PolysenseError, match=r"f\.hdf5, picture '7': .*give sizes="):
        bare["7"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_ids": None}, "give ids_file="),
        ({"image_bb": None}, "no dataset 'image_bb'"),
        ({"image_bb": np.zeros((2, 4))}, "image_bb"),
        ({"pos_boxes": None}, "or a dataset 'pos_boxes'"),
        ({"pos_boxes": np.array([[0, 2], [2, 9]])}, "picture '2': its rows 2 to 9"),
        ({"pos_boxes": np.array([[2, 0], [2, 3]])}, "picture '1': its rows 2 to 0"),
        ({"pos_boxes": np.array([[0, 2]])}, "not among the 1 rows"),
        ({"pos_boxes": np.array([0, 2])}, "pos_boxes has shape"),
        ({"image_ids": ["1", "1"]}, "twice"),
        ({"image_size": np.array([[1, 2]])}, "image_size"),
        ({"tags": np.zeros(2, int)}, "tags has shape"),
        ({"tag_names": np.zeros(2)}, "damaged HDF5"),
    ],
)
def test_bad_layouts(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    adaptive(tmp_path / "a.h5", **({"image_ids": ["1", "2"]} | changed))
    with pytest.raises(PolysenseError, match=message) as caught:
        open_regions(tmp_path / "a.h5")
    assert "\n" not in str(caught.value) and "a.h5" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_features": np.full((3, 4), np.nan)}, "not finite"),
        ({"image_features": np.array([[b"a"] * 4] * 3)}, "numbers are expected"),
        (
            {"image_bb": np.float32([[0, 0, 9, 9], [0, 0, 700, 20], [0, 0, 5, 5]]), "image_size": [[640, 480]] * 2},
            "700",
        ),
        (
            {"image_bb": np.float32([[0, 0, 9, 9], [3, 0, 3, 20], [0, 0, 5, 5]]), "image_size": [[640, 480]] * 2},
            "empty",
        ),
        ({"spatial_features": np.ones((3, 6), np.float32)}, "cannot be worked out"),
        ({"tags": np.array([0, 1, 0]), "tag_names": ["cat"]}, "not among the 1 tag_names"),
        ({"scores": np.array([0.5, np.nan, 1])}, "scores: a number is not finite"),
    ],
)
def test_bad_pictures(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    adaptive(tmp_path / "a.h5", **({"image_ids": ["1", "2"]} | changed))
    source = open_regions(tmp_path / "a.h5")
    with pytest.raises(PolysenseError, match=message) as caught:
        source["1"]
    assert "a.h5, picture '1'" in str(caught.value)


def test_boxes_a_little_outside_are_mended(tmp_path: Path) -> None:
    boxes = np.float32([[-1, -0.5, 641.5, 480], [10, 20, 30, 40], [0, 0, 5, 5]])
    adaptive(tmp_path / "a.h5", image_ids=["1", "2"], image_bb=boxes, image_size=[[640, 480], [500, 333]])
    assert open_regions(tmp_path / "a.h5")["1"].boxes[0].tolist() == [0, 0, 640, 480]


def test_truncated_and_absent(file: Path) -> None:
    whole = file.read_bytes()
    for length in (0, 5, 600, len(whole) - 100):
        file.write_bytes(whole[:length])
        with pytest.raises(PolysenseError, match=r"regions\.h5"):
            open_regions(file)
    with pytest.raises(PolysenseError, match="no such file"):
        open_regions(file.parent / "other.h5")


def test_damaged_bytes_are_never_a_traceback(file: Path) -> None:
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for place in random.integers(8, len(whole), 4):
            damaged[place] ^= int(random.integers(1, 256))
        file.write_bytes(damaged)
        try:
            source = open_regions(file)
            for name in source:
                source[name]
        except PolysenseError:
            pass


def test_absent_picture_is_named(file: Path) -> None:
    with pytest.raises(PolysenseError, match=r"no regions of picture 'cafe' \(did you mean 'café'\?\)"):
        open_regions(file)["cafe"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ([("a", regions(2)), ("a", regions(2))], "twice"),
        ([("a", regions(2)), ("b", regions(2, features=7))], "width 7"),
        ([], "no pictures"),
        ([("a\0", regions(2))], "rename"),
        (
            [("a", Regions(np.full((1, 2), 1e6, np.float32), np.float32([[0, 0, 1, 1]]), 5, 5, [""]))],
            "too large for float16",
        ),
    ],
)
def test_nothing_is_written_of_bad_regions(tmp_path: Path, written: list[tuple[str, Regions]], message: str) -> None:
    with pytest.raises(PolysenseError, match=message):
        write_regions(tmp_path / "x.h5", written)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(file: Path) -> None:
    def broken() -> object:
        yield "x", regions(2)
        raise PolysenseError("the detector failed")

    before = file.read_bytes()
    with pytest.raises(PolysenseError, match="the detector failed"):
        write_regions(file, broken())  # type: ignore[arg-type]
    assert file.read_bytes() == before and [entry.name for entry in file.parent.iterdir()] == ["regions.h5"]


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("made_by_a_pickle"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(_Evil()), "only plain data are read"),
        (b"", "not a pickle"),
        (pickle.dumps({"1": "x"}), "a mapping of picture to row"),
        (pickle.dumps({"1": 5}), "not among the 2 rows"),
        (pickle.dumps({"1": 0, 1: 1}), "twice"),
    ],
)
def test_bad_ids(tmp_path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    adaptive(tmp_path / "a.h5")
    (tmp_path / "ids.pkl").write_bytes(content)
    with pytest.raises(PolysenseError, match=message):
        open_regions(tmp_path / "a.h5", ids_file=tmp_path / "ids.pkl")
    assert not Path("made_by_a_pickle").exists()


def test_one_picture_reads_its_own_rows_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Hdf5Regions(file)
    read: list[object] = []
    whole = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key, **more: (read.append(key), whole(self, key))[1])
    source["9"]
    assert read and set(map(str, read)) == {"slice(0, 3, None)"}
