import json
import random
from collections import Counter

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.world.backgrounds import KINDS
from polysense.vision_language.world.catalogue import CATALOGUE
from polysense.vision_language.world.facts import Kind
from polysense.vision_language.world.objects import WorldObject, by_split, digest, find_objects, plural_of
from polysense.vision_language.world.render import render, tint
from polysense.vision_language.world.scene import COLOURS, SIDE, VISIBLE, Scene, draw_scene
from polysense.vision_language.world.sheet import draw_sheet
from polysense.vision_language.world.sprites import cut_out, longer_side, mask, sprite
from polysense.vision_language.world.wording import a, listed, some, there


def test_things_with_one_head_noun_are_in_one_part(things, parts):
    heads = {split: {thing.head for thing in part} for split, part in parts.items()}
    assert not heads["train"] & heads["test"] and not heads["train"] & heads["validation"]
    assert not heads["validation"] & heads["test"]
    assert parts["test_seen"] == parts["train"]
    assert sum(len(part) for split, part in parts.items() if split != "test_seen") == len(things)
    assert 0.75 < len(parts["train"]) / len(things) < 0.85
    some_file = things[0].files
    assert WorldObject("glass of milk", "", some_file).head == "glass"
    assert WorldObject("polar bear", "", some_file).split == WorldObject("bear", "", some_file).split


def test_the_part_does_not_depend_on_the_other_objects(things):
    assert [thing.split for thing in things[::3]] == [thing.split for thing in find_some(things)]


def find_some(things):
    return [WorldObject(thing.name, thing.plural, thing.files) for thing in things][::3]


def test_catalogue(things):
    names = [thing.name for thing in things]
    assert len(names) == len(set(names)) == len({thing.plural for thing in things}) > 450
    assert not [name for name in names if set(name.replace("-", " ").split()) & {*COLOURS, "small", "large"}]
    plurals = {thing.name: thing.plural for thing in things}
    expected = {
        "mouse": "mice", "sheep": "sheep", "knife": "knives", "glass of milk": "glasses of milk",
        "butterfly": "butterflies", "fox": "foxes", "monkey": "monkeys",
    }  # fmt: skip
    assert {name: plurals[name] for name in expected} == expected
    assert [plural_of(name) for name in ("bus", "peach", "cherry", "key")] == ["buses", "peaches", "cherries", "keys"]


def test_a_caption_that_means_two_things_is_refused():
    with pytest.raises(ValueError, match="bunny"):
        find_objects([], "rabbit=bunny; hare=bunny")
    assert CATALOGUE.count(";") > 400


def test_too_few_objects(things):
    with pytest.raises(PolysenseError, match="part has"):
        by_split(things[:20])


def test_articles_and_numbers(things):
    named = {thing.name: thing for thing in things}
    assert a(Kind(named["unicorn"])) == "a unicorn"
    assert a(Kind(named["hourglass"])) == "an hourglass"
    assert a(Kind(named["umbrella"])) == "an umbrella"
    assert a(Kind(named["unicorn"], "orange")) == "an orange unicorn"
    assert a(Kind(named["owl"], "red", "small")) == "a small red owl"
    assert some(2, Kind(named["knife"], "blue")) == "two blue knives"
    assert some(1, Kind(named["knife"])) == "a knife"
    assert (there(1), there(2)) == ("there is", "there are")
    assert listed(["x"]) == "x" and listed(["x", "y", "z"]) == "x, y and z"


def test_scenes_keep_their_bounds(scenes):
    for part in scenes.values():
        for scene in part:
            assert 2 <= len(scene.objects) <= 6
            groups = Counter(placed.name for placed in scene.objects)
            assert max(groups.values()) <= 4
            assert len(groups) == len(scene.heads)
            for name in groups:  # tinted all or none
                assert len({placed.colour is None for placed in scene.objects if placed.name == name}) == 1
    drawn = [placed for scene in scenes["train"] for placed in scene.objects]
    assert 0.4 < sum(placed.colour is not None for placed in drawn) / len(drawn) < 0.7
    assert {placed.size for placed in drawn} == {"small", "", "large"}
    assert {scene.background.kind for scene in scenes["train"]} == {*KINDS}


