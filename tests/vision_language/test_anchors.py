from __future__ import annotations

import gzip
import json
import random
import re
import unicodedata

import pytest

from polysense.tasks.sources import data_roots
from polysense.vision_language.anchors import Anchor, find_anchors
from polysense.vision_language.lexicon import Lexicon

WORDS = """
fire truck trucks engine hot dog dogs a the red tennis racquet racket tv television set cell phone cellphone man men guy
hand bag handbag French fries potato fried wine glass glasses tee shirt t
"""


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.default()


def named(text: str, tags: list[str], lexicon: Lexicon) -> list[tuple[str, tuple[int, ...]]]:
    return [(text[anchor.start : anchor.end], anchor.regions) for anchor in find_anchors(text, tags, lexicon)]


@pytest.mark.parametrize(
    ("text", "tags", "expected"),
    [
        ("Two Fire Trucks burn", ["fire truck"], [("Fire Trucks", (0,))]),
        ("a fire truck on fire", ["fire", "fire truck"], [("fire truck", (1,)), ("fire", (0,))]),
        ("a fire truck", ["truck"], [("truck", (0,))]),
        ("a fire truck", ["truck", "fire engine"], [("fire truck", (1,))]),
        ("a firetruck", ["fire-truck"], [("firetruck", (0,))]),
        ("a hand bag", ["handbag"], [("hand bag", (0,))]),
        ("cats and a cat", ["cat", "dog", "Cats"], [("cats", (0, 2)), ("cat", (0, 2))]),
        ("the telly", ["tv", "television"], [("telly", (0, 1))]),
        ("a woman", ["girl,woman", "woman", "girl"], [("woman", (0, 1))]),
        ("a girl, a woman", ["girl,woman"], [("girl", (0,)), ("woman", (0,))]),
        ("the man's dog", ["dog", "man"], [("man", (1,)), ("dog", (0,))]),
        ("fire, truck", ["fire truck"], []),
        ("fire\n truck", ["fire truck"], [("fire\n truck", (0,))]),
        ("caterpillar bobcat cat2 cat_", ["cat"], [("cat", (0,))]),
        ("a corn field", ["acorn"], []),
        ("anything", ["", " ", "!", ",", "the"], []),
        ("", ["cat"], []),
        ("a cat", [], []),
    ],
)
def test_anchors(text: str, tags: list[str], expected: list[tuple[str, tuple[int, ...]]], lexicon: Lexicon) -> None:
    assert named(text, tags, lexicon) == expected


def test_an_anchor_says_where_and_what(lexicon: Lexicon) -> None:
    assert find_anchors("Big FIRE-ENGINES!", ["cat", "fire truck", "firetruck"], lexicon) == [
        Anchor(4, 16, "fire truck", (1, 2))
    ]


def test_the_longest_of_overlapping_phrases_stays(lexicon: Lexicon) -> None:
    tags = ["red fire", "fire truck door"]
    assert named("red fire truck door", tags, lexicon) == [("fire truck door", (1,))]
    assert named("red fire truck", ["red fire", "fire truck"], lexicon) == [("red fire", (0,))]


@pytest.mark.parametrize(
    ("text", "tags", "expected"),
    [
        ("İİİ ﬃ ß a DOG 🐕‍🦺 and a cat", ["dog", "cat"], ["DOG", "cat"]),
        ("un cafe\u0301, due cafe", ["caf\u00e9"], ["cafe\u0301"]),
        ("cafe\u0301", ["cafe"], []),
        ("dies ist die STRASSE", ["straße"], ["STRASSE"]),
        ("ｄｏｇ", ["dog"], ["ｄｏｇ"]),
        ("बिल्ली और कुत्ता", ["कुत्ता", "बिल"], ["कुत्ता"]),
        ("собака и Кошка", ["кошка"], ["Кошка"]),
        ("猫 と 犬", ["犬"], ["犬"]),
        ("犬がいる", ["犬"], []),
        ("a👍cat👍", ["cat"], ["cat"]),
    ],
)
def test_offsets_are_those_of_the_text_as_given(
    text: str, tags: list[str], expected: list[str], lexicon: Lexicon
) -> None:
    assert [found for found, _ in named(text, tags, lexicon)] == expected


