"""HDF5 files of strangers: small ones that unpack to far more, and parts that lie elsewhere."""

from __future__ import annotations

import resource
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.region_files import open_regions
from vision_language.region_files.hdf5_files import adaptive

pytest_plugins = ("vision_language.region_files.hdf5_files",)


def test_a_small_file_that_says_it_holds_terabytes(file: Path) -> None:
    """Chunks that were never written take no place, and read as zeros."""
    with h5py.File(file, "a") as target:
        del target["image_features"], target["image_bb"], target["pos_boxes"]
        target.create_dataset("image_features", (3, 10**6, 2048), "f4", chunks=(1, 1, 2048))
        target.create_dataset("image_bb", (3, 10**6, 4), "f4", chunks=(1, 1, 4))
    with pytest.raises(PolysenseError, match=r"regions\.h5: .* MiB that unpack to 22\.9 GiB, over 100 times as much"):
        open_regions(file)


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """16 MiB, or 100 times a file's size, may be unpacked, and reading takes no more."""
    monkeypatch.setattr("polysense.unpacking.FREE", 2**24)
    before = _peak()
    yield
    assert _peak() - before < 2**26


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def packed(size: int) -> bytes:
    """Zeros, as HDF5 deflates them."""
    packing = zlib.compressobj(9)
    return b"".join(packing.compress(bytes(2**20)) for _ in range(size // 2**20)) + packing.flush()


@pytest.mark.parametrize("rows", [2**25, 3])
def test_a_chunk_that_unpacks_to_far_more(tmp_path: Path, little: None, rows: int) -> None:
    """As its shape says, or although it does not: HDF5 unpacks all that is in it."""
    adaptive(tmp_path / "a.h5", image_ids=["1", "2"], image_features=None)
    with h5py.File(tmp_path / "a.h5", "a") as target:
        features = target.create_dataset(
            "image_features", (3, 4), "f2", maxshape=(None, 4), chunks=(rows, 4), compression="gzip"
        )
        features.id.write_direct_chunk((0, 0), packed(2**28))
    with pytest.raises(PolysenseError, match=r"a\.h5: .* MiB that unpack to .* GiB, over 100 times as much"):
        open_regions(tmp_path / "a.h5")


def test_gzip_lzf_and_checksums_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polysense.unpacking.FREE", 10**5)
    values = np.random.default_rng(0).normal(size=(3, 400)).astype(np.float32)
    for options in ({"compression": "gzip", "shuffle": True, "fletcher32": True}, {"compression": "lzf"}):
        adaptive(tmp_path / "a.h5", image_ids=["1", "2"], image_features=None)
        with h5py.File(tmp_path / "a.h5", "a") as target:
            target.create_dataset("image_features", data=values, chunks=(3, 400), **options)
        assert np.array_equal(open_regions(tmp_path / "a.h5")["1"].features, values[:2])


@pytest.mark.parametrize("twice", [True, False])
def test_other_ways_to_pack(tmp_path: Path, twice: bool) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((3, 4))
    settings.set_deflate(9)
    if twice:
        settings.set_deflate(9)
    else:
        settings.set_scaleoffset(h5py.h5z.SO_INT, 0)
    adaptive(tmp_path / "a.h5", image_ids=["1", "2"], image_features=None)
    with h5py.File(tmp_path / "a.h5", "a") as target:
        space = h5py.h5s.create_simple((3, 4))
        h5py.h5d.create(target.id, b"image_features", h5py.h5t.STD_I32LE, space, settings)
    with pytest.raises(PolysenseError, match=r"a\.h5: image_features is packed in a way that is not read"):
        open_regions(tmp_path / "a.h5")


def test_many_pictures_of_the_same_rows(tmp_path: Path) -> None:
    """Each picture has its own copy of them in memory; one picture may have several names."""
    adaptive(tmp_path / "a.h5", image_ids=["1", "2"], pos_boxes=np.array([[0, 3], [0, 3]]))
    with pytest.raises(PolysenseError, match=r"a\.h5: some of the 3 rows of image_features are of several pictures"):
        open_regions(tmp_path / "a.h5")
    (tmp_path / "ids.json").write_text('{"1": 0, "one": 0}')
    assert list(open_regions(tmp_path / "a.h5", ids_file=tmp_path / "ids.json")) == ["1", "one"]


@pytest.mark.parametrize(("rows", "message"), [(2**17, "unpack to"), (2**16, "picture '1'")])
def test_small_numbers_that_become_large_ones(tmp_path: Path, little: None, rows: int, message: str) -> None:
    adaptive(tmp_path / "a.h5", image_ids=["1"], image_size=[[9, 9]], pos_boxes=[[0, rows]], spatial_features=None)
    with h5py.File(tmp_path / "a.h5", "a") as target:
        del target["image_features"], target["image_bb"]
        target.create_dataset("image_features", (rows, 40), "i1", compression="gzip")
        target.create_dataset("image_bb", (rows, 4), "i1", compression="gzip")
    with pytest.raises(PolysenseError, match=message):
        open_regions(tmp_path / "a.h5", in_memory=True)["1"]


def test_many_pictures_without_a_row(tmp_path: Path, little: None) -> None:
    adaptive(tmp_path / "a.h5", pos_boxes=None)
    with h5py.File(tmp_path / "a.h5", "a") as target:
        target.create_dataset("image_ids", data=np.arange(2**20, dtype=np.int32), compression="gzip", shuffle=True)
        target.create_dataset("pos_boxes", (2**20, 2), "i1", compression="gzip")
    with pytest.raises(PolysenseError, match=r"a\.h5: .* MiB that unpack to 1\.0\d GiB, over 100 times as much"):
        open_regions(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["tag_names", "image_ids"])
def test_many_texts_that_are_the_same_one(tmp_path: Path, little: None, name: str) -> None:
    adaptive(tmp_path / "a.h5", **({"image_ids": ["1", "2"]} | {name: None}))
    with h5py.File(tmp_path / "a.h5", "a") as target:
        texts = target.create_dataset(name, (3000,), h5py.string_dtype())
        texts[0] = "x" * 2**17
        place = texts.id.get_offset()
    data = bytearray((tmp_path / "a.h5").read_bytes())
    data[place : place + 16 * 3000] = data[place : place + 16] * 3000
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(PolysenseError, match=r"a\.h5: .* MiB that unpack to .* GiB, over 100 times as much"):
        open_regions(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_bb", np.array([[[0] * 9] * 4] * 3, dtype=object)),
        ("tag_names", [["a", "b"]]),
        ("image_ids", [["1"], ["2"]]),
    ],
)
def test_values_of_any_length_in_odd_places(tmp_path: Path, name: str, value: Any) -> None:
    adaptive(tmp_path / "a.h5", **({"image_ids": ["1", "2"]} | {name: None}))
    with h5py.File(tmp_path / "a.h5", "a") as target:
        kind = h5py.string_dtype() if name in ("tag_names", "image_ids") else h5py.vlen_dtype(np.int32)
        values = np.array(value, dtype=object)
        target.create_dataset(name, values.shape[:2], kind)
    with pytest.raises(PolysenseError, match=r"a\.h5: (image_bb holds values of any length|damaged HDF5 \(texts of)"):
        open_regions(tmp_path / "a.h5")


@pytest.mark.parametrize("way", ["link", "storage", "virtual", "soft link"])
def test_what_lies_in_another_file_is_not_read(tmp_path: Path, file: Path, way: str) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as other:
        other["x"] = np.zeros((8, 6), np.float16)
    with h5py.File(file, "a") as target:
        del target["image_features"]
        if way == "link":
            target["image_features"] = h5py.ExternalLink(str(secret), "/x")
        elif way == "soft link":
            target["folder"] = h5py.ExternalLink(str(secret), "/")
            target["image_features"] = h5py.SoftLink("/folder/x")
        elif way == "storage":
            target.create_dataset("image_features", (8, 6), "f2", external=[(str(secret), 0, 96)])
        else:
            layout = h5py.VirtualLayout((8, 6), "f2")
            layout[:] = h5py.VirtualSource(secret, "x", (8, 6))
            target.create_virtual_dataset("image_features", layout)
    with pytest.raises(PolysenseError, match=r"regions\.h5: image_features lies in another file, which is not read"):
        open_regions(file)
