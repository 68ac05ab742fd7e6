"""Scenes: which objects, how large, in which colours, and where; drawn at random from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polysense.vision_language.regions import Box
from polysense.vision_language.world.backgrounds import Background, draw_background
from polysense.vision_language.world.objects import Split, WorldObject
from polysense.vision_language.world.sprites import longer_side, mask

SIDE = 192
"""The width and height of every picture, in pixels."""
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (228, 26, 32), "orange": (255, 138, 15), "yellow": (255, 226, 30), "green": (40, 165, 60),
    "blue": (40, 95, 230), "purple": (140, 45, 190), "pink": (255, 140, 195), "brown": (128, 74, 34),
}  # fmt: skip
SIZES: Mapping[str, tuple[int, int]] = {"small": (23, 29), "": (42, 50), "large": (68, 82)}
"""The side of a square as large as the object, in pixels, lowest and highest; "" is a size that nobody mentions."""
VISIBLE = 0.6
"""At least this share of an object is not hidden behind others."""
COVERS = 0.08
"""From this share of it on, an object that is hidden by another counts as behind it."""
MOST_SCENES = 10_000_000
"""Of one part; the names of its pictures begin at a multiple of this."""
_FIRST = {"train": 1, "validation": 1 + MOST_SCENES, "test": 1 + 2 * MOST_SCENES, "test_seen": 1 + 3 * MOST_SCENES}
_TRIES = 30


@dataclass(frozen=True)
class Placed:
    """One object in a scene.

    Attributes:
        thing: what it is.
        style: which of the thing's pictures.
        colour: the colour it is tinted in, one of `COLOURS`; None: as its picture is, and then no text names a colour.
        size: "small", "large", or "" for neither.
        side: the longer side of the whole object, in pixels.
        left, top: where the whole object is, in pixels.
        mirrored: whether left and right are swapped.
        box: (x1, y1, x2, y2), the exact extent of those of its pixels that can be seen.
    """

    thing: WorldObject
    style: int
    colour: str | None
    size: str
    side: int
    left: int
    top: int
    mirrored: bool
    box: Box

    @property
    def name(self) -> str:
        return self.thing.name

    @property
    def file(self) -> Path:
        return self.thing.files[self.style]

    @property
    def centre(self) -> tuple[float, float]:
        """Of the box, in pixels."""
        x1, y1, x2, y2 = self.box
        return (x1 + x2) / 2, (y1 + y2) / 2


@dataclass(frozen=True)
class Scene:
    """A picture, as the list of what is in it.

    Attributes:
        identity: the picture's name, a decimal number; unique over all parts.
        objects: from the back to the front.
        hidden: pairs (i, j): object i is partly hidden behind object j, by at least `COVERS` of it.
        overlapping: all pairs (i, j) of which j lies over i at all, be it where something else hides both.
        seed: the world's.
    """

    identity: str
    split: Split
    objects: tuple[Placed, ...]
    hidden: frozenset[tuple[int, int]]
    overlapping: frozenset[tuple[int, int]]
    background: Background
    seed: int

    @property
    def heads(self) -> frozenset[str]:
        """The head nouns of what is in it."""
        return frozenset(each.thing.head for each in self.objects)

    def to_json(self) -> dict[str, Any]:
        """Enough to draw it again; see `from_json`."""
        return {
            "picture": self.identity,
            "split": self.split,
            "seed": self.seed,
            "background": {
                "kind": self.background.kind, "colours": self.background.colours,
                "step": self.background.step, "seed": self.background.seed,
            },
            "objects": [
                {
                    "name": each.name, "style": each.style, "colour": each.colour, "size": each.size,
                    "side": each.side, "left": each.left, "top": each.top, "mirrored": each.mirrored, "box": each.box,
                }
                for each in self.objects
            ],
            "hidden": sorted(self.hidden),
            "overlapping": sorted(self.overlapping),
        }  # fmt: skip

    @staticmethod
    def from_json(row: Mapping[str, Any], things: Mapping[str, WorldObject]) -> Scene:
        """The scene of a line of scenes.jsonl, given the world's objects by name."""
        behind = row["background"]
        first, second = (tuple(colour) for colour in behind["colours"])
        placed = tuple(
            Placed(
                things[each["name"]], each["style"], each["colour"], each["size"], each["side"], each["left"],
                each["top"], each["mirrored"], (*each["box"],),
            )
            for each in row["objects"]
        )  # fmt: skip
        hidden, overlapping = (frozenset(map(tuple, row[pairs])) for pairs in ("hidden", "overlapping"))
        background = Background(behind["kind"], (first, second), behind["step"], behind["seed"])
        return Scene(row["picture"], row["split"], placed, hidden, overlapping, background, row["seed"])


def draw_scene(split: Split, index: int, things: Sequence[WorldObject], seed: int) -> Scene:
    """The scene of that index; it depends on nothing but the arguments, so scenes come in any order and number.

    Args:
        index: from 0.
        things: the objects of that part.
    """
    rng = random.Random(f"{seed}/{split}/{index}")
    canvas = _Canvas()
    for thing, colour in _cast(rng, things):
        canvas.place(rng, thing, colour)
    identity, background = str(_FIRST[split] + index), draw_background(rng)
    return Scene(identity, split, canvas.placed(), canvas.hidden(), canvas.overlapping(), background, seed)


