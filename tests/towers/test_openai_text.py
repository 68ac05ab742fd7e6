"""OpenAI's clean-up: the text is what ftfy and html make of it, and each character knows where it came from."""

from __future__ import annotations

import html
import random
import string

import ftfy
import pytest

from polysense.towers.openai_text import LONGEST, CleanText, clean_up


def as_openai(text: str) -> str:
    """`basic_clean` by its description: mended, HTML's escapes undone twice, nothing around it."""
    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def mojibake(text: str, encoding: str = "latin-1") -> str:
    """What becomes of a text whose UTF-8 was taken for another encoding."""
    return text.encode("utf-8").decode(encoding)


def check_offsets(cleaned: CleanText, text: str) -> None:
    """Each character has a place, none is empty or outside, and they go forwards."""
    if cleaned.offsets is None:
        assert cleaned.text == text
        return
    assert len(cleaned.offsets) == len(cleaned.text)
    before = (0, 0)
    for start, end in cleaned.offsets:
        assert 0 <= start < end <= len(text)
        assert start >= before[0]
        assert end >= before[1]
        before = start, end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a photo of a cat",
        "Two lines,\nand\ta tab; 100% <b>plain</b> {ASCII} ~ #1",
        "café, naïve, Straße",
        "日本語のテキスト 😀 👩‍👩‍👧",
        "black & white",
        "AT&T <3 R&D",
    ],
)
def test_unchanged(text: str) -> None:
    cleaned = clean_up(text)
    assert cleaned == CleanText(text, None)
    assert cleaned.text == as_openai(text)
    assert cleaned.original(2, 5) == (2, 5)


@pytest.mark.parametrize(
    ("text", "cleaned", "origins"),
    [
        ("  a cat \n", "a cat", ["a", " ", "c", "a", "t"]),
        ("“it’s”", '"it\'s"', ["“", "i", "t", "’", "s", "”"]),
        ("a&amp;b", "a&b", ["a", "&amp;", "b"]),
        ("x &amp;lt; y", "x < y", ["x", " ", "&amp;lt;", " ", "y"]),
        ("<b> a&amp;lt;b", "<b> a<b", ["<", "b", ">", " ", "a", "&amp;lt;", "b"]),
        ("&notit", "¬it", ["&not", "i", "t"]),
        ("&#65;&#x42;", "AB", ["&#65;", "&#x42;"]),
        ("oﬃce", "office", ["o", "ﬃ", "ﬃ", "ﬃ", "c", "e"]),
        ("ＣＡＴ", "CAT", ["Ｃ", "Ａ", "Ｔ"]),
        ("cafe\u0301s", "cafés", ["c", "a", "f", "e\u0301", "s"]),
        ("a\r\nb\rc", "a\nb\nc", ["a", "\r\n", "b", "\r", "c"]),
        ("a\033[31mb\x00c\ufeff", "abc", ["a", "b", "c"]),
        ("schÃ¶n", "schön", ["s", "c", "h", "Ã¶", "n"]),
        ("voilÃ le travail", "voilà le travail", [*"voil", "Ã ", " ", *"le travail"]),
        ("âœ” done", "✔ done", ["âœ”", " ", *"done"]),
        ("ok 日本 cafÃ©", "ok 日本 café", [*"ok 日本 caf", "Ã©"]),
        (mojibake("Кот"), "Кот", [mojibake("К"), mojibake("о"), mojibake("т")]),
        (mojibake(mojibake("é")) + "!", "é!", [mojibake(mojibake("é")), "!"]),
        ("\ud83d\ude00 \ud83d", "😀 \ufffd", ["\ud83d\ude00", " ", "\ud83d"]),
        ("&#xD800;&#0;", "\ufffd\ufffd", ["&#xD800;", "&#0;"]),
        (" \n\t ", "", []),
    ],
)
def test_origins(text: str, cleaned: str, origins: list[str]) -> None:
    """Every character of the result, and what it was made of."""
    result = clean_up(text)
    assert result.text == cleaned == as_openai(text)
    check_offsets(result, text)
    places = [result.original(i, i + 1) for i in range(len(cleaned))]
    assert [text[a:b] for a, b in places] == origins


def test_places_of_words() -> None:
    text = "  “Tom &amp; Jerry”\r\nsaw   the cafÃ© ﬁrst &lt;3 "
    cleaned = clean_up(text)
    assert cleaned.text == '"Tom & Jerry"\nsaw   the café first <3'
    for word, origin in {
        "Tom": "Tom",
        "Tom & J": "Tom &amp; J",
        "café": "cafÃ©",
        "first": "ﬁrst",
        "<3": "&lt;3",
    }.items():
        start = cleaned.text.index(word)
        a, b = cleaned.original(start, start + len(word))
        assert text[a:b] == origin


