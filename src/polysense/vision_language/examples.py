"""The examples of vision-language data, whatever file they were published in.

A picture is named by a string; its regions are looked up under that name in a `RegionSource`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """A text that describes a picture."""

    picture: str
    text: str


@dataclass(frozen=True)
class Question:
    """A question about a picture (VQA).

    Attributes:
        identity: the question's id in its data set.
        answers: what people answered, each as often as it was given; empty where the answers are not known.
        kind: the data set's answer type or kind of question ("yes/no", "number", "other", ...), or "".
    """

    identity: str
    picture: str
    text: str
    answers: Sequence[str] = ()
    kind: str = ""


@dataclass(frozen=True)
class Statement:
    """A statement about two pictures that is true or false (NLVR2); None where that is not known."""

    identity: str
    left: str
    right: str
    text: str
    label: bool | None = None


@dataclass(frozen=True)
class Entailment:
    """A hypothesis about a picture (SNLI-VE): "entailment", "neutral" or "contradiction"; "" where not known."""

    identity: str
    picture: str
    text: str
    label: str = ""


@dataclass(frozen=True)
class Expression:
    """A phrase that refers to one object of a picture (RefCOCO).

    Attributes:
        box: of the object, (x1, y1, x2, y2) in pixels.
    """

    identity: str
    picture: str
    text: str
    box: tuple[float, float, float, float]
