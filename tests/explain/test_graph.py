"""The scene graph in words, and where its drawing puts them."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

from polysense.explain.graph_drawing import description, drawing
from polysense.explain.graph_layout import SMALL, Layout, lay_out
from polysense.explain.graph_outline import SHOWN, outline
from polysense.scene_graphs.graph import Node, Relation, SceneGraph

Rectangle = tuple[float, float, float, float]


def rectangles(layout: Layout) -> list[Rectangle]:
    """Left, top, right and bottom of all that has words."""
    boxes = [(b.x - b.width / 2, b.y - b.height / 2, b.x + b.width / 2, b.y + b.height / 2)
             for b in layout.entities + layout.chips]  # fmt: skip
    labels = [((a.start + a.end - a.label_width) / 2, a.y - SMALL / 2, (a.start + a.end + a.label_width) / 2,
               a.y + SMALL / 2) for a in layout.arches]  # fmt: skip
    return boxes + labels


def overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_outline_of_the_example(example):
    found = outline(example.graph, example.texts)
    assert [(e.name, e.attributes) for e in found.entities] == [("dog", ()), ("Rex", ()), ("car", ("red",))]
    assert [(link.source, link.words, link.target) for link in found.links] == [(0, "called", 1), (0, "barks at", 2)]
    assert found.summary == "3 entities, 1 attribute, 2 relations" and found.rest == ""
    assert description(found) == "dog - called - Rex; dog - barks at - car; car: red"


def test_what_has_no_words_no_owner_or_an_attribute_at_its_end():
    text = "Rex's tail barks at a car red"
    nodes = (Node("entity", 0, 0, 3), Node("entity", 0, 6, 10), Node("attribute", 0, 11, 16), Node("entity", 0, 22, 25),
             Node("attribute", 0, 26, 29))  # fmt: skip
    relations = (Relation(0, 1, "possession", 0, 6, 6), Relation(0, 2, "attribute", 0, 11, 11),
                 Relation(2, 3, "position", 0, 17, 19))  # fmt: skip
    found = outline(SceneGraph(nodes, relations), (text,))
    assert [(e.name, e.attributes) for e in found.entities] == [
        ("Rex", ("barks",)), ("tail", ()), ("car", ()), ("[red]", ())]  # fmt: skip
    assert [(link.source, link.words, link.target) for link in found.links] == [(0, "(has)", 1), (0, "at", 2)]


def test_an_attribute_that_is_an_entity_is_joined_to_it():
    nodes = (Node("entity", 0, 0, 3), Node("entity", 0, 9, 13))
    found = outline(SceneGraph(nodes, (Relation(0, 1, "attribute", 0, 4, 6),)), ("car is a taxi",))
    assert [e.attributes for e in found.entities] == [(), ()]
    assert [(link.source, link.words, link.target) for link in found.links] == [(0, "is", 1)]


def test_short_entities_make_room_for_what_is_between_them():
    text = "a is standing rather near b c"
    nodes = (Node("entity", 0, 0, 1), Node("entity", 0, 26, 27), Node("entity", 0, 28, 29))
    relations = (Relation(1, 0, "position", 0, 2, 25), Relation(0, 2, "position", 0, 2, 25))
    (arch, _) = lay_out(outline(SceneGraph(nodes, relations), (text,))).arches
    assert arch.start - arch.end >= arch.label_width > 100


def test_many_entities_are_counted(crowded):
    texts, graph = crowded
    found = outline(graph, texts)
    count = sum(node.kind == "entity" for node in graph.nodes)
    assert len(found.entities) == min(count, SHOWN) and found.more_entities == max(0, count - SHOWN)
    assert all(max(link.source, link.target) < SHOWN for link in found.links)
    relations = sum(relation.kind != "attribute" for relation in graph.relations)
    assert len(found.links) + found.more_links == relations
    assert found.rest == (f"and 24 more entities and {found.more_links} relations" if count == 40 else "")


def test_nothing_overlaps_and_all_is_inside(crowded, example):
    for graph, texts in ((crowded[1], crowded[0]), (example.graph, example.texts)):
        layout = lay_out(outline(graph, texts))
        placed = rectangles(layout)
        assert len(placed) > 5
        assert [(a, b) for a, b in combinations(placed, 2) if overlap(a, b)] == []
        for left, top, right, bottom in placed:
            assert left >= 0 and right <= layout.width and top >= 0 and bottom <= layout.height


def test_arches_start_and_end_on_their_entities_each_on_its_own_place(crowded):
    found = outline(crowded[1], crowded[0])
    layout = lay_out(found)
    for link, arch in zip(found.links, layout.arches, strict=True):
        for end, x in ((link.source, arch.start), (link.target, arch.end)):
            box = layout.entities[end]
            assert abs(x - box.x) <= box.width / 2
    feet = sorted(x for arch in layout.arches for x in (arch.start, arch.end))
    assert all(right - left > 5 for left, right in pairwise(feet))
    assert [box.x for box in layout.entities] == sorted(box.x for box in layout.entities)


def test_a_line_divides_two_texts(example):
    texts = ("a dog", "a cat")
    graph = SceneGraph((Node("entity", 0, 2, 5), Node("entity", 1, 2, 5)), ())
    layout = lay_out(outline(graph, texts))
    dog, cat = layout.entities
    assert dog.x + dog.width / 2 < layout.divider < cat.x - cat.width / 2
    assert lay_out(outline(example.graph, example.texts)).divider is None


@pytest.mark.parametrize("name", ["title", "desc"])
def test_the_drawing_is_told_to_those_who_cannot_see_it(example, name):
    svg = drawing(outline(example.graph, example.texts))
    assert svg.find(name).get("id") in svg.get("aria-labelledby").split() and svg.get("role") == "img"
    assert svg.find(name).text
