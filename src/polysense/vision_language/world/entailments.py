"""Hypotheses that a scene entails, contradicts or leaves open.

What is left open is what no picture can tell, as that a dog belongs to a teacher. So that such words do not give the
label away, they come with every label: "the dog belongs to a teacher" is contradicted where there is no dog; "no dog
here belongs to a teacher" is then entailed; and "there is a dog that is red or belongs to a teacher" is entailed by a
red dog, left open by a blue one, and contradicted by none. Each form comes equally often with each label that it can
have, so the best that the text alone can do is 46% (a third of the examples can have one of three labels, the others
one of two).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from polysense.vision_language.examples import Entailment
from polysense.vision_language.world.balance import Balance
from polysense.vision_language.world.facts import OPPOSITES, Kind, definite, groups, relations
from polysense.vision_language.world.objects import WorldObject
from polysense.vision_language.world.questions import absent
from polysense.vision_language.world.scene import COLOURS, Scene
from polysense.vision_language.world.wording import NUMBERS, a, relation, sentence, there

UNTOLD = (
    "belongs to a teacher", "was bought on a Monday", "was a birthday surprise", "came from another town",
    "has been here since the morning", "will be gone by tomorrow", "is somebody's favourite", "has a secret name",
    "was brought here from abroad", "got lost last year", "used to belong to a sailor", "is older than its owner",
    "was found in a garden", "has been to the seaside", "was drawn from memory", "is named after a queen",
    "cost a lot of money", "has won a prize", "was once photographed by a neighbour", "has been here before",
    "was meant for a museum", "came in the post", "is going to be sold", "was chosen by a child",
)  # fmt: skip
"""What no picture can tell, said of one object."""
_LABELS = {"E": "entailment", "N": "neutral", "C": "contradiction"}
_SHARES = {
    # What can be seen: 1/8 for each label.
    "exists": (0.025, "EC"), "colour": (0.03, "EC"), "relation": (0.03, "EC"),
    **{f"count {number}": (0.01, "EC") for number in (1, 2, 3, 4)},
    # What cannot: of something there or not, 1/8 for each label; then either, 1/12 for each label.
    "the": (0.085, "NC"), "one of": (0.04, "NC"), "none": (0.125, "NE"), "either": (1 / 12, "ENC"),
}  # fmt: skip


def make_entailments(scenes: Iterable[Scene], things: Sequence[WorldObject]) -> Iterator[Entailment]:
    """One hypothesis about each scene, in order; it depends on the scenes up to its own.

    Args:
        things: the objects of the scenes' part; no others are named.
    """
    shares = {(form, label): share for form, (share, labels) in _SHARES.items() for label in labels}
    balance = Balance(shares)
    for scene in scenes:
        rng = random.Random(f"{scene.seed}/entailment/{scene.identity}")
        possible = _possible(rng, scene, things)
        form, label = balance.choose(rng, list(possible))
        text = sentence(rng.choice(possible[form, label]))
        yield Entailment(scene.identity, scene.identity, text, _LABELS[label])


class _Possible:
    """The hypotheses that can be told of a scene, by form and label."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.found: dict[tuple[str, str], list[str]] = {}

    def add(self, form: str, label: str, *texts: str) -> None:
        self.found.setdefault((form, label), []).append(self.rng.choice(texts))

    def exists(self, form: str, label: str, kind: Kind) -> None:
        texts = f"there is {a(kind)}", f"there is {a(kind)} in the picture", f"the picture shows at least one {kind}"
        self.add(form, label, *texts)

    def untold(self, form: str, label: str, kind: Kind) -> None:
        fact, many = self.rng.choice(UNTOLD), kind.plural
        if form == "the":
            self.add(form, label, f"the {kind} {fact}", f"there is {a(kind)} that {fact}")
        elif form == "one of":
            self.add(form, label, f"one of the {many} {fact}", f"at least one of the {many} {fact}")
        elif form == "none":
            self.add(form, label, f"no {kind} here {fact}", f"there is no {kind} here that {fact}")
        else:
            bare, either = Kind(kind.thing), f"is {kind.colour} or {fact}"
            self.add(form, label, f"there is {a(bare)} here that {either}", f"at least one {bare} here {either}")

    def exactly(self, label: str, kind: Kind, told: int) -> None:
        noun = kind.plural if told > 1 else str(kind)
        number = f"exactly {NUMBERS[told]} {noun}"
        self.add(f"count {told}", label, f"{there(told)} {number}", f"the picture shows {number}")


def _possible(rng: random.Random, scene: Scene, things: Sequence[WorldObject]) -> dict[tuple[str, str], list[str]]:
    possible = _Possible(rng)
    missing = absent(rng, scene, things)
    possible.exists("exists", "C", Kind(missing))
    for form, label in (("the", "C"), ("one of", "C"), ("none", "E")):
        possible.untold(form, label, Kind(missing))
    possible.untold("either", "C", Kind(missing, rng.choice([*COLOURS])))
    for thing, group in groups(scene).items():
        kind, number = Kind(thing), len(group)
        possible.exists("exists", "E", kind)
        possible.exactly("E", kind, number)
        possible.exactly("C", kind, rng.choice([other for other in (1, 2, 3, 4) if other != number]))
        possible.untold("the" if number == 1 else "one of", "N", kind)
        possible.untold("none", "N", kind)
        if colours := sorted({each.colour for each in group if each.colour}):
            right = Kind(thing, rng.choice(colours))
            wrong = Kind(thing, rng.choice([colour for colour in COLOURS if colour not in colours]))
            possible.exists("colour", "E", right)
            possible.exists("colour", "C", wrong)
            possible.untold("either", "E", right)
            possible.untold("either", "N", wrong)
    for one, name, other in relations(scene):
        first, second = definite(scene, one)[0], definite(scene, other)[0]
        for told, label in ((name, "E"), (OPPOSITES[name], "C")):
            possible.add("relation", label, f"the {first} is {relation(rng, told)} the {second}")
    return possible.found
