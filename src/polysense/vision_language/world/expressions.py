"""Phrases that refer to exactly one object of a scene, mostly to one of several of its kind."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise

from polysense.vision_language.examples import Expression
from polysense.vision_language.world.facts import OPPOSITES, Kind, definite, groups, holds, ruled_out
from polysense.vision_language.world.scene import Scene
from polysense.vision_language.world.wording import relation

APART = 12.0
"""Pixels between the centre of "the leftmost dog" and that of the next."""
_FURTHEST = {
    "left": ("leftmost {one}", "{one} furthest to the left", "{one} on the far left"),
    "right": ("rightmost {one}", "{one} furthest to the right", "{one} on the far right"),
    "above": ("topmost {one}", "uppermost {one}", "{one} nearest to the top"),
    "below": ("bottommost {one}", "lowest {one}", "{one} nearest to the bottom"),
}
_ORDINALS = ("first", "second", "third", "fourth")
_LONE = 0.15
"""How often the only one of its kind is referred to where there are others to tell apart."""


def make_expressions(scenes: Iterable[Scene]) -> Iterator[Expression]:
    """One expression of each scene in which an object can be told apart, in order; each depends on its scene alone."""
    for scene in scenes:
        rng = random.Random(f"{scene.seed}/expression/{scene.identity}")
        several = {thing for thing, group in groups(scene).items() if len(group) > 1}
        order = rng.sample(range(len(scene.objects)), len(scene.objects))
        if rng.random() >= _LONE:
            order.sort(key=lambda index: scene.objects[index].thing not in several)
        for index in order:
            if ways := _ways(rng, scene, index):
                text = rng.choice(list(ways.values()))
                text = f"the {text}" if rng.random() < 0.6 else text
                yield Expression(scene.identity, scene.identity, text, scene.objects[index].box)
                break


def _ways(rng: random.Random, scene: Scene, index: int) -> dict[str, str]:
    """One phrase of each way in which this object can be told apart."""
    placed = scene.objects[index]
    kind = Kind(placed.thing)
    ways = {f"{each.colour is not None} {each.size != ''}": str(each) for each in definite(scene, index)}
    others = [other for other, each in enumerate(scene.objects) if each.thing == placed.thing and other != index]
    if others:
        ways.update(_places(rng, scene, index, others))
    near = [
        f"{kind} {relation(rng, name)} the {definite(scene, other)[0]}"
        for other, each in enumerate(scene.objects)
        for name in OPPOSITES
        if each.thing != placed.thing and definite(scene, other) and holds(scene, index, name, other)
        and all(ruled_out(scene, rival, name, other) for rival in others)
    ]  # fmt: skip
    if near:
        ways["relation"] = rng.choice(near)
    return ways


def _places(rng: random.Random, scene: Scene, index: int, others: list[int]) -> dict[str, str]:
    noun, here = scene.objects[index].name, scene.objects[index].centre
    found = {}
    for axis, (low, high) in enumerate((("left", "right"), ("above", "below"))):
        rest = [scene.objects[other].centre[axis] for other in others]
        if here[axis] + APART <= min(rest):
            found[low] = rng.choice(_FURTHEST[low]).format(one=noun)
        elif here[axis] >= max(rest) + APART:
            found[high] = rng.choice(_FURTHEST[high]).format(one=noun)
    across = sorted((*(scene.objects[other].centre[0] for other in others), here[0]))
    if len(across) > 2 and all(right - left >= APART for left, right in pairwise(across)):
        place = across.index(here[0])
        if rng.random() < 0.5:
            found["order"] = f"{_ORDINALS[place]} {noun} from the left"
        else:
            found["order"] = f"{_ORDINALS[len(across) - 1 - place]} {noun} from the right"
    return found
