"""Whatever a parser of grammar says, right or wrong, there is a graph that can be kept and read again."""

from __future__ import annotations

import random

import pytest

from polysense.scene_graphs.graph import Node, Relation, SceneGraph
from polysense.scene_graphs.parser import _add
from polysense.scene_graphs.tree import Tree

SORTS = [
    ("NOUN", "NN NNS", "dog dogs man side group top morning cup", "nsubj dobj pobj conj appos compound attr poss nmod"),
    ("PROPN", "NNP", "rex", "nsubj nsubjpass pobj conj poss dative"),
    ("PRON", "PRP NN WP", "it its they he who that which someone", "nsubj dobj pobj poss dative conj"),
    ("ADP", "IN RP", "of in on with as like by to", "prep agent prt dative conj"),
    ("VERB", "VBD VBN VBG", "sees put belongs looks worn", "ROOT conj relcl acl advcl xcomp ccomp pcomp oprd acomp"),
    ("AUX", "VBZ", "is was has", "ROOT aux auxpass conj relcl"),
    ("ADJ", "JJ", "red full close", "amod acomp oprd conj attr advmod relcl"),
    ("NUM", "CD", "two 3", "nummod attr pobj conj"),
    ("ADV", "RB", "very never not n't out", "advmod neg prt"),
    ("DET", "DT", "the no this", "det poss nsubj"),
    ("PUNCT", ",", ", 😀 ' -lrb-", "punct conj"),
]
"""Part of speech, tags, words and relations to a head."""


def random_tree(draw: random.Random, size: int) -> Tree:
    """Words that each may stand where they do, in any order, on any heads."""
    words, pos, tag, dep = [], [], [], []
    for _ in range(size):
        speech, tags, said, deps = draw.choice(SORTS)
        for column, choice in ((words, said), (tag, tags), (dep, deps)):
            column.append(draw.choice(choice.split()))
        pos.append(speech)
    head = [0] * size
    order = draw.sample(range(size), size)
    for place, word in enumerate(order):  # so that there is no circle
        if place and dep[word] != "ROOT":
            head[word] = draw.choice(order[max(0, place - 3) : place])
        else:
            head[word], dep[word] = word, "ROOT"
    start = [sum(len(word) + 1 for word in words[:i]) for i in range(size)]
    children = [[j for j in range(size) if head[j] == i != j] for i in range(size)]
    end = [s + len(word) for s, word in zip(start, words, strict=True)]
    return Tree(words, pos, tag, dep, head, start, end, children)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 40])
def test_any_tree_has_a_graph(size: int) -> None:
    draw = random.Random(size)
    related = 0
    for _ in range(1000):
        tree = random_tree(draw, size)
        nodes: list[Node] = []
        relations: list[Relation] = []
        _add(tree, 0, nodes, relations)
        graph = SceneGraph(tuple(nodes), tuple(relations))
        assert SceneGraph.from_json(graph.to_json()) == graph, tree
        related += bool(relations)
    assert size < 8 or related > 100, related
