from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from polysense.pictures.colour import colour_histogram
from polysense.pictures.efficientnet import PIXEL_MEAN, PIXEL_SCALE
from polysense.vision_language.detection import region_features
from polysense.vision_language.detection.imagenet_names import imagenet_names
from polysense.vision_language.detection.region_features import RegionFeatures


@pytest.fixture(scope="module")
def features() -> RegionFeatures:
    return RegionFeatures.pretrained()


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 96, 96, 3), dtype=np.uint8)


def halves(width: int = 20, height: int = 10) -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", (width, height), "red")
    picture.paste((0, 0, 255), (width // 2, 0, width, height))
    return picture


def test_crops_are_the_boxes_pixels(features: RegionFeatures) -> None:
    boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 0, 20, 10]], np.float32)
    left, right, whole = features.crops(halves(), boxes)
    assert left.shape == (96, 96, 3) and left.dtype == np.uint8
    assert (left == (255, 0, 0)).all() and (right == (0, 0, 255)).all()
    assert whole[50, 10].tolist() == [255, 0, 0] and whole[50, 85].tolist() == [0, 0, 255]


def test_small_boxes_are_grown_inside_the_picture(features: RegionFeatures) -> None:
    picture = Image.new("RGB", (30, 30), "white")
    picture.putpixel((29, 29), (0, 0, 0))
    (corner,) = features.crops(picture, np.array([[29, 29, 30, 30]]))
    assert corner[95, 95].tolist() == [0, 0, 0]
    assert corner[10, 10].tolist() == [255, 255, 255]
    (single,) = features.crops(Image.new("RGB", (1, 1), (9, 8, 7)), np.array([[0, 0, 1, 1]]))
    assert (single == (9, 8, 7)).all()


def test_both_parts_have_the_same_length(features: RegionFeatures, crops: np.ndarray) -> None:
    found = features.encode(crops)
    assert found.shape == (70, features.width) == (70, 1344) and found.dtype == np.float16
    for part in (found[:, :1280], found[:, 1280:]):
        np.testing.assert_allclose(np.linalg.norm(part.astype(np.float32), axis=1), 16.0, rtol=2e-3)


def test_seen_part_is_the_encoders_but_for_rounding(features: RegionFeatures, crops: np.ndarray) -> None:
    pixels = torch.from_numpy(crops[:2]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        exact = features._encoder((pixels - PIXEL_MEAN) / PIXEL_SCALE).numpy()
    found = features.encode(crops[:2])[:, :1280].astype(np.float32)
    alike = (found * exact).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
    assert (alike > 0.995).all()


def test_colour_part_is_the_root_of_the_histogram(features: RegionFeatures) -> None:
    (found,) = features.encode(features.crops(halves(), np.array([[0, 0, 10, 10]])))[:, 1280:]
    np.testing.assert_allclose(found, 16 * np.sqrt(colour_histogram(np.array([[255, 0, 0]], np.uint8))), atol=0.05)


def test_tints_of_one_shape_differ_by_colour_more_than_by_sight(features: RegionFeatures) -> None:
    crops = []
    for shade in ("red", "blue"):
        picture = Image.new("RGB", (96, 96), "white")
        ImageDraw.Draw(picture).ellipse((10, 10, 86, 86), fill=shade)
        crops.append(np.asarray(picture))
    one, other = features.encode(np.stack(crops)).astype(np.float32)
    assert np.linalg.norm(one[1280:] - other[1280:]) > 10
    assert np.linalg.norm(one - other) > np.linalg.norm(one[:1280] - other[:1280])


def test_batches_and_one_pass_change_nothing(features: RegionFeatures, crops: np.ndarray) -> None:
    found, names = features.encode_and_name(crops)
    np.testing.assert_array_equal(found, features.encode(crops))
    assert names == features.names(crops)
    alone = features.encode(crops[-3:])
    np.testing.assert_allclose(found[-3:].astype(np.float32), alone.astype(np.float32), atol=0.3)
    assert features.encode(crops[:0]).shape == (0, 1344) and features.names(crops[:0]) == []


def test_a_copy_for_another_process_sees_the_same(features: RegionFeatures, crops: np.ndarray) -> None:
    copy = pickle.loads(pickle.dumps(features))  # noqa: S301
    np.testing.assert_array_equal(copy.encode(crops[:4]), features.encode(crops[:4]))
    assert copy.identity == features.identity != RegionFeatures.pretrained(64).identity


def test_names_are_in_the_classifiers_order() -> None:
    names = imagenet_names()
    assert len(names) == 1000 and all(name == name.strip().lower() and name for name in names)
    known = {0: "tench", 207: "golden retriever", 340: "zebra", 409: "analog clock", 920: "traffic light", 963: "pizza"}
    assert {index: names[index] for index in known} == known


def test_names_of_drawn_things(features: RegionFeatures) -> None:
    clock, light = Image.new("RGB", (96, 96), "white"), Image.new("RGB", (96, 96), (150, 180, 220))
    draw = ImageDraw.Draw(clock)
    draw.ellipse((6, 6, 90, 90), fill="white", outline="black", width=5)
    for hour in range(12):
        x, y = 48 + 34 * np.sin(hour * np.pi / 6), 48 - 34 * np.cos(hour * np.pi / 6)
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill="black")
    draw.line((48, 48, 48, 22), fill="black", width=4)
    draw.line((48, 48, 66, 58), fill="black", width=4)
    draw = ImageDraw.Draw(light)
    draw.rounded_rectangle((30, 4, 66, 92), 6, fill=(30, 30, 30))
    for at, shade in ((20, "red"), (48, "yellow"), (76, "lime")):
        draw.ellipse((36, at - 11, 60, at + 11), fill=shade)
    found = features.names(np.stack([np.asarray(clock), np.asarray(light)]))
    assert [name for name, _ in found] == ["analog clock", "traffic light"]
    assert all(0 < probability <= 1 for _, probability in found)


def test_temperature_makes_names_less_sure(
    features: RegionFeatures, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tempered = features.names(crops[:4])
    monkeypatch.setattr(region_features, "TEMPERATURES", ((96.0, 224.0), (1.0, 1.0)))
    plain = features.names(crops[:4])
    assert [name for name, _ in tempered] == [name for name, _ in plain]
    assert all(one < other for (_, one), (_, other) in zip(tempered, plain, strict=True))
