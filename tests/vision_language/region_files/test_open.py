from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.region_files import open_regions
from polysense.vision_language.region_files.object_names import read_object_names
from polysense.vision_language.region_files.source import by_picture, picture_name


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("COCO_val2014_000000123456.jpg", "123456"),
        ("coco_train2014_000000000009.npz", "9"),
        ("flickr30k_000001000092795.npz", "1000092795"),
        ("vg_0002345.npz", "2345"),
        ("nlvr2_train-10171-0-img1.npz", "train-10171-0-img1"),
        ("000", "0"),
        ("café.v2", "café.v2"),
        ("²", "²"),
    ],
)
def test_picture_names(entry: str, name: str) -> None:
    assert picture_name(entry) == name


def test_two_entries_of_one_picture(tmp_path: Path) -> None:
    with pytest.raises(PolysenseError, match="'9' is there twice"):
        by_picture(tmp_path, [("vg_9.npz", 0), ("9.npz", 1)])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("x.txt", {}, "unknown kind"),
        ("x.tsv", {"in_memory": True}, "in_memory is for HDF5"),
        ("x.tsv", {"ids_file": "i.json"}, "ids_file is for HDF5"),
        ("x.tsv", {"sizes": {}}, "sizes is not for TSV"),
        ("x.h5", {"tag_names": "n.txt"}, "tag_names is not for HDF5"),
    ],
)
def test_bad_options(tmp_path: Path, name: str, options: dict[str, object], message: str) -> None:
    (tmp_path / name).write_text("1\t2\n")
    with pytest.raises(PolysenseError, match=message):
        open_regions(tmp_path / name, **options)  # type: ignore[arg-type]


def test_a_folder_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(PolysenseError, match="no pictures"):
        open_regions(tmp_path)


def test_missing_extra_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "polysense.vision_language.region_files.hdf5", raising=False)
    (tmp_path / "x.h5").write_text("")
    with pytest.raises(PolysenseError, match=r"need h5py: pip install 'polysense\[vl\]'"):
        open_regions(tmp_path / "x.h5")


def test_object_names(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("__background__\nyolk\ntennis racket, racket\n", encoding="utf-8")
    names = read_object_names(file)
    assert list(names.names) == ["yolk", "tennis racket"]
    assert names.of_ids(np.array([0, 1]), background=False) == ["yolk", "tennis racket"]
    assert names.of_ids(np.array([0, 1, 2]), background=True) == ["", "yolk", "tennis racket"]
    assert names.of_scores(np.array([[0.2, 0.8]])) == ["tennis racket"]
    assert names.of_scores(np.array([[9, 0.2, 0.1]])) == ["yolk"]
    for ids, background in (([2], False), ([3], True), ([-1], True), ([-1], False)):
        with pytest.raises(PolysenseError, match="2 names are given"):
            names.of_ids(np.array(ids), background=background)
    for content, message in (("a\n\nb\n", "line 2: no name"), ("", "no names"), ("__background__\n", "no names")):
        file.write_text(content)
        with pytest.raises(PolysenseError, match=message):
            read_object_names(file)
    file.write_bytes(b"caf\xe9\n")
    with pytest.raises(PolysenseError, match="not UTF-8"):
        read_object_names(file)