def naive(text: str, tags: list[str], lexicon: Lexicon) -> list[Anchor]:
    """By the definition: every stretch of words against every name; the longest first, then the leftmost."""
    words = [(match.start(), match.end()) for match in re.finditer(r"[A-Za-z]+", text)]
    found = []
    for first in range(len(words)):
        for last in range(first, len(words)):
            start, end = words[first][0], words[last][1]
            gaps = [text[words[i][1] : words[i + 1][0]] for i in range(first, last)]
            article = re.match(r"(a|an|the)\b", text[start:end], re.IGNORECASE)
            if article or not all(gap == "-" or gap.isspace() for gap in gaps):
                continue
            key = "".join(lexicon.normal(text[start:end]))
            regions = tuple(
                i for i, tag in enumerate(tags) if any("".join(lexicon.normal(n)) == key for n in tag.split(","))
            )
            if key and regions:
                found.append((last - first + 1, first, Anchor(start, end, "", regions)))
    kept: list[tuple[int, int, Anchor]] = []
    for count, first, anchor in sorted(found, key=lambda item: (-item[0], item[1])):
        if all(first + count <= other or other + size <= first for size, other, _ in kept):
            kept.append((count, first, anchor))
    return [anchor for _, _, anchor in sorted(kept, key=lambda item: item[1])]


def test_like_the_naive_definition(lexicon: Lexicon) -> None:
    generator = random.Random(0)
    words = WORDS.split()
    names = ["fire truck", "truck", "fire", "hot dog", "dogs", "tennis racket", "racket", "telly", "mobile phone"]
    names += ["man,guy", "men", "handbag", "bag", "french fry", "wine glass", "glasses", "tshirt", "", "red fire"]
    total = 0
    for _ in range(3000):
        parts = [generator.choice(words) + generator.choice([" ", " ", " ", "-", ", ", "  "]) for _ in range(8)]
        text = "".join(parts)
        tags = generator.choices(names, k=generator.randint(1, 6))
        got = find_anchors(text, tags, lexicon)
        expected = naive(text, tags, lexicon)
        assert [(a.start, a.end, a.regions) for a in got] == [(a.start, a.end, a.regions) for a in expected], text
        total += len(got)
        for anchor in got:
            assert "".join(lexicon.normal(text[anchor.start : anchor.end])) == anchor.tag.replace(" ", "")
    assert total > 2000


def test_any_text_is_taken(lexicon: Lexicon) -> None:
    generator = random.Random(1)
    alphabet = [chr(c) for c in (*range(32, 127), *range(0x300, 0x310), 0x130, 0xDF, 0xFB03, 0x200D, 0x1F436, 0x915)]
    for _ in range(500):
        text = "".join(generator.choices(alphabet, k=12)) + " dog " + "".join(generator.choices(alphabet, k=6))
        tags = ["dog", "".join(generator.choices(alphabet, k=3))]
        anchors = find_anchors(text, tags, lexicon)
        assert any(0 in anchor.regions for anchor in anchors)
        for anchor in anchors:
            assert text[anchor.start : anchor.end].strip() == text[anchor.start : anchor.end] != ""
            assert not unicodedata.combining((text + " ")[anchor.end])


def test_real_captions(lexicon: Lexicon) -> None:
    file = next((root / "coco_mini" / "all.jsonl.gz" for root in data_roots()), None)
    if file is None or not file.is_file():
        pytest.skip("no coco_mini among the tasks' data")
    captions = anchored = 0
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for picture in map(json.loads, lines):
            tags = [thing["category"] for thing in picture["objects"]]
            for caption in picture["captions"]:
                anchors = find_anchors(caption, tags, lexicon)
                captions += 1
                anchored += bool(anchors)
                for anchor in anchors:
                    assert {" ".join(lexicon.normal(tags[region])) for region in anchor.regions} == {anchor.tag}
    assert anchored / captions > 0.7
