from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.annotations import (
    read_captions,
    read_instances,
    read_sizes,
    write_captions,
    write_instances,
)
from polysense.vision_language.examples import Caption

CAPTIONS: dict[str, Any] = {
    "info": {"year": 2017},
    "licenses": [],
    "images": [{"id": 9, "file_name": "000000000009.jpg", "width": 640, "height": 480, "license": 3}],
    "annotations": [
        {"image_id": 9, "id": 661611, "caption": "A plate\u2028of naïve food."},
        {"image_id": 25, "id": 5, "caption": "Two giraffes\n"},
    ],
}
INSTANCES: dict[str, Any] = {
    "images": [{"id": 9, "width": 640, "height": 480}, {"id": 25, "width": 500, "height": 333}],
    "categories": [{"supercategory": "food", "id": 51, "name": "bowl"}, {"id": 1, "name": "person"}],
    "annotations": [
        {"id": 7, "image_id": 9, "category_id": 51, "bbox": [1.5, 2, 10.25, 20], "iscrowd": 0, "segmentation": []},
        {"id": 8, "image_id": 9, "category_id": 1, "bbox": [0, 0, 640, 480]},
    ],
}


def put(file: Path, value: Any) -> Path:
    data = json.dumps(value).encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return file


def changed(value: Any, path: list[Any], to: Any) -> Any:
    """A copy with one place set, or taken out where `to` is ..."""
    value = json.loads(json.dumps(value))
    place = value
    for step in path[:-1]:
        place = place[step]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return value


@pytest.mark.parametrize("name", ["c.json", "c.json.gz"])
def test_captions_and_sizes(tmp_path: Path, name: str) -> None:
    file = put(tmp_path / name, CAPTIONS)
    assert read_captions(file) == [Caption("9", "A plate\u2028of naïve food."), Caption("25", "Two giraffes\n")]
    assert read_sizes(file) == {"9": (640, 480)}
    assert read_sizes(put(file, [{"image_id": 1, "width": 800, "height": 600, "url": ""}])) == {"1": (800, 600)}


@pytest.mark.parametrize("name", ["c.json", "folder/c.json.gz"])
def test_captions_round_trip(tmp_path: Path, name: str) -> None:
    captions = [Caption("9", "é “x”\n"), Caption("emoji-1", "b"), Caption("007", "c"), Caption("9", "d")]
    write_captions(tmp_path / name, captions)
    assert read_captions(tmp_path / name) == captions
    write_captions(tmp_path / name, captions, {"9": (3, 4), "emoji-1": (5, 6), "007": (7, 8)})
    assert read_sizes(tmp_path / name) == {"9": (3, 4), "emoji-1": (5, 6), "007": (7, 8)}
    before = (tmp_path / name).read_bytes()
    write_captions(tmp_path / name, captions, {"9": (3, 4), "emoji-1": (5, 6), "007": (7, 8)})
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (["annotations"], ..., "no field 'annotations'"),
        (["annotations"], {}, "field 'annotations': a list is expected, not an object"),
        (["annotations", 1], 5, r"annotations\[1\]: an object is expected, not 5"),
        (["annotations", 1, "caption"], ..., r"annotations\[1\]: no field 'caption'"),
        (["annotations", 1, "caption"], " \n", r"annotations\[1\], field 'caption': the text is empty"),
        (["annotations", 1, "caption"], None, "a text is expected, not null"),
        (["annotations", 1, "image_id"], 2.5, "a whole number or a text is expected, not 2.5"),
        (["annotations", 1, "image_id"], True, "not True"),
        (["annotations", 1, "id"], 661611, r"annotations\[1\], field 'id': '661611' is there twice"),
    ],
)
def test_bad_captions(tmp_path: Path, path: list[Any], to: Any, message: str) -> None:
    file = put(tmp_path / "c.json", changed(CAPTIONS, path, to))
    with pytest.raises(PolysenseError, match=message) as caught:
        read_captions(file)
    assert "c.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(CAPTIONS, indent=1).encode()[:-30], r"line \d+: broken JSON .*cut short"),
        (b"", "line 1: broken JSON"),
        (b"[" * 100_000, "broken JSON"),
        (b'{"annotations": [' + b"9" * 5000 + b"]}", "broken JSON"),
        (b'"caf\xe9"', "0xe9 is not UTF-8"),
        (b"[]", "an object is expected, not a list"),
        (gzip.compress(json.dumps(CAPTIONS).encode())[:-15], "broken gzip"),
        (b"\x1f\x8b\x08garbage" * 9, "broken gzip"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(PolysenseError, match=message):
        read_captions(tmp_path / "c.json")


def test_places_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(PolysenseError, match="no such file"):
        read_captions(tmp_path / "absent.json")
    with pytest.raises(PolysenseError, match="cannot be read"):
        read_captions(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(PolysenseError, match="cannot be written"):
        write_captions(tmp_path / "file" / "c.json", [])


def test_instances(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = read_instances(put(tmp_path / "i.json", INSTANCES))
    assert found.sizes == {"9": (640, 480), "25": (500, 333)}
    assert found.objects == {"9": [((1.5, 2, 11.75, 22), "bowl"), ((0, 0, 640, 480), "person")], "25": []}
    assert found.annotations["8"] == ("9", (0, 0, 640, 480))
    with caplog.at_level(logging.WARNING):
        found = read_instances(put(tmp_path / "i.json", changed(INSTANCES, ["annotations", 0, "bbox", 2], 0)))
    assert found.left_out == 1 and len(found.objects["9"]) == 1 and "1 of 2 annotations" in caplog.text


def test_instances_round_trip(tmp_path: Path) -> None:
    sizes = {"9": (640, 480), "emoji": (72, 72)}
    objects = {"emoji": [((1.0, 2.0, 3.5, 70.0), "cat"), ((1.0, 2.0, 3.5, 70.0), "dog")]}
    ids = write_instances(tmp_path / "i.json", sizes, objects)
    found = read_instances(tmp_path / "i.json")
    assert (found.sizes, found.objects) == (sizes, objects | {"9": []})
    assert found.annotations[str(ids["emoji", (1.0, 2.0, 3.5, 70.0)])] == ("emoji", (1.0, 2.0, 3.5, 70.0))
    with pytest.raises(PolysenseError, match="'x' has objects but no size"):
        write_instances(tmp_path / "i.json", sizes, {"x": []})


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (["annotations", 0, "bbox"], [1, 2, 3], "a box"),
        (["annotations", 0, "bbox", 1], float("nan"), "not finite"),
        (["annotations", 0, "bbox", 1], 10**400, "not finite"),
        (["annotations", 0, "bbox", 1], "2", "a number is expected"),
        (["annotations", 0, "category_id"], 99, "no category '99'"),
        (["annotations", 0, "image_id"], 99, "'99' is not among the file's images"),
        (["annotations", 0, "id"], 8, "'8' is there twice"),
        (["images", 1, "id"], 9, "'9' is there twice"),
        (["images", 1, "width"], 0, "1 or more"),
        (["categories", 0, "name"], "", "empty"),
    ],
)
def test_bad_instances(tmp_path: Path, path: list[Any], to: Any, message: str) -> None:
    with pytest.raises(PolysenseError, match=message):
        read_instances(put(tmp_path / "i.json", changed(INSTANCES, path, to)))
