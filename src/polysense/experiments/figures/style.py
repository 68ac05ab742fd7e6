"""The look that the figures share, and how a figure is kept: the picture, and its numbers beside it."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure

from polysense.durable import whole_file
from polysense.errors import PolysenseError
from polysense.experiments.demo_figure import PAINT
from polysense.experiments.results import machine
from polysense.folder import read_json, write_json
from polysense.training.train import versions

SUFFIXES = (".png", ".svg")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#5c5c5c")
"""Okabe and Ito's (2008), which colour-blind people can tell apart; without its yellow, which is faint on white."""

_LONGEST = 24
_ACROSS = 3
_DPI = 150


def check_figure_file(file: Path) -> Path:
    """Where a figure's numbers go, once it is known that the figure can go to `file`.

    Args:
        file: of the picture; its suffix says the format.

    Returns:
        The file of the same name that ends in .json.

    Raises:
        PolysenseError: another suffix, a folder, or the place of the numbers is taken by what is no figure's.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise PolysenseError(f"{file}: figures are {' or '.join(SUFFIXES)}; give --output such a name")
    numbers = file.with_suffix(".json")
    for taken in (file, numbers):
        if taken.is_dir():
            raise PolysenseError(f"{taken} is a folder: give the name of a file as --output")
    if numbers.exists() and not _is_of_a_figure(numbers):
        raise PolysenseError(f"{numbers} holds something else, and the figure's numbers go there: rename --output")
    return numbers


def save_figure(figure: Figure, file: Path, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Write a picture, and its numbers as JSON beside it, with the command, the date, the machine and the versions.

    Args:
        file: .png (150 dots an inch) or .svg; folders above it are made.
        numbers: with "figure", the name of the kind; no number in it may be NaN.

    Returns:
        What the JSON file holds.

    Raises:
        PolysenseError: as `check_figure_file`.
    """
    beside = check_figure_file(file)
    made = {
        "command": "polysense " + shlex.join(sys.argv[1:]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
    }
    result = {**numbers, **made}
    file.parent.mkdir(parents=True, exist_ok=True)
    # Ids from a fixed salt and no date, so that the same numbers give the same bytes.
    with rc_context({"svg.hashsalt": "polysense"}), whole_file(file) as stream:
        kind = file.suffix.lower().removeprefix(".")
        figure.savefig(stream, format=kind, dpi=_DPI, metadata={"Date": None} if kind == "svg" else None)
    write_json(beside, result)
    return result


def label(text: str) -> str:
    """A name as a picture shows it: one line, 24 characters at most, and a dollar sign is no formula.

    Both ends of a longer one stay: classes differ at the beginning, paths at the end.
    """
    line = " ".join(text.split())
    half = _LONGEST // 2
    short = line if len(line) <= _LONGEST else f"{line[: half - 1]}…{line[-half:]}"
    return short.replace("$", r"\$")


def class_looks(names: Sequence[str]) -> list[dict[str, str]]:
    """How the points of each class are drawn, as arguments of `Axes.scatter`: no two of 49 classes alike.

    Classes that are names of colours have their own colour, which would mislead on any other class; markers tell them
    apart for eyes that cannot.
    """
    if all(name in PAINT or is_color_like(name) for name in names):
        return [
            {"color": PAINT.get(name, name), "marker": MARKERS[i % len(MARKERS)], "edgecolor": "#333333"}
            for i, name in enumerate(names)
        ]
    size = len(PALETTE)
    return [
        {"color": PALETTE[i % size], "marker": MARKERS[(i + i // size) % len(MARKERS)], "edgecolor": "#ffffff"}
        for i in range(len(names))
    ]


def grid_shape(panels: int) -> tuple[int, int]:
    """Rows and columns of a grid of panels, three across at most, and four as a square."""
    across = 2 if panels == 4 else min(_ACROSS, panels)
    return math.ceil(panels / across), across


def as_map(axes: Axes) -> None:
    """A plane whose axes have no meaning of their own: a frame, and no numbers."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#b0b7c0")


def _is_of_a_figure(file: Path) -> bool:
    try:
        held = read_json(file)
    except (OSError, ValueError):
        return False
    return isinstance(held, dict) and "figure" in held
