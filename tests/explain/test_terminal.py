from __future__ import annotations

import io

import pytest
from rich.console import Console

from polysense.explain import terminal
from polysense.explain.explanation import Explanation


def shown(explanation: Explanation, colour: bool = False) -> str:
    stream = io.StringIO()
    system = "truecolor" if colour else None
    terminal.show(explanation, Console(file=stream, width=120, force_terminal=colour, color_system=system))
    return stream.getvalue()


def test_the_example_without_colour(example):
    text = shown(example)
    for part in ("angry 62.0%; then playful 21.0%, calm 17.0%", "method mase, model models/scenes",
                 "A [dog 3.1x] called Rex barks at the [red 2.2x] [car 2.6x]", "[bark 5.3x][s at 0.9x]",
                 "30.0%; says calm 70.0%", "−32.0", "-- barks at --> car", "(red)",
                 "3 entities, 1 attribute, 2 relations"):  # fmt: skip
        assert part in text, part
    (row,) = [line for line in text.splitlines() if "│ audio" in line]
    assert "0.30" in row and "━━━" in row and "80.0%" in row and "43.0%; says playful 45.0%" in row and "−19.0" in row


def test_colour_repeats_what_is_there(example):
    plain, coloured = shown(example), shown(example, colour=True)
    assert "\x1b[" in coloured and "\x1b[" not in plain and "[dog 3.1x" in plain


def test_what_a_text_holds_is_not_obeyed(nasty):
    text = shown(nasty)
    assert "\x1b" not in text and "\r" not in text
    for part in ("[<script> 2.0x]alert(\"[&' 0.5x]1'\")", "[\ufffd 1.0x][31mred", "<b>19& 9.5%", "and 16 more"):
        assert part in text, part


def test_long_and_empty_texts(long, empty):
    text = shown(long)
    assert len(text) < 5000 and "characters ..." in text and "[<lynx> 4.0x]" in text
    text = shown(empty)
    for part in ("3.250\n", "(the empty text)", "No prototypes", "−2.050", "0 entities"):
        assert part in text, part
    assert "weight" not in text


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal(example, width):
    stream = io.StringIO()
    terminal.show(example, Console(file=stream, width=width))
    assert max(map(len, stream.getvalue().splitlines())) <= width
