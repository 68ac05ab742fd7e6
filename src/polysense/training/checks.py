"""What every class of settings asks of its values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from polysense.errors import PolysenseError
from polysense.tasks.tables import near


def check_switches(settings: Any, names: Collection[str]) -> None:
    """Raises PolysenseError where one of the fields is no truth value."""
    for name in names:
        if not isinstance(getattr(settings, name), bool):
            raise PolysenseError(f"{_said(name)} must be true or false, not {getattr(settings, name)!r}")


def check_numbers(
    settings: Any,
    names: Collection[str],
    *,
    whole: Collection[str],
    may_be_zero: Collection[str],
    most: Mapping[str, float],
) -> None:
    """Check the fields `names`: finite numbers above 0.

    Args:
        whole: those that are whole numbers.
        may_be_zero: those that may be 0.
        most: the largest value of some.

    Raises:
        PolysenseError: one is something else.
    """
    for name in names:
        value, said = getattr(settings, name), _said(name)
        kind: Any = int if name in whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            raise PolysenseError(f"{said} must be a {'whole ' if kind is int else ''}number, not {value!r}")
        if value < 0 or (value == 0 and name not in may_be_zero):
            raise PolysenseError(f"{said} must be {'0 or more' if name in may_be_zero else 'more than 0'}, not {value}")
        if name in most and value > most[name]:
            raise PolysenseError(f"{said} must be at most {most[name]}, not {value}")


def with_given(cls: type[Any], base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values `base` of a class of settings, with what was given (not None) instead.

    Raises:
        PolysenseError: a name is no setting.
    """
    known = [field.name for field in fields(cls)]
    for name in given:
        if name not in known:
            raise PolysenseError(f"unknown setting {name!r}{near(name, known)}; the settings are {', '.join(known)}")
    return {**base, **{name: value for name, value in given.items() if value is not None}}


def _said(name: str) -> str:
    return name.replace("_", "-")
