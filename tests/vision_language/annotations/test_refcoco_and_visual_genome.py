from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.annotations import (
    read_candidates,
    read_objects,
    read_refcoco,
    read_region_captions,
    read_sizes,
    write_image_data,
    write_objects,
    write_refcoco,
    write_region_captions,
)
from polysense.vision_language.examples import Caption, Expression

INSTANCES: dict[str, Any] = {
    "images": [{"id": 581857, "width": 640, "height": 427, "file_name": "COCO_train2014_000000581857.jpg"}],
    "categories": [{"id": 1, "name": "person"}],
    "annotations": [
        {"id": 1719310, "image_id": 581857, "category_id": 1, "bbox": [103.5, 299, 134.5, 172]},
        {"id": 4, "image_id": 581857, "category_id": 1, "bbox": [0, 0, 10, 10]},
    ],
}
REFERENCE: dict[str, Any] = {
    "sent_ids": [0, 1],
    "file_name": "COCO_train2014_000000581857_16.jpg",
    "ann_id": 1719310,
    "ref_id": 0,
    "image_id": 581857,
    "split": "train",
    "sentences": [
        {"tokens": ["the", "lady"], "raw": "THE LADY", "sent_id": 0, "sent": "the lady"},
        {"tokens": ["café"], "raw": "café", "sent_id": 1, "sent": "café"},
    ],
    "category_id": 1,
}
OTHER = REFERENCE | {
    "ref_id": 1,
    "ann_id": 4,
    "split": "testA",
    "sentences": [{"sent_id": 2, "sent": "boy", "tokens": [], "raw": ""}],
}
LADY, BOY = (103.5, 299.0, 238.0, 471.0), (0.0, 0.0, 10.0, 10.0)
EXPRESSIONS = [
    Expression("0", "581857", "the lady", LADY),
    Expression("1", "581857", "café", LADY),
    Expression("2", "581857", "boy", BOY),
]


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(INSTANCES))
    return file


@pytest.mark.parametrize("kind", [0, 2, 4, "json"])
def test_refcoco(tmp_path: Path, instances: Path, kind: Any) -> None:
    file = tmp_path / ("refs(unc).json" if kind == "json" else "refs(unc).p")
    content = [REFERENCE, OTHER]
    file.write_bytes(json.dumps(content).encode() if kind == "json" else pickle.dumps(content, protocol=kind))
    assert read_refcoco(file, instances) == EXPRESSIONS
    assert read_refcoco(file, instances, "testA") == EXPRESSIONS[2:]
    with pytest.raises(PolysenseError, match="no split 'val'; it has 'testA', 'train'"):
        read_refcoco(file, instances, "val")
    assert read_candidates(instances) == {"581857": [LADY, BOY]}


def test_a_pickle_of_python_2(tmp_path: Path, instances: Path) -> None:
    # What Python 2 writes of [{u'ref_id': 0L, 'ann_id': 4, 'image_id': 581857, 'split': 'val', 'sentences': [...]}]
    file = tmp_path / "refs.p"
    file.write_bytes(
        b"(lp0\n(dp1\nVref_id\np2\nL0L\nsS'ann_id'\np3\nI4\nsS'image_id'\np4\nI581857\nsS'split'\np5\nS'val'\np6\n"
        b"sS'sentences'\np7\n(lp8\n(dp9\nS'sent_id'\np10\nI2\nsS'sent'\np11\nS'boy'\np12\nsasa."
    )
    assert read_refcoco(file, instances, "val") == EXPRESSIONS[2:]


@pytest.mark.parametrize("field", ["ref_id", "split"])
def test_numbers_of_thousands_of_digits(tmp_path: Path, instances: Path, field: str) -> None:
    file = tmp_path / "refs.p"
    file.write_bytes(pickle.dumps([REFERENCE | {field: 10**5000}], protocol=2))
    with pytest.raises(PolysenseError, match=r"refs\.p: .*it has an integer of over 255 bytes"):
        read_refcoco(file, instances)


@pytest.mark.parametrize("name", ["refs.p", "refs.json", "refs.json.gz"])
def test_refcoco_round_trip(tmp_path: Path, name: str) -> None:
    boxes = {"581857": [(LADY, "person"), (BOY, "person")], "x": [((1.0, 2.0, 3.0, 4.0), "cat")]}
    sizes = {"581857": (640, 480), "x": (9, 9)}
    splits = {"train": EXPRESSIONS, "val": [Expression("v-1", "x", "the cat", (1.0, 2.0, 3.0, 4.0))]}
    write_refcoco(tmp_path / name, tmp_path / "i.json", splits, sizes, boxes)
    for split, expected in splits.items():
        assert read_refcoco(tmp_path / name, tmp_path / "i.json", split) == expected
    assert read_candidates(tmp_path / "i.json") == {key: [box for box, _ in found] for key, found in boxes.items()}
    write_refcoco(tmp_path / name, tmp_path / "i.json", EXPRESSIONS, sizes, boxes)
    assert read_refcoco(tmp_path / name, tmp_path / "i.json", "train") == EXPRESSIONS
    with pytest.raises(PolysenseError, match="box of expression '9' is not among the objects of picture 'x'"):
        write_refcoco(tmp_path / name, tmp_path / "i.json", [Expression("9", "x", "a", BOY)], sizes, boxes)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (Path("made_by_a_pickle"),)


