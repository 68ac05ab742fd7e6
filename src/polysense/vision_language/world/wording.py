"""Plain English: articles, numbers, lists, and the words for relations."""

from __future__ import annotations

import random
from collections.abc import Sequence

from polysense.vision_language.world.facts import Kind

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
RELATION_WORDS = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "above": ("above", "higher up than"),
    "below": ("below", "further down than"),
    "front": ("in front of",),
    "behind": ("behind", "partly hidden by"),
}
_SOUNDS_OTHERWISE = ("unicorn", "hourglass", "one")


def a(kind: Kind) -> str:
    """With the indefinite article: "an orange cat", "a unicorn", "an hourglass"."""
    phrase = str(kind)
    vowel = phrase.startswith(tuple("aeiou")) != phrase.startswith(_SOUNDS_OTHERWISE)
    return f"{'an' if vowel else 'a'} {phrase}"


def some(number: int, kind: Kind) -> str:
    """With a number from 1: "a cat", "three cats"."""
    return a(kind) if number == 1 else f"{NUMBERS[number]} {kind.plural}"


def there(number: int) -> str:
    """The verb that goes with so many."""
    return "there is" if number == 1 else "there are"


def listed(parts: Sequence[str]) -> str:
    """ "a cat", "a cat and a dog", "a cat, a dog and a cup"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def relation(rng: random.Random, name: str) -> str:
    """One of the wordings of a relation of `facts.OPPOSITES`."""
    return rng.choice(RELATION_WORDS[name])


def sentence(text: str, end: str = ".") -> str:
    """With a capital letter and a full stop."""
    return text[0].upper() + text[1:] + end
