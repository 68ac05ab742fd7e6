from __future__ import annotations

import base64
import csv
import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.region_files import open_regions

PLAIN = ["image_id", "image_w", "image_h", "num_boxes", "boxes", "features"]
LXMERT = [
    "img_id",
    "img_h",
    "img_w",
    "objects_id",
    "objects_conf",
    "attrs_id",
    "attrs_conf",
    "num_boxes",
    "boxes",
    "features",
]
BOXES = np.float32([[0, 0, 640.5, 480], [10, 20, 110, 220]])
FEATURES = np.arange(10, dtype=np.float32).reshape(2, 5)


def coded(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def row(name: str, count: int = 2, **changed: object) -> dict[str, object]:
    return {
        "image_id": name,
        "img_id": name,
        "image_w": 640,
        "image_h": 480,
        "img_w": 640,
        "img_h": 480,
        "num_boxes": count,
        "boxes": coded(BOXES[:count]),
        "features": coded(FEATURES[:count]),
        "objects_id": coded(np.array([0, 2][:count], dtype=np.int64)),
        "objects_conf": coded(np.float32([0.5, 0.75][:count])),
        "attrs_id": coded(np.array([1, 1][:count], dtype=np.int64)),
        "attrs_conf": coded(np.float32([0.5, 0.75][:count])),
    } | changed


def write(file: Path, fields: list[str], rows: list[dict[str, object]], *, header: bool = False) -> Path:
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "wt", newline="") as stream:
        writer = csv.DictWriter(stream, fields, delimiter="\t", extrasaction="ignore")
        if header:
            writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("ending", ["x.tsv", "x.tsv.gz", "x.tsv.1"])
def test_bottom_up_layout(tmp_path: Path, ending: str, header: bool) -> None:
    file = write(tmp_path / ending, PLAIN, [row("0", 0), row("150367"), row("9", 1)], header=header)
    source = open_regions(file)
    assert list(source) == ["0", "150367", "9"] and source.width == 5
    found = source["150367"]
    assert np.array_equal(found.features, FEATURES)
    assert found.boxes.tolist() == [[0, 0, 640, 480], [10, 20, 110, 220]]
    assert (found.width, found.height, found.tags, found.scores) == (640, 480, ["", ""], None)
    assert source["0"].features.shape == (0, 5)
    again = pickle.loads(pickle.dumps(source))  # noqa: S301
    assert np.array_equal(again["9"].features, FEATURES[:1])


def test_lxmert_layout_counts_classes_without_background(tmp_path: Path) -> None:
    file = write(tmp_path / "x.tsv", LXMERT, [row("COCO_val2014_000000000042")])
    (tmp_path / "names.txt").write_text("yolk\ngoggles\nbathtub,bath tub,tub\n")
    found = open_regions(file, tag_names=tmp_path / "names.txt")["42"]
    assert found.tags == ["yolk", "bathtub"]
    assert found.scores is not None and found.scores.tolist() == [0.5, 0.75]
    assert open_regions(file)["42"].tags == ["", ""]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"features": "AA!A"}, "features: broken base64"),
        ({"boxes": coded(BOXES)[:-3]}, "boxes: broken base64"),
        ({"features": "b'AAAA'"}, "features: broken base64"),
        ({"boxes": coded(BOXES[:1])}, "do not fit num_boxes 2"),
        ({"features": coded(FEATURES.ravel()[:9])}, "do not fit num_boxes 2"),
        ({"features": coded(FEATURES[:, :4])}, "features of width 4 where the others have 5"),
        ({"features": coded(FEATURES * np.float32("nan"))}, "not finite"),
        ({"num_boxes": "two"}, "num_boxes: a whole number is expected"),
        ({"image_w": ""}, "image_w: a whole number"),
        ({"image_w": "nan"}, "image_w: a whole number"),
        ({"image_w": 600}, "outside its picture of 600 x 480"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    file = write(tmp_path / "x.tsv", PLAIN, [row("1"), row("2", 2, **changed)])
    source = open_regions(file)
    assert len(source["1"]) == 2
    with pytest.raises(PolysenseError, match=message) as caught:
        source["2"]
    assert "x.tsv, picture '2': " in str(caught.value) and "\n" not in str(caught.value)
    if "width 4" not in message:
        assert "line 2" in str(caught.value)


def test_files_that_do_not_open(tmp_path: Path) -> None:
    file = write(tmp_path / "x.tsv", PLAIN, [row("1"), row("2")])
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rindex(b"\t") - 5])
    with pytest.raises(PolysenseError, match="line 2: 5 fields where 6 are expected"):
        open_regions(file)
    with pytest.raises(PolysenseError, match="picture '1' is there twice"):
        open_regions(write(file, PLAIN, [row("1"), row("1")]))
    (tmp_path / "names.txt").write_text("a\n")
    write(file, PLAIN, [row("1")])
    with pytest.raises(PolysenseError, match="no objects_id"):
        open_regions(file, tag_names=tmp_path / "names.txt")
    file.write_bytes(b"")
    with pytest.raises(PolysenseError, match="no pictures"):
        open_regions(file)
    packed = write(tmp_path / "y.tsv.gz", PLAIN, [row("1")])
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(PolysenseError, match="broken gzip"):
        open_regions(packed)


def test_last_line_cut_inside_its_features(tmp_path: Path) -> None:
    file = write(tmp_path / "x.tsv", PLAIN, [row("1"), row("2")])
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(PolysenseError, match="picture '2': line 2"):
        open_regions(file)["2"]


def test_unknown_class_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "x.tsv", LXMERT, [row("1")])
    (tmp_path / "names.txt").write_text("yolk\ngoggles\n")
    with pytest.raises(PolysenseError, match="object classes from 0 to 2, but 2 names"):
        open_regions(file, tag_names=tmp_path / "names.txt")


def test_a_gzip_with_another_checksum_is_not_called_unwritable(tmp_path: Path) -> None:
    file = write(tmp_path / "x.tsv.gz", PLAIN, [row("1"), row("2")])
    content = bytearray(file.read_bytes())
    content[-8] ^= 1
    file.write_bytes(content)
    with pytest.raises(PolysenseError, match=r"x\.tsv\.gz: broken gzip \(CRC"):
        open_regions(file)
