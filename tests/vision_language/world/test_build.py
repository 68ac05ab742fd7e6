import json
from collections import Counter

import h5py
import numpy as np
import pytest
from PIL import Image

from polysense.errors import PolysenseError
from polysense.pictures.efficientnet import EfficientNetLite0
from polysense.vision_language.annotations import (
    read_candidates,
    read_captions,
    read_nlvr2,
    read_refcoco,
    read_snli_ve,
    read_vqa,
)
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.region_files import open_regions
from polysense.vision_language.world.build import build_world
from polysense.vision_language.world.render import render
from polysense.vision_language.world.scene import SIDE, draw_scene
from polysense.vision_language.world.texts import read_scenes


class MeanColours:
    """Stands in for the features: each box's mean colour."""

    def crops(self, picture, boxes):
        return np.stack([np.asarray(picture.crop(tuple(box)).resize((8, 8))) for box in boxes])

    def encode(self, crops):
        return crops.reshape(len(crops), -1, 3).mean(axis=1).astype(np.float16)


def build(folder, things, **options):
    settings = {"scenes": 70, "validation": 5, "test": 40, "test_seen": 6, "seed": 2, "workers": 1, "progress": False}
    build_world(folder, objects=things, **({"encoder": MeanColours()} | settings | options))
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory, things):
    return build(tmp_path_factory.mktemp("worlds") / "world", things)


def test_regions_are_the_scenes(world, things, parts):
    named = {thing.name: thing for thing in things}
    for split, number in (("train", 70), ("validation", 5), ("test", 40), ("test_seen", 6)):
        scenes = read_scenes(world / split / "scenes.jsonl", named)
        assert scenes == [draw_scene(split, i, parts[split], 2) for i in range(number)]
        regions = open_regions(world / split / "regions.h5")
        assert list(regions) == [scene.identity for scene in scenes]
        for scene in scenes[:5] + scenes[-5:]:
            found = regions[scene.identity]
            assert list(found.tags) == [placed.name for placed in scene.objects]
            assert (found.width, found.height) == (SIDE, SIDE)
            np.testing.assert_array_equal(found.boxes, [placed.box for placed in scene.objects])
            encoder = MeanColours()
            expected = encoder.encode(encoder.crops(render(scene), found.boxes))
            np.testing.assert_array_equal(found.features, expected)


def test_scenes_of_seen_kinds_are_new_ones(world, things):
    named = {thing.name: thing for thing in things}
    seen, train = (read_scenes(world / split / "scenes.jsonl", named) for split in ("test_seen", "train"))
    assert {placed.thing.split for scene in seen for placed in scene.objects} == {"train"}
    assert not [scene for scene in seen if scene.objects in [other.objects for other in train]]


def test_texts_are_in_the_layouts_of_their_data_sets(world):
    told = json.loads((world / "world.json").read_text())["parts"]
    for split, name in {"train": "train", "validation": "val", "test": "test", "test_seen": "test"}.items():
        folder = world / split
        pictures = set(open_regions(folder / "regions.h5"))
        captions = read_captions(folder / "captions.json")
        questions = read_vqa(folder / "questions.json", folder / "annotations.json")
        entailments = read_snli_ve(folder / "entailments.jsonl")
        statements = read_nlvr2(folder / "statements.jsonl")
        expressions = read_refcoco(folder / "references.json", folder / "instances.json", name)
        candidates = read_candidates(folder / "instances.json")
        for kind, examples in (
            ("captions", captions), ("questions", questions), ("entailments", entailments),
            ("statements", statements), ("expressions", expressions),
        ):  # fmt: skip
            assert told[split][kind] == len(examples) > 0, (split, kind)
        assert {each.picture for each in (*captions, *questions, *entailments, *expressions)} == pictures
        assert {picture for each in statements for picture in (each.left, each.right)} <= pictures
        assert all(each.box in candidates[each.picture] for each in expressions)
        assert {each.kind for each in questions} <= {"exists", "colour", "count", "size", "relation", "where"}
        assert Counter(len(each.answers) for each in questions) == {10: len(questions)}


def test_pictures_are_kept_where_asked(world, things, tmp_path):
    assert not (world / "train" / "pictures").exists()
    scenes = read_scenes(world / "test" / "scenes.jsonl", {thing.name: thing for thing in things})
    kept = {file.stem for file in (world / "test" / "pictures").iterdir()}
    assert kept == {scene.identity for scene in scenes}
    with Image.open(world / "test" / "pictures" / f"{scenes[0].identity}.jpg") as picture:
        difference = np.asarray(picture, dtype=float) - np.asarray(render(scenes[0]))
    assert np.abs(difference).mean() < 6
    everything = build(tmp_path / "all", things, scenes=3, validation=2, test=2, pictures="all")
    assert len(list((everything / "train" / "pictures").iterdir())) == 3


