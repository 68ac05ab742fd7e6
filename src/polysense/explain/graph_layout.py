"""Where everything in the drawing of a scene graph goes: entities in a row, relations as arches, attributes below."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from polysense.explain.graph_outline import Link, Outline, OutlinedEntity

NAME, SMALL = 15, 13
"""Font sizes of entities, and of relations and attributes, in pixels."""

LEVEL = 30
"""Height of one storey of arches."""

BOX = 30
"""Height of an entity."""

CHIP = 24
"""Height of an attribute."""

MARGIN = 12
"""Around the drawing, and inside a box beside its words."""

PORT = 10
"""Between two arches that stand on one entity."""

GAP = 22
"""Between neighbours."""

BETWEEN_TEXTS = 64
"""Between the last entity of one text and the first of the next."""


@dataclass(frozen=True)
class Box:
    """A centred rectangle with words."""

    words: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Arch:
    """A relation: up at `start`, along at `y`, and down to `end`, with its words in the middle."""

    words: str
    start: float
    end: float
    y: float
    label_width: float


@dataclass(frozen=True)
class Layout:
    """The drawing, in pixels, y downwards.

    Attributes:
        width, height: of all.
        entities, arches: in the order of the outline.
        chips: attributes, under their entities.
        divider: x between the two texts, where entities of both are shown.
    """

    width: float
    height: float
    entities: list[Box]
    arches: list[Arch]
    chips: list[Box]
    divider: float | None


def text_width(words: str, size: float) -> float:
    """Pixels that words take at most in the usual sans-serif fonts."""
    return size * sum(map(_em, words))


def lay_out(outline: Outline) -> Layout:
    """Place everything so that no two labels meet.

    A relation's storey is above those of all relations that it spans or crosses, and each pair of entities is as far
    apart as the words between them need.
    """
    links = outline.links
    levels = _levels(links)
    ports = _ports(links, levels)
    labels = [text_width(link.words, SMALL) + MARGIN for link in links]
    widths = [_entity_width(entity, i, links) for i, entity in enumerate(outline.entities)]
    xs = _columns(outline.entities, widths, links, ports, labels)
    top = MARGIN + LEVEL * (max(levels, default=-1) + 1) + (LEVEL / 2 if links else 0)
    entities = [
        Box(entity.name, x, top + BOX / 2, text_width(entity.name, NAME) + 2 * MARGIN, BOX)
        for entity, x in zip(outline.entities, xs, strict=True)
    ]
    entities = [_wide_enough(box, i, links) for i, box in enumerate(entities)]
    arches = [
        Arch(
            link.words,
            xs[link.source] + ports[number, link.source],
            xs[link.target] + ports[number, link.target],
            top - LEVEL * (levels[number] + 0.8),
            labels[number],
        )
        for number, link in enumerate(links)
    ]
    chips = [
        Box(words, x, top + BOX + 10 + CHIP / 2 + row * (CHIP + 6), text_width(words, SMALL) + 2 * MARGIN, CHIP)
        for entity, x in zip(outline.entities, xs, strict=True)
        for row, words in enumerate(entity.attributes)
    ]
    boxes = entities + chips
    height = max((box.y + box.height / 2 for box in boxes), default=0) + MARGIN
    width = max((box.x + box.width / 2 for box in boxes), default=0) + MARGIN
    return Layout(width, height, entities, arches, chips, _divider(outline.entities, entities))


def _levels(links: Sequence[Link]) -> list[int]:
    """The storey of each relation, from 0; shorter ones first."""
    spans = [(min(link.source, link.target), max(link.source, link.target)) for link in links]
    levels = [0] * len(links)
    placed: list[int] = []
    for number in sorted(range(len(links)), key=lambda n: (spans[n][1] - spans[n][0], spans[n][0])):
        low, high = spans[number]
        met = [levels[other] for other in placed if spans[other][0] < high and low < spans[other][1]]
        levels[number] = max(met, default=-1) + 1
        placed.append(number)
    return levels


def _ports(links: Sequence[Link], levels: Sequence[int]) -> dict[tuple[int, int], float]:
    """By relation and entity, how far from the entity's middle the relation stands.

    Arches to the left stand left of those to the right, and higher ones further inside, so that none of the two
    kinds crosses another at its foot.
    """
    offsets = {}
    for entity in {end for link in links for end in (link.source, link.target)}:
        left: list[int] = []
        right: list[int] = []
        for number, link in enumerate(links):
            if entity in (link.source, link.target):
                (left if max(link.source, link.target) == entity else right).append(number)
        left.sort(key=lambda n: levels[n])
        right.sort(key=lambda n: -levels[n])
        feet = left + right
        for place, number in enumerate(feet):
            offsets[number, entity] = PORT * (place - (len(feet) - 1) / 2)
    return offsets


def _feet(entity: int, links: Sequence[Link]) -> int:
    return sum(entity in (link.source, link.target) for link in links)


def _wide_enough(box: Box, entity: int, links: Sequence[Link]) -> Box:
    return Box(box.words, box.x, box.y, max(box.width, PORT * (_feet(entity, links) + 1)), box.height)


def _entity_width(entity: OutlinedEntity, number: int, links: Sequence[Link]) -> float:
    """Of the entity with its attributes and all that stands on it."""
    words = [text_width(entity.name, NAME), *(text_width(words, SMALL) for words in entity.attributes)]
    return max(max(words) + 2 * MARGIN, PORT * (_feet(number, links) + 1))


def _columns(
    entities: Sequence[OutlinedEntity],
    widths: Sequence[float],
    links: Sequence[Link],
    ports: dict[tuple[int, int], float],
    labels: Sequence[float],
) -> list[float]:
    """The middle of each entity, as far left as its neighbours and the words of relations let it be."""
    xs: list[float] = []
    for i, width in enumerate(widths):
        x = MARGIN + width / 2
        if i:
            gap = GAP if entities[i].part == entities[i - 1].part else BETWEEN_TEXTS
            x = xs[-1] + widths[i - 1] / 2 + gap + width / 2
        for number, link in enumerate(links):
            if max(link.source, link.target) == i:
                other = min(link.source, link.target)
                foot = xs[other] + ports[number, other]
                x = max(x, foot + labels[number] + 2 * MARGIN - ports[number, i])
        xs.append(x)
    return xs


def _divider(entities: Sequence[OutlinedEntity], boxes: Sequence[Box]) -> float | None:
    for i in range(1, len(entities)):
        if entities[i].part != entities[i - 1].part:
            left, right = boxes[i - 1], boxes[i]
            return (left.x + left.width / 2 + right.x - right.width / 2) / 2
    return None


def _em(character: str) -> float:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.1
    if character in "mwMW@%—…":
        return 1.0
    if character in "iljI.,:;'|!() []":
        return 0.4
    return 0.82 if character.isupper() else 0.65
