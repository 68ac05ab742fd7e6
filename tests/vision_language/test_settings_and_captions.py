from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.vision_language import captions as captions_module
from polysense.vision_language.annotations import write_region_captions
from polysense.vision_language.captions import (
    convert_regions,
    detector_file,
    load_regions,
    read_caption_folder,
    take_share,
)
from polysense.vision_language.examples import Caption
from polysense.vision_language.settings import RunSettings
from vision_language.data_folder import SIZE, regions_of, scenes

pytest_plugins = ("vision_language.data_folder",)


def test_what_is_given_goes_before_the_defaults():
    settings = RunSettings.of({"steps": 5, "warmup": 0.3}, {"steps": 7, "seed": 2, "bf16": None})
    assert settings == RunSettings(steps=7, warmup=0.3, seed=2)
    assert RunSettings.of({}, {"warmup": 1, "weight_decay": 0, "seed": 2**32 - 1}).warmup == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rat": 1}, r"unknown setting 'learning_rat'.*learning_rate"),
        ({"steps": 1.5}, "steps must be a whole number, not 1.5"),
        ({"steps": 0}, "steps must be more than 0, not 0"),
        ({"steps": True}, "steps must be a whole number"),
        ({"learning_rate": -1.0}, "learning-rate must be more than 0, not -1.0"),
        ({"learning_rate": math.nan}, "learning-rate must be a number"),
        ({"learning_rate": "x"}, "learning-rate must be a number, not 'x'"),
        ({"warmup": -0.1}, "warmup must be 0 or more"),
        ({"warmup": 2}, "warmup must be at most 1, not 2"),
        ({"seed": 2**32}, "seed must be at most 4294967295"),
        ({"head_factor": 0}, "head-factor must be more than 0"),
        ({"bf16": 1}, "bf16 must be true or false"),
    ],
)
def test_settings_out_of_range_are_said(given, message):
    with pytest.raises(PolysenseError, match=message):
        RunSettings.of({}, given)


def test_a_caption_folder(vl_data):
    captions, regions, detector = read_caption_folder(vl_data / "train")
    shown = scenes("train", 24)
    assert [c.picture for c in captions] == [name for name in shown for _ in range(2)]
    assert {name: list(regions[name].tags) for name in regions} == {p: [n for _, n in t] for p, t in shown.items()}
    assert detector == ""


def test_other_files_and_the_detector_beside_the_regions(vl_data, tmp_path):
    file = tmp_path / "phrases.json.gz"  # the content tells whose format it is
    write_region_captions(file, [Caption("test1", "a cat"), Caption("test0", "a dog")])
    regions = shutil.copy(vl_data / "test" / "regions.h5", tmp_path / "other.hdf5")
    detector_file(tmp_path / "other.hdf5").write_text('{"detector": "grid"}')
    captions, found, detector = read_caption_folder(vl_data / "train", file, tmp_path / "other.hdf5")
    assert captions == [Caption("test1", "a cat"), Caption("test0", "a dog")]
    assert set(found) == set(scenes("test", 8)) and detector == "grid" and regions.exists()
    for content in ("{", '{"other": 1}', '{"detector": 3}', "[]"):
        detector_file(tmp_path / "other.hdf5").write_text(content)
        with pytest.raises(PolysenseError, match=r"other\.detector\.json"):
            read_caption_folder(vl_data / "train", None, tmp_path / "other.hdf5")


def test_regions_of_any_format_are_read(vl_data, tmp_path, monkeypatch):
    """HDF5 in memory where it fits; for other formats there is no such choice."""
    width, height = SIZE
    (tmp_path / "npz").mkdir()
    boxes = np.array([[1, 2, 11, 12]], dtype=np.float32)
    np.savez(
        tmp_path / "npz" / "a.npz",
        x=np.ones((1, 8), dtype=np.float32), bbox=boxes, image_w=width, image_h=height, num_bbox=1,
    )  # fmt: skip
    assert len(load_regions(tmp_path / "npz")["a"]) == 1
    seen = []
    monkeypatch.setattr(captions_module, "open_regions", lambda file, in_memory: seen.append(in_memory))
    load_regions(vl_data / "test" / "regions.h5")
    monkeypatch.setattr(captions_module, "HELD_IN_MEMORY", 100)
    load_regions(vl_data / "test" / "regions.h5")
    assert seen == [True, False]


def test_published_regions_are_converted_with_the_names_of_their_tags(tmp_path):
    boxes = np.array([[1, 2, 11, 12], [0, 0, 5, 5]], dtype=np.float32)
    (tmp_path / "npz").mkdir()
    for name, numbers in (("a", [1, 2]), ("b", [])):
        np.savez(
            tmp_path / "npz" / f"{name}.npz",
            x=np.ones((len(numbers), 8), dtype=np.float32), bbox=boxes[: len(numbers)], image_w=64, image_h=48,
            num_bbox=len(numbers), info={"objects_id": np.array(numbers, dtype=np.int64)},
        )  # fmt: skip
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    told = convert_regions(tmp_path / "npz", tmp_path / "r.h5", tag_names=tmp_path / "names.txt", progress=False)
    assert told == {"regions": str(tmp_path / "r.h5"), "pictures": 2, "with_tags": 1, "width": 8}
    assert list(load_regions(tmp_path / "r.h5")["a"].tags) == ["cat", "dog"]
    assert convert_regions(tmp_path / "npz", tmp_path / "r.h5", progress=False)["with_tags"] == 0


def test_regions_are_told_apart_as_things():
    """Arrays have no single truth, so that `==` field by field would be an error."""
    regions = regions_of([("red", "cat")])
    assert regions == regions and regions != regions_of([("red", "cat")]) and {regions: 1}[regions] == 1


def test_a_share_is_that_of_the_first_pictures():
    captions = [Caption(p, t) for p, t in (("b", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("d", "5"), ("a", "6"))]
    assert [c.text for c in take_share(captions, 0.5)] == ["1", "2", "3", "6"]
    assert [c.text for c in take_share(captions, 0.25)] == ["1", "3"]
    assert take_share(captions, 1) == captions
    for share in (0, -1, 1.01, math.nan):
        with pytest.raises(PolysenseError, match="share must be above 0 and at most 1"):
            take_share(captions, share)
    with pytest.raises(PolysenseError, match=r"share 0\.1 of 4 pictures is none"):
        take_share(captions, 0.1)
    assert json.dumps([c.text for c in take_share(captions, 0.75)]) == '["1", "2", "3", "4", "6"]'
