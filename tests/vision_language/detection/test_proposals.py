from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from polysense.errors import PolysenseError
from polysense.tasks.sources import data_roots
from polysense.vision_language.detection.exact import exact_regions
from polysense.vision_language.detection.proposals import ProposalDetector
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.regions import overlap


@pytest.fixture(scope="module")
def features() -> RegionFeatures:
    return RegionFeatures.pretrained()


def textured(width: int, height: int) -> np.ndarray:
    noise = np.random.default_rng(1).integers(-12, 13, (height, width, 1))
    return np.clip(np.full((height, width, 3), (120, 160, 110)) + noise, 0, 255).astype(np.uint8)


def test_shapes_on_a_textured_background_are_found(features: RegionFeatures) -> None:
    picture = Image.fromarray(textured(160, 120))
    boxes = np.array([[10, 10, 50, 50], [90, 60, 140, 110], [100, 8, 116, 24]], np.float32)
    draw = ImageDraw.Draw(picture)
    for box, shade in zip(boxes, ("red", "blue", "white"), strict=True):
        draw.ellipse((*box[:2], *(box[2:] - 1)), fill=shade)
    for method in ("segments", "both"):
        found = ProposalDetector(method, features=features).boxes(picture)
        assert (overlap(boxes, found).max(axis=1) > 0.7).all()
        assert found[0].tolist() == [0, 0, 160, 120]
        assert len(found) <= 36


def test_large_pictures_are_measured_in_their_own_pixels(features: RegionFeatures) -> None:
    picture = Image.new("RGB", (1200, 900), "white")
    picture.paste((200, 30, 30), (300, 200, 700, 600))
    found = ProposalDetector("segments", features=features).boxes(picture)
    assert overlap(np.array([[300, 200, 700, 600]]), found).max() > 0.8


def test_the_grid(features: RegionFeatures) -> None:
    found = ProposalDetector("grid", features=features).boxes(Image.new("RGB", (100, 50)))
    assert len(found) == 19
    assert found[1].tolist() == [0, 0, 50, 25] and found[9].tolist() == [50, 25, 100, 50]
    assert len(ProposalDetector("grid", most=5, features=features).boxes(Image.new("RGB", (100, 50)))) == 5


def test_proposals_do_not_repeat_each_other(features: RegionFeatures) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((160, 120))
    found = ProposalDetector("segments", features=features).boxes(noise)
    alike = overlap(found[1:], found[1:]) - np.eye(len(found) - 1)
    assert len(found) > 5 and alike.max() <= 0.5 + 1e-6


@pytest.mark.parametrize("size", [(1, 1), (2, 50), (300, 1), (5, 5), (2000, 9)])
@pytest.mark.parametrize("method", ["segments", "grid", "both"])
def test_pictures_of_any_size(size: tuple[int, int], method: str, features: RegionFeatures) -> None:
    regions = ProposalDetector(method, features=features).detect(Image.new("RGB", size, "red"))
    assert len(regions) >= 1
    assert regions.boxes[0].tolist() == [0, 0, *size]
    assert regions.features.shape == (len(regions), 1344)


def test_tags_are_names_that_are_sure(features: RegionFeatures) -> None:
    regions = ProposalDetector("grid", features=features).detect(Image.fromarray(textured(120, 90)))
    assert regions.scores is not None
    assert [bool(tag) for tag in regions.tags] == [score >= 0.35 for score in regions.scores]


def test_exact_regions(features: RegionFeatures) -> None:
    picture = Image.new("RGB", (40, 30), "red")
    found = exact_regions(picture, np.array([[0, 0, 20, 10], [30, 20, 41, 30.5]]), ["a", ""], features)
    assert found.boxes.tolist() == [[0, 0, 20, 10], [30, 20, 40, 30]]
    assert list(found.tags) == ["a", ""] and found.features.shape == (2, 1344)
    assert len(exact_regions(picture, np.zeros((0, 4)), [], features)) == 0
    with pytest.raises(PolysenseError, match="outside its picture of 40 x 30"):
        exact_regions(picture, np.array([[0, 0, 50, 10]]), ["a"], features)


def test_arguments(features: RegionFeatures) -> None:
    with pytest.raises(PolysenseError, match="choose one of segments, grid, both"):
        ProposalDetector("magic", features=features)
    with pytest.raises(PolysenseError, match="give 1 or more"):
        ProposalDetector(most=0, features=features)
    identities = {ProposalDetector(m, most=n, features=features).identity for m in ("grid", "both") for n in (3, 4)}
    assert len(identities) == 4


def test_easy_vqa_shapes_are_among_the_proposals(features: RegionFeatures) -> None:
    archive = next((root / "easy_vqa" / "images.zip" for root in data_roots() if (root / "easy_vqa").is_dir()), None)
    if archive is None:
        pytest.skip("easy_vqa is not on this machine")
    detector = ProposalDetector("segments", features=features)
    with zipfile.ZipFile(archive) as opened:
        for i in range(60):
            picture = Image.open(io.BytesIO(opened.read(f"test/{i}.png"))).convert("RGB")
            pixels = np.asarray(picture).astype(int)
            background = np.median(pixels.reshape(-1, 3), axis=0)
            rows, columns = np.nonzero(np.abs(pixels - background).sum(axis=2) > 60)
            shape = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
            assert overlap(shape, detector.boxes(picture)[1:]).max() >= 0.5, i
