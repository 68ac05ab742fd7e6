"""What is true of a scene, and when it is too vague to say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from polysense.vision_language.world.objects import WorldObject
from polysense.vision_language.world.scene import Placed, Scene

MARGIN = 28.0
"""Pixels between the centres of two objects before one counts as left of, or above, the other."""
STEEPNESS = 1.3
"""And that difference is at least this many times the other axis's."""
OPPOSITES = {
    "left": "right", "right": "left", "above": "below", "below": "above", "front": "behind", "behind": "front",
}  # fmt: skip
SIDES = ("left", "right", "above", "below")


@dataclass(frozen=True)
class Kind:
    """What a noun phrase asks for: a thing, maybe of a colour, maybe of a size ("small" or "large")."""

    thing: WorldObject
    colour: str | None = None
    size: str = ""

    def matches(self, placed: Placed) -> bool:
        return (
            placed.thing == self.thing
            and self.colour in (None, placed.colour)
            and self.size in ("", placed.size)
        )  # fmt: skip

    def __str__(self) -> str:
        return self._noun(self.thing.name)

    @property
    def plural(self) -> str:
        return self._noun(self.thing.plural)

    def _noun(self, noun: str) -> str:
        return " ".join(word for word in (self.size, self.colour, noun) if word)


def find(scene: Scene, kind: Kind) -> list[int]:
    """Which of the scene's objects are of that kind."""
    return [index for index, placed in enumerate(scene.objects) if kind.matches(placed)]


def count(scene: Scene, kind: Kind) -> int | None:
    """How many there are; None where people could disagree.

    They could where another thing with the same head noun is there (is a polar bear "a bear"?), where the colour of
    untinted things is asked, or where one is neither small nor large and a size is asked.
    """
    alike = [placed for placed in scene.objects if placed.thing.head == kind.thing.head]
    same = [placed for placed in alike if placed.thing == kind.thing]
    if (
        len(same) < len(alike)
        or (kind.colour and any(placed.colour is None for placed in same))
        or (kind.size and any(not placed.size for placed in same))
    ):
        return None
    return sum(kind.matches(placed) for placed in same)


def groups(scene: Scene) -> dict[WorldObject, list[Placed]]:
    """The scene's objects by thing, in their order."""
    found: dict[WorldObject, list[Placed]] = {}
    for placed in scene.objects:
        found.setdefault(placed.thing, []).append(placed)
    return found


def definite(scene: Scene, index: int) -> list[Kind]:
    """The kinds that only this object is of, the shortest first; empty where there is none."""
    placed = scene.objects[index]
    colours = (None, placed.colour) if placed.colour else (None,)
    sizes = ("", placed.size) if placed.size else ("",)
    kinds = (Kind(placed.thing, colour, size) for size in sizes for colour in colours)
    return [kind for kind in kinds if find(scene, kind) == [index]]


def holds(scene: Scene, one: int, relation: str, other: int) -> bool:
    """Whether one object is clearly "left", "right", "above", "below", "front" or "behind" of the other.

    Neither this nor its opposite holds where it is not clear.
    """
    if relation == "behind":
        return (one, other) in scene.hidden
    if relation in ("right", "below", "front"):
        return holds(scene, other, OPPOSITES[relation], one)
    axis = 0 if relation == "left" else 1
    here, there = scene.objects[one].centre, scene.objects[other].centre
    along, across = there[axis] - here[axis], abs(there[1 - axis] - here[1 - axis])
    return along >= max(MARGIN, STEEPNESS * across)


def ruled_out(scene: Scene, one: int, relation: str, other: int) -> bool:
    """Whether nobody would say that one object is in that relation to the other: not even a little."""
    if relation in ("front", "behind"):
        back, front = (one, other) if relation == "behind" else (other, one)
        return (back, front) not in scene.overlapping
    axis = 0 if relation in ("left", "right") else 1
    ahead = scene.objects[other].centre[axis] - scene.objects[one].centre[axis]
    return ahead <= 0 if relation in ("left", "above") else ahead >= 0


def relations(scene: Scene) -> Iterator[tuple[int, str, int]]:
    """All clear relations between two objects that each have a definite name."""
    named = [index for index in range(len(scene.objects)) if definite(scene, index)]
    for one in named:
        for other in named:
            for relation in OPPOSITES:
                if one != other and holds(scene, one, relation, other):
                    yield one, relation, other
