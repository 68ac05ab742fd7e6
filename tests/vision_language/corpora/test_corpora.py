"""Small copies of each corpus in its own form, and the geometry of the real ones where they are on this machine."""

from __future__ import annotations

import gzip
import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from polysense.errors import PolysenseError
from polysense.tasks.sources import data_roots
from polysense.tasks.tables import read_table
from polysense.vision_language.corpora import (
    folds,
    kept,
    load_coco_mini,
    load_easy_vqa,
    load_flickr8k,
    load_nlvr,
    load_snli_ve,
)
from polysense.vision_language.corpora.nlvr import _objects, groups
from polysense.vision_language.detection.proposals import ProposalDetector
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.examples import Caption, Entailment


@pytest.fixture(scope="module")
def features() -> RegionFeatures:
    return RegionFeatures.pretrained()


@pytest.fixture
def detector(features: RegionFeatures) -> ProposalDetector:
    return ProposalDetector("grid", most=2, features=features)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYSENSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vision_language"


def write_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


def write_pictures(file: Path, names: Sequence[str], size: tuple[int, int] = (400, 100)) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for i, name in enumerate(names):
            buffer = io.BytesIO()
            Image.new("RGB", size, (40 * i, 90, 160)).save(buffer, "PNG")
            archive.writestr(name, buffer.getvalue())


def nlvr_row(split: str, identity: str, label: object) -> dict[str, Any]:
    thing = {"x_loc": 80, "y_loc": 20, "size": 20, "type": "circle", "color": "#0099ff"}
    black = {"x_loc": 0, "y_loc": 90, "size": 10, "type": "square", "color": "Black"}
    return {
        "image": f"{split}/{split}-{identity}-0.png",
        "identifier": identity,
        "sentence": "There is a blue circle",
        "label": label,
        "boxes": [[thing], [], [thing, black]],
    }


def write_nlvr(folder: Path, label: object = True) -> Path:
    for split in ("dev", "test"):
        write_rows(folder / "nlvr" / f"{split}.jsonl.gz", [nlvr_row(split, f"{i}-{i % 2}", label) for i in range(2)])
    names = [f"{split}/{split}-{i}-{i % 2}-0.png" for split in ("dev", "test") for i in range(2)]
    write_pictures(folder / "nlvr" / "images.zip", names)
    return folder


def test_nlvr(tmp_path: Path, features: RegionFeatures) -> None:
    found = load_nlvr(write_nlvr(tmp_path), features=features, progress=False)
    assert {split: len(rows) for split, rows in found.splits.items()} == {"dev": 2, "test": 2}
    question = found.splits["dev"][1]
    assert (question.identity, question.text, set(question.answers)) == ("1-1", "There is a blue circle", {"true"})
    assert len(question.answers) == 10
    regions = found.regions[question.picture]
    assert list(regions.tags) == ["box", "blue circle", "box", "box", "blue circle", "black square"]
    assert regions.boxes.tolist() == [
        [0, 0, 100, 100],
        [80, 20, 100, 40],
        [150, 0, 250, 100],
        [300, 0, 400, 100],
        [380, 20, 400, 40],
        [300, 90, 310, 100],
    ]
    assert groups(found.splits["dev"]) == ["0", "1"]


def test_regions_are_computed_once(
    tmp_path: Path, features: RegionFeatures, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nlvr(tmp_path)
    first = load_nlvr(tmp_path, features=features, progress=False).regions
    (file,) = cache.iterdir()
    assert file.name.startswith("nlvr-") and file.suffix == ".h5"
    with monkeypatch.context() as patch:
        patch.setattr(kept, "extract_exact_regions", lambda *_, **__: pytest.fail("computed again"))
        again = load_nlvr(tmp_path, features=features, progress=False).regions
    assert list(again) == list(first)
    load_nlvr(tmp_path, features=RegionFeatures(features._encoder, 64), progress=False)
    assert len(list(cache.iterdir())) == 2
    write_pictures(tmp_path / "nlvr" / "images.zip", list(first), (401, 100))
    load_nlvr(tmp_path, features=features, progress=False)
    assert len(list(cache.iterdir())) == 3


def test_a_damaged_kept_file_is_made_anew(
    tmp_path: Path, features: RegionFeatures, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_nlvr(write_nlvr(tmp_path), features=features, progress=False)
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:200])
    assert len(load_nlvr(tmp_path, features=features, progress=False).regions) == 4
    assert "computed anew" in caplog.text


