"""Captions: one to three of a scene's objects, with what is true of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from polysense.vision_language.examples import Caption
from polysense.vision_language.world.facts import Kind, definite, groups, relations
from polysense.vision_language.world.scene import Placed, Scene
from polysense.vision_language.world.wording import a, listed, relation, sentence, some, there

A_SCENE = 2
"""Captions of each scene."""
_LISTS = ("{list}", "a picture of {list}", "this picture shows {list}", "{list} in one picture", "{there} {list}")
_PAIRS = ("{one} {relation} {other}", "{one} is {relation} {other}", "there is {one} {relation} {other}")


def make_captions(scenes: Iterable[Scene]) -> Iterator[Caption]:
    """`A_SCENE` captions of each scene, in order; each depends on its scene alone."""
    for scene in scenes:
        rng = random.Random(f"{scene.seed}/caption/{scene.identity}")
        pairs = list(relations(scene))
        for _ in range(A_SCENE):
            if pairs and rng.random() < 0.45:
                yield Caption(scene.identity, _pair(rng, scene, *rng.choice(pairs)))
            else:
                yield Caption(scene.identity, _list(rng, scene))


def _pair(rng: random.Random, scene: Scene, one: int, name: str, other: int) -> str:
    text = rng.choice(_PAIRS).format(
        one=a(rng.choice(definite(scene, one))),
        other=a(rng.choice(definite(scene, other))),
        relation=relation(rng, name),
    )
    return sentence(text)


def _list(rng: random.Random, scene: Scene) -> str:
    found = groups(scene)
    chosen = rng.sample(list(found.values()), min(len(found), rng.randint(1, 3)))
    parts = [some(len(group), described(rng, group)) for group in chosen]
    return sentence(rng.choice(_LISTS).format(list=listed(parts), there=there(len(chosen[0]))))


def described(rng: random.Random, group: list[Placed]) -> Kind:
    """A kind that all of a group are of, sometimes with the colour and the size that they share."""
    first = group[0]
    colour = first.colour if rng.random() < 0.75 and len({each.colour for each in group}) == 1 else None
    size = first.size if rng.random() < 0.4 and len({each.size for each in group}) == 1 else ""
    return Kind(first.thing, colour, size)
