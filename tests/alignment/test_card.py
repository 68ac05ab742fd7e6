from __future__ import annotations

from polysense.alignment.card import tower_card
from polysense.alignment.sources import SOURCES

REPORT = {
    "command": "polysense align --seed 7",
    "modality": "image",
    "trunk": "minilm",
    "settings": {"rank": 16, "seed": 7},
    "entries": 321,
    "items": 1234,
    "captions": 555,
    "concepts": 444,
    "held_out_concepts": 44,
    "retrieval": {"chance": {"text_to_item_R@1": 0.0123}, "aligned": {"text_to_item_R@1": 0.4567}},
}


def test_the_card_says_what_a_reader_needs():
    card = tower_card(REPORT, ["noto", "stamps", "/my/pictures"])
    for part in ("`polysense align --seed 7` (seed 7)", "`minilm`", "rank 16", "321 captions", "1234 pictures",
                 "444 concepts", "44 concepts held out", "text to item R@1"):  # fmt: skip
        assert part in card, part
    assert "| chance | 1.2 |" in card and "| aligned | 45.7 |" in card
    assert "| /my/pictures | the user's own |" in card


def test_the_card_speaks_of_its_modality():
    card = tower_card({**REPORT, "modality": "video"}, ["/my/clips"])
    assert card.startswith("# An aligned video tower\n")
    assert "1234 clips" in card and "of their clips" in card and "compared to clips" in card
    assert "picture" not in card


def test_every_source_names_its_licence_and_whether_it_is_in_the_memory():
    card = tower_card(REPORT, list(SOURCES))
    for name, source in SOURCES.items():
        line = next(line for line in card.splitlines() if line.startswith(f"| {name} |"))
        assert source.licence in line and source.attribution in line
        assert line.endswith("| yes |" if source.ships else "| no |")
    assert {source.ships for source in SOURCES.values()} == {True, False}
    assert "| twemoji |" not in tower_card(REPORT, ["noto"])