def test_bad_rows_of_nlvr(tmp_path: Path, features: RegionFeatures) -> None:
    with pytest.raises(PolysenseError, match=r"dev\.jsonl\.gz, column 'label', line 1: 'maybe'; a label is true or"):
        load_nlvr(write_nlvr(tmp_path, "maybe"), features=features)
    rows = [nlvr_row("dev", "0-0", True), {**nlvr_row("dev", "1-1", True), "boxes": [[{"x_loc": 1}]]}]
    write_nlvr(tmp_path)
    write_rows(tmp_path / "nlvr" / "dev.jsonl.gz", rows)
    with pytest.raises(PolysenseError, match=r"column 'boxes', line 2: KeyError 'y_loc'; give lists of objects"):
        load_nlvr(tmp_path, features=features)
    (tmp_path / "nlvr").rename(tmp_path / "moved")
    (tmp_path / "moved" / "images.zip").unlink()
    with pytest.raises(
        PolysenseError, match=r"nlvr: no folder nlvr with dev\.jsonl\.gz, test\.jsonl\.gz, images\.zip in"
    ):
        load_nlvr(tmp_path, features=features)


def test_easy_vqa(tmp_path: Path, detector: ProposalDetector) -> None:
    rows = [
        {"image": "train/0.png", "question": "what is the blue shape?", "answer": "circle"},
        {"image": "train/0.png", "question": "is there a circle?", "answer": "yes"},
    ]
    for split in ("train", "test"):
        write_rows(tmp_path / "easy_vqa" / f"{split}.jsonl.gz", rows)
    write_pictures(tmp_path / "easy_vqa" / "images.zip", ["train/0.png"], (64, 64))
    found = load_easy_vqa(tmp_path, detector=detector, progress=False)
    assert [(q.identity, q.answers[0], q.kind) for q in found.splits["train"]] == [
        ("train-0", "circle", "other"),
        ("train-1", "yes", "yes/no"),
    ]
    assert len(found.regions["train/0.png"]) == 2


def write_flickr8k(folder: Path, names: Sequence[str] = ("a.jpg", "b.jpg")) -> None:
    rows = [{"image": name, "captions": [f"{name} {i}" for i in range(5)]} for name in ("a.jpg", "b.jpg")]
    write_rows(folder / "flickr8k" / "images_1000.jsonl.gz", rows)
    write_pictures(folder / "flickr8k" / "images_224.zip", names, (60, 40))


def test_flickr8k_and_snli_ve_share_their_regions(tmp_path: Path, detector: ProposalDetector, cache: Path) -> None:
    write_flickr8k(tmp_path)
    rows = [{"image": "b.jpg", "premise": "p", "hypothesis": "A dog.", "label": "neutral"}]
    write_rows(tmp_path / "snli_ve_rebuilt" / "with_flickr8k_images.jsonl.gz", rows)
    captions = load_flickr8k(tmp_path, detector=detector, progress=False).splits["all"]
    assert len(captions) == 10 and captions[6] == Caption("b.jpg", "b.jpg 1")
    found = load_snli_ve(tmp_path, detector=detector, progress=False)
    assert found.splits["all"] == (Entailment("0", "b.jpg", "A dog.", "neutral"),)
    assert "b.jpg" in found.regions and len(list(cache.iterdir())) == 1
    write_rows(tmp_path / "snli_ve_rebuilt" / "with_flickr8k_images.jsonl.gz", [{**rows[0], "label": "-"}])
    with pytest.raises(PolysenseError, match="line 1: '-'; a label is one of contradiction"):
        load_snli_ve(tmp_path, detector=detector)


