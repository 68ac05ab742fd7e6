"""Whatever a parser of grammar says, right or wrong, there is a graph that can be kept and read again."""

from __future__ import annotations

import random

import pytest

from polysense.scene_graphs.graph import Node, Relation, SceneGraph
from polysense.scene_graphs.parser import _add
from polysense.scene_graphs.tree import Tree

DEPS = """
    ROOT acl acomp advcl advmod agent amod appos attr aux auxpass case cc ccomp compound conj csubj csubjpass dative
    dep det dobj expl mark meta neg nmod nsubj nsubjpass nummod oprd parataxis pcomp pobj poss preconj predet prep
    prt punct quantmod relcl xcomp
"""
POS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
TAGS = "NN NNS NNP CD SYM VBN VBD VBG JJ IN PRP"
WORDS = """
    dog dogs man side group top of in on with as like by has have is was looks put belongs not n't never no it its
    they who that which s ' , 😀 morning red -lrb- someone nothing
"""


def random_tree(draw: random.Random, size: int) -> Tree:
    """Of words in any order; most depend on the ones the rules ask for."""
    head = [0] * size
    order = draw.sample(range(size), size)
    for place, word in enumerate(order):
        head[word] = draw.choice(order[:place]) if place and draw.random() < 0.9 else word
    dep = ["ROOT" if head[i] == i else draw.choice(DEPS.split()) for i in range(size)]
    words = draw.choices(WORDS.split(), k=size)
    start = [sum(len(word) + 1 for word in words[:i]) for i in range(size)]
    children = [[j for j in range(size) if head[j] == i != j] for i in range(size)]
    return Tree(
        words, draw.choices(POS.split(), k=size), draw.choices(TAGS.split(), k=size), dep, head, start,
        [s + len(word) for s, word in zip(start, words, strict=True)], children,
    )  # fmt: skip


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
    assert size < 8 or related > 10
