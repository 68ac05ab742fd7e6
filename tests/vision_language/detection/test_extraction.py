from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polysense.errors import PolysenseError
from polysense.vision_language.detection.extraction import Objects, extract_exact_regions, extract_regions
from polysense.vision_language.detection.proposals import ProposalDetector
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.region_files import open_regions


@pytest.fixture(scope="module")
def features() -> RegionFeatures:
    return RegionFeatures.pretrained()


def png(shade: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), shade).save(buffer, "PNG")
    return buffer.getvalue()


def test_files_and_readers_of_bytes(tmp_path: Path, features: RegionFeatures) -> None:
    (tmp_path / "red.png").write_bytes(png("red"))
    pictures: dict[str, Path | Callable[[], bytes]] = {"a": tmp_path / "red.png", "b": lambda: png("blue")}
    detector = ProposalDetector("grid", most=2, features=features)
    extract_regions(pictures, detector, tmp_path / "regions.h5", progress=False)
    found = open_regions(tmp_path / "regions.h5")
    assert list(found) == ["a", "b"] and found.width == 1344
    expected = detector.detect(Image.new("RGB", (20, 10), "blue"))
    np.testing.assert_array_equal(found["b"].features, expected.features)
    np.testing.assert_array_equal(found["b"].boxes, expected.boxes)
    assert list(found["b"].tags) == list(expected.tags)


def test_bad_pictures_are_left_out_with_one_warning(
    tmp_path: Path, features: RegionFeatures, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = {"gone": tmp_path / "gone.png", "good": lambda: png("red"), "text": lambda: b"text"}
    with caplog.at_level(logging.WARNING):
        extract_regions(pictures, ProposalDetector("grid", features=features), tmp_path / "r.h5", progress=False)
    assert list(open_regions(tmp_path / "r.h5")) == ["good"]
    assert len(caplog.records) == 1
    assert "2 of 3 pictures are left out: gone: " in caplog.text
    assert "gone.png: No such file or directory" in caplog.text and "text: not a picture" in caplog.text


def test_nothing_to_write(tmp_path: Path, features: RegionFeatures) -> None:
    detector = ProposalDetector("grid", features=features)
    for pictures, message in (({}, "there are no pictures"), ({"a": lambda: b""}, "none of the 1 pictures gave")):
        with pytest.raises(PolysenseError, match=message):
            extract_regions(pictures, detector, tmp_path / "r.h5", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_known_objects(tmp_path: Path, features: RegionFeatures, caplog: pytest.LogCaptureFixture) -> None:
    pictures = {"a": lambda: png("red"), "b": lambda: png("red")}
    objects = {
        "a": Objects(np.array([[0, 0, 5, 5], [5, 5, 20, 10]]), ["x", "y"]),
        "b": Objects(np.array([[0, 0, 50, 5]]), ["z"]),
    }
    extract_exact_regions(pictures, objects, features, tmp_path / "r.h5", progress=False)
    found = open_regions(tmp_path / "r.h5")
    assert list(found) == ["a"] and list(found["a"].tags) == ["x", "y"]
    assert "1 of 2 pictures are left out: b: the box (0, 0, 50, 5)" in caplog.text