def test_empty_places() -> None:
    """Special tokens have an empty place; it stays empty, and inside the text."""
    cleaned = clean_up(" é&amp; ")
    assert [cleaned.original(i, i) for i in range(3)] == [(0, 0), (2, 2), (7, 7)]
    assert clean_up("  ").original(0, 0) == (0, 0)
    assert clean_up("a").original(0, 0) == (0, 0)


def test_html_by_lines() -> None:
    """A text is HTML as it is meant from its first "<" on: what stands before it on other lines is unescaped once
    more than what comes later."""
    text = "&amp;amp;amp;lt;\na < b\n&amp;amp;amp;lt; “é”"
    cleaned = clean_up(text)
    assert cleaned.text == as_openai(text) == '<\na < b\n&amp;lt; "é"'
    check_offsets(cleaned, text)


PIECES = [
    *(
        "&amp;",
        "&amp;lt;",
        "&",
        "#38;",
        "amp;",
        "<",
        "<b>",
        "&#65;",
        "&#9999999999;",
        "&nbsp",
        "&copy;",
        "P&EACUTE;REZ",
    ),
    *(
        "“it’s”",
        "ﬁ",
        "ＬＯＵＤ",
        "ﾀﾞ",
        "＆",
        "\u3000",
        "\xa0",
        "\u200b",
        "\u2028",
        "\x85",
        "\r",
        "\n",
        "\t",
        " ",
    ),
    *("\x00", "\x1a", "\x1c", "\ufeff", "\ud83d", "\udca9", "\ud83d\udca9", "\033[31m", "\033[", "\ufffd"),
    *("Ã³", "sÃ³", "Ã ", "Ã la", "â€™", "âœ” ", "â€œ", "â€\x9d", "À\x80", "Ñ\x82ÐµÑ\x81Ñ\x82", "ĂˇrvĂ­ztĹ±rĹ‘"),
    *(
        "cafe\u0301",
        "\u0301\u0327",
        "\u1112\u1161\u11ab",
        "я люблю",
        "日本",
        "😀",
        "👩‍👩‍👧",
        "İ",
        "Σ",
        "hello",
    ),
]


def test_random_texts() -> None:
    """Whatever stands beside whatever: OpenAI's text, and places for all of it."""
    generator = random.Random(0)
    changed = 0
    for _ in range(1000):
        parts = generator.choices(PIECES, k=generator.choice([1, 2, 3, 5, 8, 20]))
        for i, part in enumerate(parts):
            if generator.random() < 0.15:
                encoding = generator.choice(["latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "macroman"])
                parts[i] = part.encode("utf-8", "surrogatepass").decode(encoding)
        text = "".join(parts)
        cleaned = clean_up(text)
        assert cleaned.text == as_openai(text), ascii(text)
        check_offsets(cleaned, text)
        cleaned.text.encode("utf-8")
        changed += cleaned.offsets is not None
    assert changed > 700


def test_plain_ascii_is_never_changed() -> None:
    """What the short way takes for unchanged, ftfy and html leave alone."""
    generator = random.Random(1)
    letters = [c for c in string.printable if c.isprintable() and c != "&"] + ["\n", "\t"]
    for _ in range(300):
        text = "".join(generator.choices(letters, k=60))
        assert clean_up(text).text == as_openai(text) == text.strip()


@pytest.mark.parametrize(
    "unit",
    [
        "x",
        "“it’s” ",
        "&amp;",
        "amp;",
        "&a&#109;p;",
        "9",
        mojibake("я люблю "),
        mojibake(mojibake("é")),
        "Ã ",
        "\u0301\u0327",
        "\ud83d",
        "\r\n",
        "\x01",
        "ﬁ",
        "é",
    ],
)
def test_long_texts(unit: str) -> None:
    """30,000 characters without a line break. The longest line that is mended at once bounds what one can cost."""
    text = ("&#" + unit * 30_000)[:30_000]
    cleaned = clean_up(text)
    check_offsets(cleaned, text)
    for start, end in cleaned.offsets or []:
        assert end - start <= LONGEST


def test_long_lines_are_cut_between_words() -> None:
    text = "a cafÃ© “here” &amp; " * 200
    cleaned = clean_up(text)
    assert len(text) > 4 * LONGEST
    assert cleaned.text == as_openai(text) == ('a café "here" & ' * 200).strip()
    assert {text[a:b] for a, b in (cleaned.original(i, i + 1) for i in range(len(cleaned.text)))} == {
        *("a", " ", "c", "f", "Ã©", "“", "h", "e", "r", "”", "&amp;")
    }


def test_number_of_thousands_of_digits() -> None:
    """Python refuses to read it; as an escape it is no character."""
    assert clean_up("a &#" + "9" * 5000 + "; b").text.startswith("a \ufffd")
