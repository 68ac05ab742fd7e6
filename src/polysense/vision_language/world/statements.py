"""Statements about two scenes: each text comes once true and once false, so the text alone tells nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from polysense.vision_language.examples import Statement
from polysense.vision_language.world.facts import Kind, count
from polysense.vision_language.world.scene import Placed, Scene
from polysense.vision_language.world.wording import NUMBERS, a, sentence, there

_TRIES = 20
_SHARING, _OTHERS = 6, 4
"""How many earlier scenes with the same thing, and how many others, are tried as partners."""
_MOST = 6
"""The highest number that a statement tells."""


@dataclass(frozen=True)
class _Claim:
    """A text, and whether it is true of two scenes; None where people could disagree or nobody would say it."""

    text: str
    holds: Callable[[Scene, Scene], bool | None]


def make_statements(scenes: Sequence[Scene]) -> Iterator[Statement]:
    """As many statements as scenes, each about two of them; statement n depends on the first n + 2 scenes or fewer.

    The two scenes are never the same one. The last scenes of a very small world may have none.
    """
    positions: dict[str, list[int]] = {}
    for number in range(0, len(scenes), 2):
        for position in range(number, min(number + 2, len(scenes))):
            for name in {placed.name for placed in scenes[position].objects}:
                positions.setdefault(name, []).append(position)
        last = min(number + 1, len(scenes) - 1)
        rng = random.Random(f"{scenes[last].seed}/statement/{scenes[last].identity}")
        told = _both_ways(rng, scenes, last, positions)
        for label, (claim, left, right) in list(enumerate(told))[: len(scenes) - number]:
            truth = claim.holds(scenes[left], scenes[right])
            identity = f"{scenes[last].split}-{scenes[last].identity}-{label}-0"  # as NLVR2: split, set, pair, sentence
            yield Statement(identity, scenes[left].identity, scenes[right].identity, sentence(claim.text), truth)


def _both_ways(
    rng: random.Random, scenes: Sequence[Scene], last: int, positions: dict[str, list[int]]
) -> list[tuple[_Claim, int, int]]:
    """One claim and two pairs of scenes, of which it is true and false, in random order; [] where none is found."""
    for attempt in range(_TRIES):
        main = rng.choice((last, max(0, last - 1)))
        sharing = positions[(placed := rng.choice(scenes[main].objects)).name]
        near = {*rng.sample(sharing, min(_SHARING, len(sharing))), *(rng.randrange(last + 1) for _ in range(_OTHERS))}
        pool = [main, *rng.sample(sorted(near - {main}), len(near - {main}))]
        pairs = [(one, other) for place, one in enumerate(pool) for other in pool[place + 1 :]]
        pairs = [pair if rng.random() < 0.5 else pair[::-1] for pair in pairs]
        pairs += [pair[::-1] for pair in pairs]
        make = _more if attempt == _TRIES - 1 else rng.choice(_CLAIMS)  # turned round, the last is false
        claim = make(rng, placed, [(scenes[left], scenes[right]) for left, right in pairs])
        told: dict[bool, tuple[_Claim, int, int]] = {}
        for left, right in pairs:
            truth = claim.holds(scenes[left], scenes[right])
            if truth is not None:
                told.setdefault(truth, (claim, left, right))
        if len(told) == 2:
            return rng.sample(list(told.values()), 2)
    return []


_Pairs = Sequence[tuple[Scene, Scene]]


def _counted(kind: Kind, decide: Callable[[int, int], bool | None]) -> Callable[[Scene, Scene], bool | None]:
    def holds(left: Scene, right: Scene) -> bool | None:
        first, second = count(left, kind), count(right, kind)
        return None if first is None or second is None else decide(first, second)

    return holds


def _kind(rng: random.Random, placed: Placed, coloured: float = 0.4) -> Kind:
    return Kind(placed.thing, placed.colour if rng.random() < coloured else None)


def _both(rng: random.Random, placed: Placed, _pairs: _Pairs) -> _Claim:
    kind = _kind(rng, placed)
    text = rng.choice(
        (f"both pictures show {a(kind)}", f"there is {a(kind)} in each picture",
         f"each of the pictures contains at least one {kind}")
    )  # fmt: skip
    return _Claim(text, _counted(kind, lambda first, second: first > 0 and second > 0))


def _one(rng: random.Random, placed: Placed, _pairs: _Pairs) -> _Claim:
    kind = _kind(rng, placed)
    text = rng.choice(
        (f"exactly one of the pictures contains {a(kind)}", f"only one of the pictures shows {a(kind)}",
         f"there is {a(kind)} in one picture but not in the other")
    )  # fmt: skip
    return _Claim(text, _counted(kind, lambda first, second: (first > 0) != (second > 0)))


def _only(rng: random.Random, placed: Placed, _pairs: _Pairs) -> _Claim:
    kind, side = _kind(rng, placed), rng.choice(("left", "right"))
    text = rng.choice(
        (f"only the {side} picture shows {a(kind)}", f"of the two pictures, only the {side} has {a(kind)}")
    )
    if side == "left":
        return _Claim(text, _counted(kind, lambda first, second: first > 0 and not second))
    return _Claim(text, _counted(kind, lambda first, second: second > 0 and not first))


def _more(rng: random.Random, placed: Placed, _pairs: _Pairs) -> _Claim:
    kind, side = _kind(rng, placed, 0.0), rng.choice(("left", "right"))
    other = "right" if side == "left" else "left"
    text = rng.choice(
        (f"the {side} picture has more {kind.plural} than the {other} one",
         f"there are more {kind.plural} in the {side} picture than in the {other} one")
    )  # fmt: skip
    return _Claim(text, _counted(kind, lambda first, second: (first > second) if side == "left" else second > first))


def _same(rng: random.Random, placed: Placed, _pairs: _Pairs) -> _Claim:
    kind = _kind(rng, placed, 0.0)
    text = rng.choice(
        (f"both pictures show the same number of {kind.plural}",
         f"there are as many {kind.plural} on the left as on the right")
    )  # fmt: skip
    return _Claim(text, _counted(kind, lambda first, second: first == second if first and second else None))


def _total(rng: random.Random, placed: Placed, pairs: _Pairs) -> _Claim:
    kind = _kind(rng, placed, 0.2)
    sums = [(count(left, kind) or 0) + (count(right, kind) or 0) for left, right in pairs]
    number = rng.choice([total for total in sums if 0 < total <= _MOST] or [1])
    noun = kind.plural if number > 1 else str(kind)
    text = rng.choice(
        (f"{there(number)} {NUMBERS[number]} {noun} in all",
         f"the two pictures show {NUMBERS[number]} {noun} altogether")
    )  # fmt: skip
    return _Claim(text, _counted(kind, lambda first, second: first + second == number if first + second else None))


_CLAIMS = (_both, _one, _only, _more, _same, _total)
