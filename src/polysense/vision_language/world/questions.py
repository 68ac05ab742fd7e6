"""Questions with closed answers, each answer of a kind equally often, so that the text alone tells nothing."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from polysense.vision_language.examples import Question
from polysense.vision_language.world.balance import Balance
from polysense.vision_language.world.facts import OPPOSITES, SIDES, Kind, count, definite, find, groups, relations
from polysense.vision_language.world.objects import WorldObject
from polysense.vision_language.world.scene import COLOURS, Scene
from polysense.vision_language.world.wording import a, relation, sentence

A_SCENE = 2
"""Questions about each scene, with different answers or of different forms."""
ANSWERS = 10
"""How often each answer is given, as in VQA v2."""
KINDS = ("exists", "colour", "count", "size", "relation", "where")

_Form = tuple[str, str, str]
"""The kind, the form within it, and the answer."""
_TEMPLATES = {
    "exists": ("is there {a}?", "is there {a} in the picture?", "does the picture show {a}?", "can you see {a}?"),
    "colour": ("what colour is the {one}?", "what color is the {one}?", "which colour does the {one} have?"),
    "colours": ("what colour are the {many}?", "what color are the {many}?", "which colour do the {many} have?"),
    "count": ("how many {many} are there?", "how many {many} can you see?", "how many {many} does the picture show?",
              "what number of {many} is there in the picture?"),
    "size": ("how large is the {one}?", "what size is the {one}?", "is the {one} small or large?",
             "is the {one} large or small?"),
    "relation": ("is the {one} {relation} the {other}?", "would you say that the {one} is {relation} the {other}?"),
    "where": ("where is the {one}, seen from the {other}?", "on which side of the {other} is the {one}?",
              "where is the {one} in relation to the {other}?"),
}  # fmt: skip


def _forms() -> dict[_Form, float]:
    """The share of each form and answer: every kind alike, and within it every form and answer."""
    shares: dict[_Form, float] = {}

    def add(kind: str, share: float, forms: Iterable[str], answers: Iterable[str]) -> None:
        keys = [(kind, form, answer) for form in forms for answer in answers]
        shares.update({key: share / len(keys) for key in keys})

    add("exists", 1.0, ("thing", "colour", "size"), ("yes", "no"))
    add("colour", 0.8, ("one",), COLOURS)
    add("colour", 0.2, ("many",), COLOURS)
    add("count", 0.8, ("thing",), ("0", "1", "2", "3", "4"))
    add("count", 0.2, ("colour",), ("0", "1", "2", "3", "4"))
    add("size", 1.0, ("one",), ("small", "large"))
    add("relation", 0.8, SIDES, ("yes", "no"))
    add("relation", 0.2, ("front", "behind"), ("yes", "no"))
    add("where", 1.0, ("where",), SIDES)
    return shares


def make_questions(scenes: Iterable[Scene], things: Sequence[WorldObject]) -> Iterator[Question]:
    """`A_SCENE` questions about each scene, in order; they depend on the scenes up to theirs.

    Args:
        things: the objects of the scenes' part; a question asks for no others.
    """
    balance = Balance(_forms())
    for scene in scenes:
        rng = random.Random(f"{scene.seed}/question/{scene.identity}")
        possible = _possible(rng, scene, things)
        for number in range(A_SCENE):
            form = balance.choose(rng, list(possible))
            text, answer = rng.choice(possible.pop(form)), form[2]
            yield Question(
                f"{scene.identity}{number}", scene.identity, sentence(text, ""), (answer,) * ANSWERS, form[0]
            )


def absent(rng: random.Random, scene: Scene, things: Sequence[WorldObject]) -> WorldObject:
    """A thing that is not in the scene, nor anything with its head noun."""
    while (thing := rng.choice(things)).head in scene.heads:
        pass
    return thing


class _Possible:
    """The questions that a scene gives an answer to, by form."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.found: dict[_Form, list[str]] = {}

    def add(self, kind: str, form: str, answer: str, template: str, **words: str) -> None:
        text = self.rng.choice(_TEMPLATES[template]).format(**words)
        self.found.setdefault((kind, form, answer), []).append(text)

    def exists(self, form: str, kind: Kind, number: int) -> None:
        self.add("exists", form, "yes" if number else "no", "exists", a=a(kind))

    def number(self, form: str, kind: Kind, number: int) -> None:
        self.add("count", form, str(number), "count", many=kind.plural)


def _possible(rng: random.Random, scene: Scene, things: Sequence[WorldObject]) -> dict[_Form, list[str]]:
    possible = _Possible(rng)
    missing = Kind(absent(rng, scene, things))
    for kind in (missing, *map(Kind, groups(scene))):
        number = len(find(scene, kind))
        possible.exists("thing", kind, number)
        possible.number("thing", kind, number)
    for thing, group in groups(scene).items():
        for size in ("small", "large"):
            if (number_of_size := count(scene, Kind(thing, None, size))) is not None:
                possible.exists("size", Kind(thing, None, size), number_of_size)
        if group[0].colour is not None:
            _ask_colours(possible, scene, Kind(thing))
    _ask_one(possible, scene)
    _ask_relations(possible, scene)
    return possible.found


def _ask_one(possible: _Possible, scene: Scene) -> None:
    """The colour and the size of each object that has a name of its own."""
    for index, placed in enumerate(scene.objects):
        for kind in definite(scene, index):
            if placed.colour and not kind.colour:
                possible.add("colour", "one", placed.colour, "colour", one=str(kind))
            if placed.size and not kind.size:
                possible.add("size", "one", placed.size, "size", one=str(kind))


def _ask_relations(possible: _Possible, scene: Scene) -> None:
    for one, name, other in relations(scene):
        words = {"one": str(definite(scene, one)[0]), "other": str(definite(scene, other)[0])}
        for asked, answer in ((name, "yes"), (OPPOSITES[name], "no")):
            told = relation(possible.rng, asked)
            possible.add("relation", asked, answer, "relation", relation=told, **words)
        if name in SIDES:
            possible.add("where", "where", name, "where", **words)


def _ask_colours(possible: _Possible, scene: Scene, kind: Kind) -> None:
    """What can be asked of a tinted group and one of its colours, and one that it has not."""
    group = find(scene, kind)
    present = sorted({scene.objects[index].colour or "" for index in group})
    wrong = possible.rng.choice([colour for colour in COLOURS if colour not in present])
    for colour in (possible.rng.choice(present), wrong):
        coloured = Kind(kind.thing, colour)
        number = len(find(scene, coloured))
        possible.exists("colour", coloured, number)
        possible.number("colour", coloured, number)
    if len(group) > 1 and len(present) == 1:
        possible.add("colour", "many", present[0], "colours", many=kind.plural)
