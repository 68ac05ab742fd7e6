"""The curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.growth.curve import Curve
from polysense.experiments.figures.style import MARKERS, PALETTE

MEASURES = (("seconds", "seconds"), ("megabytes", "MB"))


def draw(curves: Sequence[Curve], file: Path) -> None:
    """A column a thing that grows, time above and memory below; dashed what the expected order would be."""
    axes_names = list(dict.fromkeys(curve.axis for curve in curves))
    figure = Figure(figsize=(3.6 * len(axes_names), 6.4), layout="constrained")
    panels = figure.subplots(2, len(axes_names), squeeze=False)
    names = list(dict.fromkeys(curve.name for curve in curves))
    for column, axis in enumerate(axes_names):
        for row, (field, label) in enumerate(MEASURES):
            panel = panels[row][column]
            panel.set(xscale="log", yscale="log", xlabel=axis if row else "", ylabel=label if column == 0 else "")
            for curve in curves:
                if curve.axis == axis:
                    look = names.index(curve.name)
                    colour = PALETTE[look % len(PALETTE)]
                    sizes = [point.size for point in curve.points]
                    values = [getattr(point, field) for point in curve.points]
                    panel.plot(sizes, values, marker=MARKERS[look % len(MARKERS)], color=colour, label=curve.name)
                    order = curve.time_order if field == "seconds" else curve.memory_order
                    expected = [values[-1] * (size / sizes[-1]) ** order for size in sizes]
                    panel.plot(sizes, expected, color=colour, linestyle="--", linewidth=0.8)
            panel.grid(visible=True, which="major", color="#e3e6ea", linewidth=0.6)
            if row == 0:
                panel.legend(fontsize=8, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