def _changed(**values: Any) -> bytes:
    return pickle.dumps([REFERENCE, OTHER | values])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([_Evil()]), "only plain data are read"),
        (pickle.dumps([len]), "only plain data are read"),
        (pickle.dumps([REFERENCE])[:-20], "not a pickle of plain data"),
        (b"", "not a pickle"),
        (b"\x80\x04r\xff\xff\xff\xff", "not a pickle"),
        (pickle.dumps({}), "a list is expected"),
        (_changed(ref_id=0), r"\[1\], field 'ref_id': '0' is there twice"),
        (_changed(ann_id=99), r"\[1\], field 'ann_id': .* no annotation '99'"),
        (_changed(image_id=3), "annotation '4' is of picture '581857', not '3'"),
        (
            _changed(sentences=[{"sent_id": 0, "sent": "x"}]),
            r"\[1\], sentences\[0\], field 'sent_id': '0' is there twice",
        ),
        (_changed(sentences=[{"sent_id": 9, "sent": " "}]), r"sentences\[0\], field 'sent': the text is empty"),
        (_changed(sentences=None), "field 'sentences': a list is expected, not null"),
        (_changed(split=None), "field 'split'"),
        (b"Pa\n.", "not a pickle of plain data"),  # whose error has two lines
    ],
)
def test_bad_refcoco(
    tmp_path: Path, instances: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "refs.p").write_bytes(content)
    with pytest.raises(PolysenseError, match=message) as caught:
        read_refcoco(tmp_path / "refs.p", instances)
    assert "\n" not in str(caught.value) and not Path("made_by_a_pickle").exists()


def put(file: Path, value: Any) -> Path:
    file.write_text(json.dumps(value))
    return file


def test_region_descriptions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    region = {"region_id": 1382, "width": 82, "height": 139, "image_id": 1, "phrase": "the clock", "y": 57, "x": 421}
    value = [
        {"id": 1, "regions": [region, region | {"region_id": 2, "phrase": " "}]},
        {"id": 2, "regions": [region | {"region_id": 3, "phrase": "a car"}]},
    ]
    with caplog.at_level(logging.WARNING):
        assert read_region_captions(put(tmp_path / "r.json", value)) == [
            Caption("1", "the clock"),
            Caption("2", "a car"),
        ]
    assert "1 of 3 phrases are blank" in caplog.text
    for bad, message in (
        ([{"id": 1, "regions": [region, region]}], "'1382' is there twice"),
        ([{"id": 1, "regions": []}, {"id": 1, "regions": []}], r"\[1\], field 'id': '1' is there twice"),
        ([{"id": 1, "regions": [region | {"phrase": 3}]}], r"\[0\], regions\[0\], field 'phrase'"),
        ([{"id": 1}], "no field 'regions'"),
        ({}, "a list is expected"),
    ):
        with pytest.raises(PolysenseError, match=message):
            read_region_captions(put(tmp_path / "r.json", bad))


def test_visual_genome_objects(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    thing = {"object_id": 5, "names": ["clock ", "dial"], "synsets": [], "x": 421, "y": 91, "w": 79, "h": 339}
    value = [{"image_id": 1, "objects": [thing, thing | {"w": 0}, thing | {"names": []}], "image_url": ""}]
    with caplog.at_level(logging.WARNING):
        assert read_objects(put(tmp_path / "o.json", value)) == {"1": [((421, 91, 500, 430), "clock")]}
    assert "2 of 3 objects" in caplog.text
    for changed, message in (({"x": "a"}, "field 'x'"), ({"names": "clock"}, "field 'names'"), ({"h": None}, "'h'")):
        with pytest.raises(PolysenseError, match=message):
            read_objects(put(tmp_path / "o.json", [{"image_id": 1, "objects": [thing | changed]}]))


def test_visual_genome_round_trips(tmp_path: Path) -> None:
    captions = [Caption("1", "a"), Caption("1", "é"), Caption("x", "c")]
    write_region_captions(tmp_path / "r.json.gz", captions)
    assert read_region_captions(tmp_path / "r.json.gz") == captions
    write_image_data(tmp_path / "i.json", {"1": (3, 4), "x": (5, 6)})
    assert read_sizes(tmp_path / "i.json") == {"1": (3, 4), "x": (5, 6)}
    objects = {"1": [((0.0, 1.0, 2.5, 3.0), "cat")], "x": []}
    write_objects(tmp_path / "o.json", objects)
    assert read_objects(tmp_path / "o.json") == objects
