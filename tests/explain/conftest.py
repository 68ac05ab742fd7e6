"""Explanations made up: of the sentence that the documentation shows, and of texts that are hard to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from polysense.explain.explanation import Explanation, ModalityShare
from polysense.prototypes.extractor import TextPrototypes
from polysense.scene_graphs.graph import Node, Relation, SceneGraph
from polysense.training.predict import Prediction

SENTENCE = "A dog called Rex barks at the red car"
NASTY = '<script>alert("&\'1\'")</script> \U0001f600 شارع الكلب الأحمر \x1b[31mred\r\nnext </title> & "quotes"'


def classes(**probabilities: float) -> Prediction:
    return Prediction(max(probabilities, key=lambda label: probabilities[label]), probabilities)


def prototypes(texts: Sequence[str], *marks: tuple[str, float], part: int = 0) -> TextPrototypes:
    starts = [texts[part].index(word) for word, _ in marks]
    return TextPrototypes(
        features=np.zeros((len(marks), 2), np.float16),
        tokens=tuple(word for word, _ in marks),
        spans=tuple((part, start, start + len(word)) for start, (word, _) in zip(starts, marks, strict=True)),
        saliency=np.array([saliency for _, saliency in marks], np.float32),
    )


def node(texts: Sequence[str], word: str, kind: str = "entity", part: int = 0) -> Node:
    start = texts[part].index(word)
    return Node(kind, part, start, start + len(word))


def relation(texts: Sequence[str], source: int, target: int, kind: str, word: str = "", part: int = 0) -> Relation:
    start = texts[part].index(word)
    return Relation(source, target, kind, part, start, start + len(word))


def crowd(count: int) -> tuple[tuple[str, ...], SceneGraph]:
    """A text of that many entities, every third with two attributes, with relations that nest and cross."""
    words = [f"thing{i:02d}" for i in range(count)]
    texts = (" ".join(f"big{w} wonderful{w} {w} stands-beside{w}" for w in words),)
    nodes = [Node("entity", 0, *_span(texts[0], f" {w} ")) for w in words]
    relations = []
    for i, w in enumerate(words):
        if i % 3 == 0:
            for adjective in ("big", "wonderful"):
                relations.append(relation(texts, i, len(nodes), "attribute"))
                nodes.append(node(texts, f"{adjective}{w}", "attribute"))
        for step in (1, 2, 5):
            if (i + step) % 2 and i + step < count:
                ends = (i, i + step) if step != 2 else (i + step, i)
                relations.append(relation(texts, *ends, "position", f"stands-beside{w}"))
    return texts, SceneGraph(tuple(nodes), tuple(relations))


def _span(text: str, padded: str) -> tuple[int, int]:
    start = text.index(padded) + 1
    return start, start + len(padded) - 2


def _example() -> Explanation:
    texts = (SENTENCE,)
    nodes = [node(texts, "dog"), node(texts, "Rex"), node(texts, "red", "attribute"), node(texts, "car")]
    relations = [
        relation(texts, 0, 1, "other", "called"),
        relation(texts, 0, 3, "action", "barks at"),
        relation(texts, 3, 2, "attribute"),
    ]
    whole = classes(angry=0.62, playful=0.21, calm=0.17)
    shares = {
        "text": ModalityShare(0.5, None, classes(angry=0.41, playful=0.4, calm=0.19), classes(angry=0.3, calm=0.7)),
        "image": ModalityShare(
            0.2,
            prototypes(texts, ("dog", 3.1), ("red", 2.2), ("car", 2.6)),
            classes(angry=0.2, playful=0.5, calm=0.3),
            classes(angry=0.66, playful=0.2, calm=0.14),
        ),
        "audio": ModalityShare(
            0.3,
            prototypes(texts, ("dog", 2.0), ("bark", 5.3), ("s at", 0.9)),
            classes(angry=0.8, playful=0.1, calm=0.1),
            classes(angry=0.43, playful=0.45, calm=0.12),
        ),
    }
    return Explanation("models/scenes", "mase", texts, whole, shares, SceneGraph(tuple(nodes), tuple(relations)))


def _nasty() -> Explanation:
    texts = (NASTY, "كلب اسمه ريكس")
    labels = {f"<b>{i}&": (i + 1) / 210 for i in range(20)}
    whole = Prediction("<b>19&", labels)
    shares = {
        "text": ModalityShare(0.5, None, whole, whole),
        "image": ModalityShare(0.5, prototypes(texts, ("<script>", 2.0), ("&'", 0.5), ("\x1b", 1.0)), whole, whole),
    }
    return Explanation("models/<m>", "macsc", texts, whole, shares, None)


def _named(name: str) -> Explanation:
    """Everything that is a text or a name is this one."""
    texts = (f"{name} {name}", name)
    whole = Prediction(name, {name: 0.7, f"{name}2": 0.3})
    other = Prediction(f"{name}2", {name: 0.2, f"{name}2": 0.8})
    shares = {
        "text": ModalityShare(0.5, None, whole, other),
        name: ModalityShare(0.5, prototypes(texts, (name, 2.0)), other, whole),
    }
    nodes = [Node("entity", 0, 0, len(name)), Node("entity", 0, len(name) + 1, len(texts[0]))]
    nodes.append(Node("attribute", 1, 0, len(name)))
    relations = [relation(texts, 0, 1, "action", name), relation(texts, 1, 2, "attribute")]
    return Explanation(name, name, texts, whole, shares, SceneGraph(tuple(nodes), tuple(relations)))


def _long() -> Explanation:
    texts = ("Who sees the fox?", "the quick brown fox saw " * 1000 + "a <lynx>")
    spans = prototypes(texts, ("quick", 2.0), ("<lynx>", 4.0), part=1)
    whole = classes(yes=0.9, no=0.1)
    shares = {"text": ModalityShare(0.7, None, whole, whole), "image": ModalityShare(0.3, spans, whole, whole)}
    return Explanation("m", "macsc", texts, whole, shares, None)


def _empty() -> Explanation:
    value = Prediction(3.25, {})
    shares = {
        "text": ModalityShare(None, None, value, Prediction(1.2, {})),
        "image": ModalityShare(None, prototypes(("",)), Prediction(3.5, {}), value),
    }
    return Explanation("", "mpb", ("",), value, shares, SceneGraph.empty())


def _crowd() -> Explanation:
    texts, graph = crowd(12)
    whole = classes(yes=0.9, no=0.1)
    return Explanation("m", "mase", texts, whole, {"text": ModalityShare(None, None, whole, None)}, graph)


MADE_UP = {"example": _example, "nasty": _nasty, "long": _long, "empty": _empty, "crowd": _crowd}


@pytest.fixture
def example() -> Explanation:
    return _example()


@pytest.fixture
def nasty() -> Explanation:
    return _nasty()


@pytest.fixture
def long() -> Explanation:
    return _long()


@pytest.fixture
def empty() -> Explanation:
    return _empty()


@pytest.fixture(params=list(MADE_UP))
def made_up(request: pytest.FixtureRequest) -> Explanation:
    """Each of them in turn."""
    return MADE_UP[request.param]()


@pytest.fixture(params=[12, 16, 40])
def crowded(request: pytest.FixtureRequest) -> tuple[tuple[str, ...], SceneGraph]:
    """Texts and a graph of many entities."""
    return crowd(request.param)


@pytest.fixture
def named() -> Callable[[str], Explanation]:
    """One whose texts and names are all the same."""
    return _named
