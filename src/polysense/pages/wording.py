"""Texts and numbers as a page or a terminal can show them."""

from __future__ import annotations

import logging

from polysense.text import clean

CONTEXT = 120
"""Characters shown on either side of what is marked in a text, where the next mark is far away."""

EXCERPT = 3 * CONTEXT
"""Characters between two marks, above which those in the middle are left out."""

_VISIBLE = dict.fromkeys([*range(32), *range(0x7F, 0xA0)], "\ufffd") | dict.fromkeys(map(ord, "\r\v\f\x85"), " ")
del _VISIBLE[ord("\t")], _VISIBLE[ord("\n")]


def visible(text: str) -> str:
    """The text with control characters and lone surrogates replaced, character for character.

    A terminal would obey the ones, and no file can hold the others.
    """
    return clean(text).translate(_VISIBLE)


class VisibleRecord(logging.LogRecord):
    """What is logged, as a terminal can show it: the record factory of a program that logs to one."""

    def getMessage(self) -> str:  # noqa: N802 - the library's name
        return visible(super().getMessage())


def shortened(text: str, longest: int) -> str:
    """A text of one line, visible, of at most `longest` characters."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def excerpt(gap: str) -> tuple[str, int, str]:
    """What is shown of a stretch between two marks: its beginning, the characters left out, its end.

    A stretch of at most `EXCERPT` characters is shown whole: all of it is the beginning.
    """
    if len(gap) <= EXCERPT:
        return gap, 0, ""
    first = gap.rfind(" ", 0, CONTEXT) + 1 or CONTEXT
    last = gap.find(" ", len(gap) - CONTEXT)
    last = last if last >= 0 else len(gap) - CONTEXT
    return gap[:first], last - first, gap[last:]


def percent(share: float) -> str:
    """A share of 0 to 1 as a percentage, with one digit after the point."""
    return f"{100 * share:.1f}%"
