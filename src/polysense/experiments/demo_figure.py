"""The picture of the demonstration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

SHOWN = 24
"""Objects in the right half."""

TITLES = {"coda_test": "CoDa, test objects", "memory_color": "MemoryColor"}
PAINT = {"gray": "#8c8c8c", "brown": "#7a4a21", "green": "#2e8b3d", "yellow": "#f2d21b", "pink": "#f59ab5"}
_BAR = {0: "#9aa7b5", 1: "#d9743a"}


def demo_figure(rows: Sequence[Mapping[str, Any]], predictions: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Left, accuracies with a dot a seed; right, objects of the last test with the true and the predicted colours.

    Args:
        rows: as `demo` returns them.
        predictions: by method, as `predict_tests` gives them.
    """
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    _draw_accuracies(left, rows)
    _draw_objects(right, predictions)
    return figure


def _draw_accuracies(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    tests = [test for test in TITLES if rows[0][test]]
    width = 0.8 / len(rows)
    for i, row in enumerate(rows):
        places = np.arange(len(tests)) + (i - (len(rows) - 1) / 2) * width
        means = [100 * np.mean(row[test]) for test in tests]
        label = f"{row['method']} ({'+'.join(row['modalities'])})"
        axes.bar(places, means, width * 0.92, color=_BAR.get(i, "#5a8f7b"), label=label)
        for place, test, mean in zip(places, tests, means, strict=True):
            axes.plot([place] * len(row[test]), [100 * x for x in row[test]], "o", color="black", ms=3, alpha=0.6)
            axes.text(place, 1, f"{mean:.1f}", ha="center", color="white", fontweight="bold")
    axes.set_xticks(range(len(tests)), [TITLES[test] for test in tests])
    axes.set_ylabel("accuracy, % (dots: seeds)")
    axes.set_title("What colour is it? Trained on CoDa's objects")
    axes.legend(loc="upper left", frameon=False)
    axes.set_ylim(0, 1.35 * max(100 * max(row[test]) for row in rows for test in tests))
    axes.spines[["top", "right"]].set_visible(False)


def _draw_objects(axes: Axes, predictions: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    methods = list(predictions)
    last = next(iter(predictions.values()))[-1]["test"]
    of_test = {m: [row for row in rows if row["test"] == last] for m, rows in predictions.items()}
    # Evenly through the test, not the ones that please.
    chosen = np.unique(np.linspace(0, len(of_test[methods[0]]) - 1, SHOWN).astype(int))
    half = -(-len(chosen) // 2)
    columns = ["true", *methods]
    for place, index in enumerate(chosen):
        x, y = 5.6 * (place // half), half - place % half
        name = of_test[methods[0]][index]["text"].removeprefix("the color of ")
        axes.text(x + 2.3, y + 0.4, name[:22], ha="right", va="center", fontsize=8)
        truth = of_test[methods[0]][index]["label"]
        for j, color in enumerate([truth, *(of_test[m][index]["prediction"] for m in methods)]):
            axes.add_patch(Rectangle((x + 2.5 + j * 0.9, y), 0.8, 0.8, fc=PAINT.get(color, color), ec="#444", lw=0.5))
            if j and color == truth:
                axes.text(x + 2.9 + j * 0.9, y + 0.38, "✓", ha="center", va="center", fontsize=7, color="#fff")
                axes.texts[-1].set_path_effects(_outline())
    for block in (0, 5.6):
        for j, name in enumerate(columns):
            axes.text(block + 2.9 + j * 0.9, half + 1.1, name, ha="center", fontsize=8)
    axes.set_xlim(-0.6, 10.9)
    axes.set_ylim(0.8, half + 1.8)
    axes.set_title(f"{TITLES[last]}: every {len(of_test[methods[0]]) // len(chosen)}th object")
    axes.set_axis_off()


def _outline() -> list[Any]:
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=1.5, foreground="#222"), Normal()]