def _cast(rng: random.Random, things: Sequence[WorldObject]) -> list[tuple[WorldObject, str | None]]:
    """Who is in it: 2 to 6 objects, often several of one thing; no two things share a head noun.

    A thing is tinted wherever it occurs in the scene, or nowhere: a picture's own colours have no name, so nobody could
    say whether an untinted one beside tinted ones is "the red one".
    """
    first = rng.choices((1, 2, 3, 4), (40, 20, 18, 22))[0]
    counts = [first]
    others = rng.randint(1, min(3, 6 - first))
    while others:
        count = rng.choices((1, 2), (80, 20))[0] if others > 1 else 1
        counts.append(count)
        others -= count
    chosen: dict[str, WorldObject] = {}
    while len(chosen) < len(counts):
        thing = rng.choice(things)
        chosen.setdefault(thing.head, thing)
    cast: list[tuple[WorldObject, str | None]] = []
    for thing, count in zip(chosen.values(), counts, strict=True):
        shared = rng.choice([*COLOURS]) if rng.random() < 0.4 else None
        tinted = rng.random() < 0.55
        cast += [(thing, (shared or rng.choice([*COLOURS])) if tinted else None) for _ in range(count)]
    rng.shuffle(cast)
    return cast


class _Canvas:
    """Where there is room; keeps which object each pixel shows."""

    def __init__(self) -> None:
        self.owner = np.full((SIDE, SIDE), -1, dtype=np.int8)
        self.masks: list[NDArray[np.bool_]] = []
        self.areas: list[int] = []
        self.lost: dict[tuple[int, int], int] = {}
        self.chosen: list[tuple[WorldObject, int, str | None, str, int, int, int, bool]] = []

    def place(self, rng: random.Random, thing: WorldObject, colour: str | None) -> None:
        """Put one more object on top; where there is no room for its size, it becomes smaller, or else stays away."""
        style = rng.randrange(len(thing.files))
        mirrored = rng.random() < 0.5
        wanted = rng.choices([*SIZES], (36, 30, 34))[0]
        for size in dict.fromkeys((wanted, "", "small")):
            side = longer_side(thing.files[style], rng.uniform(*SIZES[size]))
            opaque = mask(thing.files[style], side, mirrored)
            height, width = opaque.shape
            for _ in range(_TRIES):
                left, top = self._somewhere(rng, width, height)
                if self._put(opaque, left, top, thing, colour):
                    self.chosen.append((thing, style, colour, size, side, left, top, mirrored))
                    return

    def _somewhere(self, rng: random.Random, width: int, height: int) -> tuple[int, int]:
        left, top = rng.randint(0, SIDE - width), rng.randint(0, SIDE - height)
        if self.chosen and rng.random() < 0.1:  # near another object, so that some lie over each other
            near = rng.choice(self.chosen)
            left = min(max(0, near[5] + rng.randint(-width // 2, near[4] // 2)), SIDE - width)
            top = min(max(0, near[6] + rng.randint(-height // 2, near[4] // 2)), SIDE - height)
        return left, top

    def _put(self, opaque: NDArray[np.bool_], left: int, top: int, thing: WorldObject, colour: str | None) -> bool:
        height, width = opaque.shape
        below = self.owner[top : top + height, left : left + width]
        covered = np.bincount(below[opaque] + 1, minlength=len(self.areas) + 1)[1:]
        for index, area in enumerate(self.areas):
            hidden = sum(self.lost.get((index, front), 0) for front in range(len(self.areas)))
            if covered[index] + hidden > (1 - VISIBLE) * area:
                return False
            other, _, its_colour, *_ = self.chosen[index]
            alike = colour == its_colour and (colour is not None or thing == other)
            if covered[index] and alike:  # nobody could see where one ends
                return False
        new = len(self.areas)
        self.lost.update({(index, new): int(count) for index, count in enumerate(covered) if count})
        self.areas.append(int(opaque.sum()))
        below[opaque] = new
        self.masks.append(np.zeros_like(self.owner, dtype=bool))
        self.masks[new][top : top + height, left : left + width] = opaque
        return True

    def hidden(self) -> frozenset[tuple[int, int]]:
        return frozenset(pair for pair, count in self.lost.items() if count >= COVERS * self.areas[pair[0]])

    def overlapping(self) -> frozenset[tuple[int, int]]:
        pairs = combinations(range(len(self.masks)), 2)
        return frozenset((back, front) for back, front in pairs if (self.masks[back] & self.masks[front]).any())

    def placed(self) -> tuple[Placed, ...]:
        found = []
        for index, (thing, style, colour, size, side, left, top, mirrored) in enumerate(self.chosen):
            seen = self.owner == index
            rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
            box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            found.append(Placed(thing, style, colour, size, side, left, top, mirrored, box))
        return tuple(found)
