"""Scene graphs: what a text speaks of, as entities, attributes and relations, each with its place in the text."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from typing import Any

from polysense.entity_graph import RELATION_KINDS

NODE_KINDS = ("entity", "attribute")
"""A thing; or what it is like, how many there are, or what it does where it does it to nothing ("barks")."""


@dataclass(frozen=True, slots=True)
class Node:
    """An entity or an attribute.

    Attributes:
        kind: one of `NODE_KINDS`.
        part: which text of a pair, 0 or 1; 0 for a single text.
        start, end: its characters in that text as it was given, half-open and never empty. An entity's are its head
            noun with the compounds before it ("traffic light"), without determiner and attributes; an attribute's are
            its head word with what qualifies it ("very tall").
    """

    kind: str
    part: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Relation:
    """A directed edge between two nodes of the same part.

    Attributes:
        source, target: numbers of nodes. Who acts -> what it is done to; a thing -> where it is; an owner -> what is
            owned; an entity -> its attribute.
        kind: one of `RELATION_KINDS`.
        part: which text of a pair, 0 or 1.
        start, end: the characters that say it ("barks at"), half-open; empty at the target's start where none do.
    """

    source: int
    target: int
    kind: str
    part: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SceneGraph:
    """The graph of a text or of a pair, whose texts share no edge.

    Attributes:
        nodes: in the order of the text, the first text's of a pair first.
        relations: in the order of their words, likewise.
    """

    nodes: tuple[Node, ...]
    relations: tuple[Relation, ...]

    @classmethod
    def empty(cls) -> SceneGraph:
        """The graph of a text without entities."""
        return cls((), ())

    def to_json(self) -> str:
        """Compact JSON: `[[[kind, part, start, end], ...], [[source, target, kind, part, start, end], ...]]`."""
        nodes = [[NODE_KINDS.index(node.kind), *astuple(node)[1:]] for node in self.nodes]
        relations = [[r.source, r.target, RELATION_KINDS.index(r.kind), r.part, r.start, r.end] for r in self.relations]
        return json.dumps([nodes, relations], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> SceneGraph:
        """The graph that `to_json` wrote.

        Raises:
            ValueError: it is no graph, or an impossible one.
        """
        try:
            nodes, relations = json.loads(text)
            graph = cls(tuple(_node(row) for row in nodes), tuple(_relation(row, nodes) for row in relations))
        except (ValueError, TypeError, IndexError, RecursionError) as error:
            raise ValueError(f"this is no scene graph ({error}): {text[:80]!r}") from None
        return graph


def _node(row: Any) -> Node:
    kind, part, start, end = _numbers(row)
    if part > 1 or start >= end:
        raise ValueError("a node of a third text, or of no characters")
    return Node(NODE_KINDS[kind], part, start, end)


def _relation(row: Any, nodes: Any) -> Relation:
    source, target, kind, part, start, end = _numbers(row)
    if source == target or not part == nodes[source][1] == nodes[target][1] or start > end:
        raise ValueError("a relation of a node with itself or across texts, or of less than no characters")
    return Relation(source, target, RELATION_KINDS[kind], part, start, end)


def _numbers(row: Any) -> list[int]:
    if not isinstance(row, list) or any(type(value) is not int or value < 0 for value in row):
        raise ValueError("a row that is not of numbers from 0 on")
    return row