def test_examples_of_missing_pictures_are_counted(
    tmp_path: Path, detector: ProposalDetector, caplog: pytest.LogCaptureFixture
) -> None:
    write_flickr8k(tmp_path, ["a.jpg"])
    with caplog.at_level(logging.WARNING):
        found = load_flickr8k(tmp_path, detector=detector, progress=False)
    assert {caption.picture for caption in found.splits["all"]} == {"a.jpg"}
    assert "there is no b.jpg in it" in caplog.text
    assert "flickr8k: 5 of 10 examples are left out" in caplog.text


def test_a_broken_zip(tmp_path: Path, detector: ProposalDetector) -> None:
    write_flickr8k(tmp_path)
    (tmp_path / "flickr8k" / "images_224.zip").write_bytes(b"no zip")
    with pytest.raises(PolysenseError, match=r"images_224\.zip: not a zip that can be read"):
        load_flickr8k(tmp_path, detector=detector)


def test_coco_mini(tmp_path: Path, features: RegionFeatures) -> None:
    things = [("cat", [5, 5, 20, 10]), ("dog", [0, 0, 9, 9]), ("dog", [30, 20, 30.5, 20])]
    row = {
        "image": "train2017/1.jpg",
        "captions": ["one", "two"],
        "objects": [{"category": category, "bbox_xywh": box, "iscrowd": 0} for category, box in things],
    }
    write_rows(tmp_path / "coco_mini" / "all.jsonl.gz", [row])
    write_pictures(tmp_path / "coco_mini" / "images_224.zip", ["train2017/1.jpg"], (60, 40))
    found = load_coco_mini(tmp_path, features=features, progress=False)
    assert [caption.text for caption in found.captions] == ["one", "two"]
    (expression,) = found.expressions
    assert (expression.text, expression.box) == ("the cat", (5, 5, 25, 15))
    regions = found.regions["train2017/1.jpg"]
    assert list(regions.tags) == ["cat", "dog", "dog"]
    assert regions.boxes.tolist() == [[5, 5, 25, 15], [0, 0, 9, 9], [30, 20, 60, 40]]


def test_folds_keep_groups_together() -> None:
    members = ["a", "b", "a", "c", "d", "d", "e", "a"]
    found = folds(members, 3)
    assert sorted(index for fold in found for index in fold) == list(range(8))
    for name in set(members):
        assert sum(any(members[index] == name for index in fold) for fold in found) == 1
    assert max(map(len, found)) - min(map(len, found)) <= 2
    assert folds(members, 3) == found != folds(members, 3, seed=1)
    with pytest.raises(PolysenseError, match="6 folds of 5 groups; give 2 to 5"):
        folds(members, 6)


def test_nlvr_geometry_against_the_pixels() -> None:
    folder = next((root / "nlvr" for root in data_roots() if (root / "nlvr" / "images.zip").is_file()), None)
    if folder is None:
        pytest.skip("nlvr is not on this machine")
    shades = {"yellow": (244, 244, 52), "blue": (0, 153, 255), "black": (0, 0, 0)}
    table = read_table(folder / "dev.jsonl.gz")
    names = table.texts("image")
    with zipfile.ZipFile(folder / "images.zip") as archive:
        for row in range(0, 200, 5):
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(names[row]))).convert("RGB")).astype(int)
            found = _objects(table, row)
            unexplained = np.ptp(pixels, axis=2) + (pixels.max(axis=2) < 100) * 255 > 60
            for (x1, y1, x2, y2), tag in zip(found.boxes.astype(int), found.tags, strict=True):
                if tag == "box":
                    assert (pixels[y1:y2:99, x1] != 128).all() and (x1 == 0 or (pixels[50, x1 - 1] == 128).all())
                    continue
                part = np.abs(pixels[y1:y2, x1:x2] - shades[tag.split()[0]]).sum(axis=2) < 120
                share = part.mean()
                low, high = {"square": (0.95, 1.0), "circle": (0.6, 0.95), "triangle": (0.3, 0.6)}[tag.split()[1]]
                assert low <= share <= high, (names[row], tag, share)
                unexplained[y1:y2, x1:x2] = False
            assert not unexplained.any(), names[row]
