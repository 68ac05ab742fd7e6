"""Labels: telling classification from regression, naming the classes, and turning labels into indices or numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from polysense.errors import PolysenseError
from polysense.tasks.tables import Table, near
from polysense.tasks.task import Kind
from polysense.text import clean

MOST_INTEGER_CLASSES = 20
"""Whole-number labels with more different values than this are taken for regression targets."""

_NUMBERS_SHARE = 0.9
_WHOLE = re.compile(r"-?\d+")
_WHOLE_AS_FLOAT = re.compile(r"(-?\d+)\.0+")


def label_name(value: Any) -> str:
    """A label as the name of a class: stripped text, "true" or "false", and 1.0 as "1"."""
    if isinstance(value, bool):
        return str(value).lower()
    text = clean(str(value)).strip()
    match = _WHOLE_AS_FLOAT.fullmatch(text)
    return match[1] if match else text


def is_missing(value: Any) -> bool:
    """Whether a label is not there: None, or a blank string."""
    return value is None or (isinstance(value, str) and not value.strip())


def number(value: Any) -> float | None:
    """A label as a number (NaN and infinities too), or None if it is none; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or "_" in str(value):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def infer_kind(values: Sequence[Any]) -> Kind:
    """Classification or regression, told from the labels of the training rows.

    Regression: at least nine in ten labels are numbers, and these have a fraction somewhere, or more than
    `MOST_INTEGER_CLASSES` different whole values. All else is classification. So a stray word among numbers with
    fractions is an error later, with its line, and does not make a hundred classes of a hundred numbers.
    """
    present = [value for value in values if not is_missing(value)]
    numbers = [value for value in map(number, present) if value is not None]
    if not numbers or len(numbers) < _NUMBERS_SHARE * len(present):
        return "classification"
    finite = {value for value in numbers if math.isfinite(value)}
    fraction = any(not value.is_integer() for value in finite)
    return "regression" if fraction or len(finite) > MOST_INTEGER_CLASSES else "classification"


def class_names(table: Table, column: str) -> tuple[str, ...]:
    """The names of the classes of a training column: whole numbers in their order, other names in alphabetical order.

    Raises:
        PolysenseError: a label is missing or is no single value, or all rows have the same one.
    """
    names = set(_names(table, column))
    if len(names) == 1:
        raise PolysenseError(
            f"{table.source}, column {column!r}: every row has the label {next(iter(names))!r}; "
            "classification needs at least two classes"
        )
    whole = all(_WHOLE.fullmatch(name) for name in names)
    return tuple(sorted(names, key=lambda name: (int(name), name) if whole else (0, name)))


def class_indices(table: Table, column: str, names: Sequence[str], *, by_index: bool = False) -> list[int]:
    """Each row's class as an index into `names`.

    Args:
        table: the rows.
        column: the column of labels.
        names: names of the classes in order.
        by_index: take whole numbers for indices where neither the names nor any of the labels are names of that list,
            e.g. 0 and 1 for ("negative", "positive").

    Raises:
        PolysenseError: a label is missing, or is none of the classes.
    """
    labels = _names(table, column)
    index = {name: position for position, name in enumerate(names)}
    if by_index and not any(_WHOLE.fullmatch(name) for name in names) and not index.keys() & set(labels):
        index = {str(position): position for position in range(len(names))}
    unknown = [row for row, name in enumerate(labels) if name not in index]
    if unknown:
        shown = list(dict.fromkeys(labels[row] for row in unknown))
        more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
        raise PolysenseError(
            f"{table.where(column, unknown)}: unknown label {', '.join(map(repr, shown[:5]))}{more}"
            f"{near(shown[0], names)}; the classes are {', '.join(map(repr, names[:20]))}"
            f"{f' and {len(names) - 20} more' if len(names) > 20 else ''}"
        )
    return [index[name] for name in labels]


def targets(table: Table, column: str, otherwise: str = "") -> list[float]:
    """Each row's regression target.

    Args:
        table: the rows.
        column: the column of targets.
        otherwise: what else an error advises, e.g. ", or ...".

    Raises:
        PolysenseError: a target is missing, no number, NaN or infinite.
    """
    values = _present(table, column)
    numbers = [number(value) for value in values]
    bad = [row for row, value in enumerate(numbers) if value is None or not math.isfinite(value)]
    if bad:
        shown = ", ".join(dict.fromkeys(repr(values[row]) for row in bad[:5]))
        raise PolysenseError(
            f"{table.where(column, bad)}: {shown} is not a finite number; mend or drop the rows{otherwise}"
        )
    return [value for value in numbers if value is not None]


def _present(table: Table, column: str) -> list[Any]:
    values = table.column(column)
    missing = [row for row, value in enumerate(values) if is_missing(value)]
    if missing:
        raise PolysenseError(f"{table.where(column, missing)}: the label is missing; fill it in or drop the rows")
    return values


def _names(table: Table, column: str) -> list[str]:
    values = _present(table, column)
    nested = [row for row, value in enumerate(values) if isinstance(value, (dict, list)) or value != value]
    if nested:
        raise PolysenseError(
            f"{table.where(column, nested)}: {values[nested[0]]!r} is no label; a label is a text or a number"
        )
    return [label_name(value) for value in values]
