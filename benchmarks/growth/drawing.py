"""The curves as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from benchmarks.growth.curve import Curve
from polysense.experiments.figures.style import MARKERS, PALETTE

MEASURES = (("seconds", "expected_time", "seconds"), ("megabytes", "expected_memory", "MB"))
LEAST_SPAN = 10
"""Of an axis, largest to smallest: a flat curve should look flat."""
MANY_DECADES = 1e4
"""Of an axis: above it a tick a decade."""


def draw(curves: Sequence[Curve], file: Path) -> None:
    """A column a thing that grows, time above and memory below; dashed what is expected, through the middle point."""
    axes_names = list(dict.fromkeys(curve.axis for curve in curves))
    figure = Figure(figsize=(3.6 * len(axes_names), 6.4), layout="constrained")
    panels = figure.subplots(2, len(axes_names), squeeze=False)
    names = list(dict.fromkeys(curve.name for curve in curves))
    for column, axis in enumerate(axes_names):
        for row, (field, expected_field, label) in enumerate(MEASURES):
            panel = panels[row][column]
            panel.set(xscale="log", xlabel=axis if row else "", ylabel=label if column == 0 else "")
            panel.set_yscale("log", nonpositive="mask")
            for curve in curves:
                if curve.axis == axis:
                    look = names.index(curve.name)
                    colour = PALETTE[look % len(PALETTE)]
                    sizes, values, expected = map(curve.values, ("size", field, expected_field))
                    panel.plot(sizes, values, marker=MARKERS[look % len(MARKERS)], color=colour, label=curve.name)
                    scaled = [values[curve.middle] * one / expected[curve.middle] for one in expected]
                    panel.plot(sizes, scaled, color=colour, linestyle="--", linewidth=0.8)
            _scale(panel, {size for curve in curves if curve.axis == axis for size in curve.values("size")})
            panel.grid(visible=True, which="major", color="#e3e6ea", linewidth=0.6)
            if row == 0:
                panel.plot([], [], color="black", linestyle="--", linewidth=0.8, label="expected")
                panel.legend(fontsize=8, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def _scale(panel: Axes, sizes: Iterable[float]) -> None:
    """Plain numbers, a tick a size."""
    low, high = panel.get_ylim()
    widen = max(1.0, LEAST_SPAN * low / high) ** 0.5
    panel.set_ylim(low / widen, high * widen)
    panel.xaxis.set(major_locator=FixedLocator(sorted(sizes)), minor_locator=NullLocator())
    subs = (1, 2, 5) if high / low < MANY_DECADES else (1,)
    panel.yaxis.set(major_locator=LogLocator(subs=subs), minor_locator=NullLocator())
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
