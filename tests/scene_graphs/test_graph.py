"""Graphs as JSON: what is written comes back, and what is damaged is refused."""

from __future__ import annotations

import pytest

from polysense.scene_graphs.graph import NODE_KINDS, RELATION_KINDS, Node, Relation, SceneGraph

GRAPH = SceneGraph(
    (Node("entity", 0, 2, 5), Node("attribute", 0, 6, 9), Node("entity", 1, 0, 4)),
    (Relation(0, 1, "attribute", 0, 6, 6),),
)


def test_json() -> None:
    assert GRAPH.to_json() == "[[[0,0,2,5],[1,0,6,9],[0,1,0,4]],[[0,1,0,0,6,6]]]"
    assert SceneGraph.from_json(GRAPH.to_json()) == GRAPH
    assert SceneGraph.from_json(SceneGraph.empty().to_json()) == SceneGraph.empty()


def test_stored_kinds_keep_their_numbers() -> None:
    assert NODE_KINDS == ("entity", "attribute")
    assert RELATION_KINDS == ("attribute", "action", "position", "possession", "other")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[[]]",
        "[[],[],[]]",
        "[1,2]",
        "[[[0,0,2]],[]]",  # a number is missing
        '[[[0,0,2,"5"]],[]]',
        "[[[0,0,2,5.0]],[]]",
        "[[[0,0,2,true]],[]]",
        "[[[2,0,2,5]],[]]",  # no such kind
        "[[[-1,0,2,5]],[]]",
        "[[[0,2,2,5]],[]]",  # no such part
        "[[[0,0,5,5]],[]]",  # of no characters
        "[[[0,0,2,5],[1,0,6,9]],[[0,2,0,0,6,6]]]",  # no such node
        "[[[0,0,2,5],[1,0,6,9]],[[0,-1,0,0,6,6]]]",
        "[[[0,0,2,5],[1,0,6,9]],[[0,0,0,0,6,6]]]",  # with itself
        "[[[0,0,2,5],[1,0,6,9]],[[0,1,5,0,6,6]]]",  # no such kind
        "[[[0,0,2,5],[1,0,6,9]],[[0,1,0,0,7,6]]]",
        "[[[0,0,2,5],[1,0,6,9]],[[0,1,0,1,6,6]]]",  # in the other part
        "[[[0,0,2,5],[1,1,6,9]],[[0,1,0,0,6,6]]]",  # across the parts
        "[" * 100_000,
    ],
)
def test_no_graph(text: str) -> None:
    with pytest.raises(ValueError, match="no scene graph"):
        SceneGraph.from_json(text)