def test_sizes_are_told_apart(things):
    for thing in things[:40]:
        small, middle, large = (longer_side(thing.files[0], extent) for extent in (29, 46, 68))
        areas = [np.prod(sprite(thing.files[0], side, False).shape[:2]) for side in (small, middle, large)]
        assert areas[0] * 1.8 < areas[1] and areas[1] * 1.8 < areas[2]


def seen_masks(scene):
    """Which pixels show each object, and all its pixels, painted from the back to the front."""
    owner, whole = np.full((SIDE, SIDE), -1), []
    for index, placed in enumerate(scene.objects):
        opaque = mask(placed.file, placed.side, placed.mirrored)
        own = np.zeros((SIDE, SIDE), dtype=bool)
        own[placed.top : placed.top + opaque.shape[0], placed.left : placed.left + opaque.shape[1]] = opaque
        owner[own] = index
        whole.append(own)
    return [owner == index for index in range(len(whole))], whole


def test_boxes_are_exact_and_objects_visible(scenes):
    for scene in scenes["train"]:
        seen, whole = seen_masks(scene)
        for placed, own, every in zip(scene.objects, seen, whole, strict=True):
            rows, columns = np.nonzero(own)
            assert placed.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert own.sum() >= VISIBLE * every.sum()


def test_boxes_lie_where_the_picture_changes(scenes):
    """Without an object, only pixels in its box change, or in its soft rim; and some do at each edge."""
    for scene in scenes["train"][:60]:
        top = scene.objects[-1]
        without = Scene(
            scene.identity, scene.split, scene.objects[:-1], frozenset(), frozenset(), scene.background, scene.seed
        )
        changed = (np.asarray(render(scene)).astype(int) != np.asarray(render(without))).any(axis=2)
        rows, columns = np.nonzero(changed)
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert np.abs(found - np.array(top.box)).max() <= 2


def test_a_scene_depends_on_seed_and_index_alone(parts, scenes):
    assert [draw_scene("train", i, parts["train"], 3) for i in (7, 3, 11)] == [scenes["train"][i] for i in (7, 3, 11)]
    assert draw_scene("train", 7, parts["train"], 4) != scenes["train"][7]
    first, again = render(scenes["train"][5]), render(scenes["train"][5])
    assert first.size == (SIDE, SIDE) and first.mode == "RGB" and first.tobytes() == again.tobytes()


def test_pictures_are_named_by_numbers_unique_over_the_world(scenes):
    names = [scene.identity for part in scenes.values() for scene in part]
    assert all(name.isdecimal() for name in names) and len(names) == len(set(names))


def test_scenes_round_trip(scenes, things):
    named = {thing.name: thing for thing in things}
    for scene in scenes["test"]:
        assert Scene.from_json(json.loads(json.dumps(scene.to_json())), named) == scene


def test_tint_keeps_shading_and_hue():
    cut = np.zeros((1, 3, 4), dtype=np.uint8)
    cut[0, :, :3] = [[0, 0, 0], [120, 120, 120], [255, 255, 255]]
    cut[..., 3] = 255
    dark, middle, light = tint(cut, (200, 100, 0))[0]
    assert dark[0] < middle[0] < light[0] == pytest.approx(200)
    np.testing.assert_allclose(
        np.array([dark, middle, light])[:, 1], np.array([dark, middle, light])[:, 0] / 2, rtol=1e-5
    )
    cut[...] = 255
    np.testing.assert_allclose(tint(cut, (200, 100, 0))[0, 0], [200, 100, 0])


def test_a_picture_that_is_none(tmp_path):
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(PolysenseError, match=r"x\.png"):
        cut_out(tmp_path / "x.png")


def test_digest_tells_other_pictures(things, tmp_path):
    other = tmp_path / "other.png"
    other.write_bytes(b"other")
    changed = [WorldObject(things[0].name, things[0].plural, (other,)), *things[1:5]]
    assert digest(things[:5]) == digest(things[:5]) != digest(changed)


def test_sheet(scenes, parts):
    chosen = random.Random(0).sample(scenes["train"], 4)
    sheet = draw_sheet(chosen, parts["train"])
    assert sheet.mode == "RGB" and sheet.width > 3 * SIDE and sheet.height > 2 * SIDE
    assert (np.asarray(sheet)[12 : 12 + SIDE, 12 : 12 + SIDE] == np.asarray(render(chosen[0]))).mean() > 0.8
