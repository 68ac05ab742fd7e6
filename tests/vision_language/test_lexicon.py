from __future__ import annotations

from pathlib import Path

import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.lexicon import Lexicon, singular

PLURALS = """
cats:cat buses:bus boxes:box dishes:dish benches:bench parties:party ties:tie cookies:cookie
knives:knife wolves:wolf leaves:leaf gloves:glove olives:olive shelves:shelf bookshelves:bookshelf lives:life
men:man women:woman firemen:fireman children:child people:person mice:mouse geese:goose feet:foot teeth:tooth
potatoes:potato shoes:shoe horseshoes:horseshoe canoes:canoe tomatoes:tomato toes:toe horses:horse houses:house
vases:vase lenses:lens glass:glass grass:grass glasses:glasses scissors:scissors tennis:tennis bus:bus
shorts:shorts dresses:dress sheep:sheep fish:fish taxis:taxi menus:menu cactuses:cactus wineglasses:wineglass
prizes:prize quizzes:quiz axes:axe waltzes:waltz tvs:tv ramen:ramen specimen:specimen movies:movie series:series
is:is his:his us:us as:as
"""


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.default()


@pytest.mark.parametrize(
    ("plural", "expected"),
    [pair.split(":") for pair in PLURALS.split()],
)
def test_singular(plural: str, expected: str) -> None:
    assert singular(plural) == expected
    assert singular(expected) == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("fire truck", "fire truck"),
        ("fire-trucks", "fire truck"),
        ("Firetruck", "fire truck"),
        ("fire engines", "fire truck"),
        ("telly", "tv"),
        ("Television sets", "tv"),
        ("TVs", "tv"),
        ("cell-phones", "phone"),
        ("cellphone", "phone"),
        ("mobile phones", "phone"),
        ("bikes", "bicycle"),
        ("sofas", "couch"),
        ("aeroplane", "airplane"),
        ("kids", "child"),
        ("T-shirts", "t shirt"),
        ("tshirt", "t shirt"),
        ("the doughnuts", "donut"),
        ("grey cats", "gray cat"),
        ("motorbike helmets", "motorcycle helmet"),
        ("hydrants", "fire hydrant"),
        ("fire hydrants", "fire hydrant"),
        ("french fries", "french fry"),
        ("eyeglasses", "glasses"),
        ("the dog's bowls", "dog bowl"),
        ("ｄｏｇｓ", "dog"),
        ("cafe\u0301s", "caf\u00e9"),
        ("STRASSEN", "strassen"),
        ("", ""),
        ("the", ""),
        ("?! 🐕", ""),
    ],
)
def test_normal(lexicon: Lexicon, phrase: str, expected: str) -> None:
    assert " ".join(lexicon.normal(phrase)) == expected


def test_normal_form_is_its_own_normal_form(lexicon: Lexicon) -> None:
    for phrase in ("fire engines", "cell phones", "french fries", "policemen", "garbage bins", "blue jeans", "tee"):
        normal = lexicon.normal(phrase)
        assert lexicon.normal(" ".join(normal)) == normal


def test_every_built_in_synonym_meets_its_name() -> None:
    from importlib.resources import files

    lexicon = Lexicon.default()
    lines = (files("polysense.vision_language") / "data" / "synonyms.tsv").read_text(encoding="utf-8").splitlines()
    entries = [line.split("\t") for line in lines if line and not line.startswith("#")]
    assert len(entries) > 100
    for name, synonyms in entries:
        for synonym in synonyms.split(","):
            assert lexicon.normal(synonym) == lexicon.normal(name), (name, synonym)


def test_own_synonyms_extend_and_win(tmp_path: Path) -> None:
    file = tmp_path / "own.tsv"
    file.write_text("# mine\n\nsofa\tcouch\nSnow-Mobile\tskidoo, ski doo\n", encoding="utf-8")
    extended = Lexicon.load(file)
    assert extended.normal("couches") == extended.normal("settee") == extended.normal("sofa") == ("sofa",)
    assert extended.normal("skidoos") == ("snow", "mobile")
    assert extended.normal("telly") == ("tv",)
    alone = Lexicon.load(file, extend=False)
    assert alone.normal("couches") == ("sofa",)
    assert alone.normal("telly") == ("telly",)


def test_own_synonyms_move_names_of_several_words(tmp_path: Path) -> None:
    file = tmp_path / "own.tsv"
    file.write_text("motorcycle\tbike\nspray\tfirehydrant\n", encoding="utf-8")
    lexicon = Lexicon.load(file)
    assert lexicon.normal("bikes") == lexicon.normal("motorbike") == ("motorcycle",)
    assert lexicon.normal("push bike") == ("bicycle",)
    assert lexicon.normal("fire hydrants") == lexicon.normal("hydrant") == ("spray",)


def test_own_synonym_may_take_a_canonical_name(tmp_path: Path) -> None:
    file = tmp_path / "own.tsv"
    file.write_text("person\tman, woman\n", encoding="utf-8")
    lexicon = Lexicon.load(file)
    assert {lexicon.normal(word) for word in ("men", "guy", "ladies", "people")} == {("person",)}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a name without a tab\n", "line 1"),
        ("tv\ttelly\nradio\t\n", "line 2"),
        ("tv\ttelly, ,tele\n", "line 1"),
        ("tv\ttelly\tset\n", "line 1"),
        ("!\ttelly\n", "line 1"),
        ("tv\ttelly\nradio\tTelly\n", "line 2"),
        ("tv\ttelly\ntelly\tbox\n", "line 2"),
        ("dog house\tkennel\ncat house\tdog-house\n", "dog"),
    ],
)
def test_broken_tables_name_the_place(tmp_path: Path, text: str, where: str) -> None:
    file = tmp_path / "own.tsv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PolysenseError, match=where) as caught:
        Lexicon.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_tables(tmp_path: Path) -> None:
    with pytest.raises(PolysenseError, match="cannot be read"):
        Lexicon.load(tmp_path / "absent.tsv")
    (tmp_path / "latin.tsv").write_bytes(b"tv\ttelly\ncaf\xe9\tbar\n")
    with pytest.raises(PolysenseError, match="line 2: not UTF-8"):
        Lexicon.load(tmp_path / "latin.tsv")