def test_a_smaller_world_is_the_beginning_of_a_larger(world, things, tmp_path):
    small = build(tmp_path / "small", things, scenes=30, validation=2, test=10)
    for file in ("scenes.jsonl", "entailments.jsonl", "statements.jsonl"):
        few, more = ((folder / "train" / file).read_text().splitlines() for folder in (small, world))
        assert len(few) >= 28 and more[: len(few)] == few
    few, more = (read_vqa(folder / "train" / "questions.json") for folder in (small, world))
    assert more[: len(few)] == few


def test_the_same_twice_and_another_seed(world, things, tmp_path):
    again = build(tmp_path / "again", things)
    files = sorted(file.relative_to(world) for file in world.rglob("*") if file.is_file())
    assert files == sorted(file.relative_to(again) for file in again.rglob("*") if file.is_file())
    for file in files:
        if file.suffix != ".h5":
            assert (world / file).read_bytes() == (again / file).read_bytes(), file
    other = build(tmp_path / "other", things, seed=9, scenes=4, validation=2, test=2)
    assert (other / "train" / "scenes.jsonl").read_text()[:200] != (world / "train" / "scenes.jsonl").read_text()[:200]


def test_processes_make_the_same(things, tmp_path):
    encoder = RegionFeatures(EfficientNetLite0(), side=32)
    sizes = {"scenes": 40, "validation": 2, "test": 2, "encoder": encoder}
    one, two = (build(tmp_path / str(workers), things, workers=workers, **sizes) for workers in (1, 2))
    for split in ("train", "test"):
        assert (one / split / "scenes.jsonl").read_text() == (two / split / "scenes.jsonl").read_text()
        with h5py.File(one / split / "regions.h5") as first, h5py.File(two / split / "regions.h5") as second:
            assert set(first) == set(second)
        first, second = open_regions(one / split / "regions.h5"), open_regions(two / split / "regions.h5")
        for name in first:
            np.testing.assert_allclose(
                first[name].features.astype(float), second[name].features.astype(float), atol=0.1
            )


def test_what_is_there_is_kept(world, things, tmp_path):
    before = (world / "README.md").read_text()
    with pytest.raises(PolysenseError, match="already holds a result"):
        build(world, things)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PolysenseError, match="something else"):
        build(tmp_path, things, overwrite=True)
    assert (world / "README.md").read_text() == before
    once = build(tmp_path / "once", things, scenes=3, validation=2, test=2)
    build(once, things, scenes=4, validation=2, test=2, overwrite=True)
    assert json.loads((once / "world.json").read_text())["parts"]["train"]["scenes"] == 4


def test_a_world_that_fails_leaves_nothing(things, tmp_path):
    class Broken(MeanColours):
        def encode(self, crops):
            raise PolysenseError("no more")

    with pytest.raises(PolysenseError, match="no more"):
        build(tmp_path / "world", things, encoder=Broken())
    assert not (tmp_path / "world").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [({"scenes": 1}, "1 train scenes"), ({"test": 10**8}, "test scenes"), ({"workers": 0}, "0 workers")],
)
def test_numbers_out_of_range(things, tmp_path, option, message):
    with pytest.raises(PolysenseError, match=message):
        build(tmp_path / "world", things, **option)


def test_a_scene_with_an_unknown_object(world, things):
    with pytest.raises(PolysenseError, match=r"scenes\.jsonl"):
        read_scenes(world / "train" / "scenes.jsonl", {thing.name: thing for thing in things[:3]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.pop("picture"), "KeyError: 'picture'"),
        (lambda row: row["objects"][0].pop("colour"), "KeyError: 'colour'"),
        (lambda row: row["objects"].insert(0, "cat"), "TypeError"),
        (lambda row: row.update(hidden=3), "TypeError"),
        (lambda row: row["background"].update(colours=[[1, 2, 3]]), "ValueError"),
    ],
)
def test_a_damaged_scene_is_named(world, things, tmp_path, change, message):
    first, second = (world / "train" / "scenes.jsonl").read_text().splitlines()[:2]
    row = json.loads(second)
    change(row)
    (tmp_path / "scenes.jsonl").write_text(f"{first}\n{json.dumps(row)}\n")
    with pytest.raises(PolysenseError, match=rf"scenes\.jsonl, line 2: no scene \({message}"):
        read_scenes(tmp_path / "scenes.jsonl", {thing.name: thing for thing in things})


def test_the_card_tells_sizes(world):
    text = (world / "README.md").read_text()
    assert "| train/ | 70 |" in text and "| test/ | 40 |" in text
