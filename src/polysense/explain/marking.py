"""A text cut where its prototypes stand, short enough to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from polysense.prototypes.extractor import TextPrototypes

CONTEXT = 120
"""Characters shown on either side of a prototype, where the next one is far away."""

EXCERPT = 3 * CONTEXT
"""Characters between two prototypes, above which those in the middle are left out."""

_VISIBLE = dict.fromkeys([*range(32), *range(0x7F, 0xA0)], "\ufffd") | dict.fromkeys(map(ord, "\r\v\f\x85"), " ")
del _VISIBLE[ord("\t")], _VISIBLE[ord("\n")]


@dataclass(frozen=True)
class Piece:
    """A stretch of a text.

    Attributes:
        text: the characters; empty where some were left out.
        saliency: of the prototype that stands here, as a multiple of even attention; None between prototypes.
        strength: the saliency as a share of the largest in the texts; 0 between prototypes.
        omitted: characters left out.
    """

    text: str
    saliency: float | None = None
    strength: float = 0.0
    omitted: int = 0


def visible(text: str) -> str:
    """The text with control characters replaced, character for character; a terminal would obey them."""
    return text.translate(_VISIBLE)


def pieces(text: str, part: int = 0, prototypes: TextPrototypes | None = None) -> list[Piece]:
    """Cut one text at its prototypes.

    Where tokens share characters (the bytes of an emoji), the first one keeps them, with the largest saliency. Long
    stretches without a prototype lose their middle.

    Args:
        text: as the prototypes were read from it.
        part: which text of the pair it is.
        prototypes: of the whole pair; None marks nothing.
    """
    shown = visible(text)
    result: list[Piece] = []
    end = 0
    largest = float(max(prototypes.saliency, default=0.0)) if prototypes else 0.0
    for start, stop, saliency in _marks(part, prototypes):
        result += _excerpt(shown[end:start])
        result.append(Piece(shown[start:stop], saliency, saliency / largest if largest > 0 else 0.0))
        end = stop
    return result + list(_excerpt(shown[end:]))


def shortened(text: str, longest: int) -> str:
    """A text of one line, visible, of at most `longest` characters."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _marks(part: int, prototypes: TextPrototypes | None) -> list[tuple[int, int, float]]:
    """Start, end and saliency of each stretch to mark, in order and apart from one another."""
    if prototypes is None:
        return []
    marks: list[tuple[int, int, float]] = []
    for (owner, start, end), saliency in sorted(zip(prototypes.spans, prototypes.saliency.tolist(), strict=True)):
        if owner != part:
            continue
        if marks and end <= marks[-1][1]:
            first, last, known = marks[-1]
            marks[-1] = (first, last, max(known, saliency))
            continue
        start = max(start, marks[-1][1]) if marks else start
        if start < end:
            marks.append((start, end, saliency))
    return marks


def _excerpt(gap: str) -> Iterator[Piece]:
    if len(gap) <= EXCERPT:
        if gap:
            yield Piece(gap)
        return
    first = gap.rfind(" ", 0, CONTEXT) + 1 or CONTEXT
    last = gap.find(" ", len(gap) - CONTEXT)
    last = last if last >= 0 else len(gap) - CONTEXT
    yield Piece(gap[:first])
    yield Piece("", omitted=last - first)
    yield Piece(gap[last:])
