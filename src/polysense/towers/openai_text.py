"""The clean-up that OpenAI's tokenizer gives a text before it cuts it, and the way back to what was written.

OpenAI's code (github.com/openai/CLIP, `simple_tokenizer.basic_clean`), which AudioCLIP kept, mends a text by
`ftfy.fix_text` and undoes HTML's escapes twice; Hugging Face's tokenizer does neither. White space and letter case are
the tokenizer's part in both.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import ftfy

LONGEST = 1000
"""Characters of a line that are mended together, so that time grows with the length of a text whatever is in it.

Some of the rules take time that grows with its square. OpenAI's tokenizer reads 77 tokens and refuses what is longer;
few such texts have a line like that.
"""

REACH = 32
"""How far from the middle `_align` looks for a place to cut; escapes of HTML are at most about that long."""

RULES = f"OpenAI's, ftfy {ftfy.__version__}"
"""Another version of ftfy may mend another way."""

# ftfy and HTML leave printable ASCII alone where there is no "&".
_PLAIN = re.compile(r"[\t\n -%'-~]*")

Place = tuple[int, int]
"""First character, character after the last."""


@dataclass(frozen=True)
class CleanText:
    """A cleaned text and where its characters come from.

    Attributes:
        text: cleaned.
        offsets: for each of its characters the place in the original that it was made of; None where the clean-up
            changed nothing. Places never go backwards; characters that were made together have the same.
    """

    text: str
    offsets: list[Place] | None = None

    def original(self, start: int, end: int) -> Place:
        """The place in the original of the characters from `start` up to `end`; empty where that is empty."""
        if self.offsets is None:
            return start, end
        if start < end:
            return self.offsets[start][0], self.offsets[end - 1][1]
        before = self.offsets[start - 1][1] if start else 0
        return before, before


def clean_up(text: str) -> CleanText:
    """A text as OpenAI's tokenizer reads it, with the way back.

    It is OpenAI's clean-up to the letter as long as no line has more than `LONGEST` characters. The result is valid
    Unicode, whatever went in.
    """
    if _PLAIN.fullmatch(text):
        return _strip(text, text, None)
    cleaned, offsets, unescape = [], [], True
    for start, end in _segments(text):
        segment = text[start:end]
        # As ftfy has it: from the first "<" on, a text is taken for HTML as it is meant to be.
        unescape = unescape and "<" not in segment
        made, places = (segment, None) if _PLAIN.fullmatch(segment) else _mend(segment, unescape)
        cleaned.append(made)
        offsets += [(start + a, start + b) for a, b in places or _same(len(made))]
    return _strip(text, "".join(cleaned), offsets)


def _strip(original: str, text: str, offsets: list[Place] | None) -> CleanText:
    stripped = text.strip()
    if stripped == original:
        return CleanText(stripped)
    first = len(text) - len(text.lstrip())
    return CleanText(stripped, (offsets or _same(len(text)))[first : first + len(stripped)])


def _same(length: int) -> list[Place]:
    return [(i, i + 1) for i in range(length)]


def _segments(text: str) -> Iterator[Place]:
    """The lines, as ftfy mends them one by one; longer ones than `LONGEST` are cut, after a space if there is one."""
    start = 0
    while start < len(text):
        end = text.find("\n", start, start + LONGEST + 1) + 1
        if not end:
            end = min(start + LONGEST, len(text))
            if end < len(text):
                end = text.rfind(" ", start, end) + 1 or end
        yield start, end
        start = end


def _mend(segment: str, unescape: bool) -> tuple[str, list[Place] | None]:
    """One segment cleaned, and the place in it of each character of the result; None where nothing changed."""
    explained = ftfy.fix_and_explain(segment, unescape_html=unescape)
    state: Any = segment
    places: list[Place] | None = None
    for step in (*map(_step, explained.explanation or ()), html.unescape, html.unescape):
        made = step(state)
        if made != state:
            local = _align(step, state, made)
            places = [(places[a][0], places[b - 1][1]) for a, b in local] if places is not None else local
            state = made
    return state, places


def _step(explanation: tuple[str, str]) -> Callable[[Any], Any]:
    """The function of one step that ftfy took."""
    kind, name = explanation
    if kind == "normalize":
        return lambda state: unicodedata.normalize(name, state)  # type: ignore[arg-type]
    return partial(ftfy.apply_plan, plan=[explanation])


def _align(step: Callable[[Any], Any], source: Any, made: Any) -> list[Place]:
    """For each element of `made` = step(source) the place in `source` that it was made of.

    Both, text or bytes, are cut in two where the step makes of the halves alone what it makes of them together, and
    so on down to what is the same on both sides or cannot be cut: no rule of the step needs to be known.
    """
    step = cache(step)  # texts repeat themselves, the more so the shorter the parts are
    places: list[Place] = []
    todo = [(0, source, made)]
    while todo:
        start, source, made = todo.pop()
        if source == made:
            places += [(i, i + 1) for i in range(start, start + len(source))]
        elif cut := _cut(step, source, made):
            middle, length = cut
            todo.append((start + middle, source[middle:], made[length:]))
            todo.append((start, source[:middle], made[:length]))
        else:
            places += [(start + a, start + b) for a, b in _whole(source, made)]
    return places


def _cut(step: Callable[[Any], Any], source: Any, made: Any) -> tuple[int, int] | None:
    """Where `source`, and with it `made`, can be cut in two: as near to the middle as can be, at most `REACH` away."""
    middle = len(source) // 2
    for distance in range(min(REACH, middle) + 1):
        for place in (middle - distance, middle + distance):
            if 0 < place < len(source):
                try:
                    left = step(source[:place])
                    if made.startswith(left) and left + step(source[place:]) == made:
                        return place, len(left)
                except UnicodeError:  # cut within a character's bytes
                    continue
    return None


def _whole(source: Any, made: Any) -> Iterator[Place]:
    """The places where nothing can be cut: what begins and ends alike is itself, what is between comes of the rest."""
    shorter = min(len(source) - 1, len(made))
    head = next((i for i in range(shorter) if source[i] != made[i]), shorter)
    tail = next((i for i in range(shorter - head) if source[-1 - i] != made[-1 - i]), shorter - head)
    if head + tail == len(made):  # "&amp;" to "&": nothing would come of the rest
        head = tail = 0
    shift = len(source) - len(made)
    for i in range(len(made)):
        if i < head:
            yield i, i + 1
        elif i < len(made) - tail:
            yield head, len(source) - tail
        else:
            yield shift + i, shift + i + 1
