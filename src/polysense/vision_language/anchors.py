"""Anchor points: where a text names what a region of the picture shows (CMAL, part 1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from polysense.vision_language.lexicon import ARTICLES, WORD, Lexicon

_GAP = re.compile(r"\s+|[-\u2010\u2011_]")
"""What may stand between two words of one phrase."""


@dataclass(frozen=True)
class Anchor:
    """A place of a text and the regions that it names.

    Attributes:
        start, end: the characters [start, end) of the text as it was given.
        tag: the canonical name, its words with single spaces.
        regions: indices of the regions with that tag, ascending.
    """

    start: int
    end: int
    tag: str
    regions: tuple[int, ...]


def find_anchors(text: str, tags: Sequence[str], lexicon: Lexicon) -> list[Anchor]:
    """The anchors of a text in a picture, in the order of the text (CMAL, anchor point detection).

    Words and tags meet in the lexicon's normal form, at word boundaries only, so case, plurals, synonyms and hyphens do
    not matter. Tags of several words match as phrases, whose words only white space or a hyphen may part. Anchors do
    not overlap: of overlapping candidates the one of most words stays, of equally long ones the first, so "fire" does
    not match inside "fire truck" if both are tags, while "truck" alone does match there. Every occurrence is an anchor,
    and an anchor has every region of its name, so no pair is lost. Scripts written without spaces match where a tag is
    the whole run of letters.

    Args:
        text: any Unicode text.
        tags: one a region; "" names nothing; a tag of several names ("girl,woman", as Visual Genome's vocabulary
            writes them) is named by each of them.
        lexicon: of synonyms and spellings.
    """
    names = _index(tuple(tags), lexicon)
    if not names.regions:
        return []
    words = list(WORD.finditer(text))
    forms = [lexicon.forms(word[1]) for word in words]
    candidates: list[tuple[int, int, str]] = []  # (minus the number of words, first word, key)
    for first in range(len(words)):
        if forms[first][0] in ARTICLES:
            continue
        inside = ""
        for last in range(first, len(words)):
            if last > first and not _GAP.fullmatch(text, words[last - 1].end(), words[last].start()):
                break
            key = lexicon.joined(inside + forms[last][1])
            if key in names.regions:
                candidates.append((first - last - 1, first, key))
            inside += forms[last][0]
            if len(inside) >= names.longest:
                break
    taken: set[int] = set()
    anchors = []
    for minus_count, first, key in sorted(candidates):
        places = range(first, first - minus_count)
        if taken.isdisjoint(places):
            taken.update(places)
            end = words[places[-1]].end(1)
            anchors.append(Anchor(words[first].start(1), end, names.names[key], names.regions[key]))
    return sorted(anchors, key=lambda anchor: anchor.start)


@dataclass(frozen=True)
class _Names:
    """What the regions of a picture are called: regions and canonical name by key, and the longest key to look for."""

    regions: dict[str, tuple[int, ...]]
    names: dict[str, str]
    longest: int


@lru_cache(maxsize=1024)  # the captions of a picture come one after the other
def _index(tags: tuple[str, ...], lexicon: Lexicon) -> _Names:
    regions: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for region, tag in enumerate(tags):
        for name in tag.split(","):
            words = lexicon.normal(name)
            key = "".join(words)
            if key and region not in regions.setdefault(key, []):
                regions[key].append(region)
                names.setdefault(key, " ".join(words))
    # A synonym may be longer than the name that it stands for.
    longest = max((lexicon.longest, *(len(key) for key in regions)))
    return _Names({key: tuple(found) for key, found in regions.items()}, names, longest)
