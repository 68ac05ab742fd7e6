"""A picture of the modalities' weights over the E-steps, as in MASE's Figure 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from polysense.modality import TEXT

_COLOURS = {TEXT: "#4c566a", "image": "#c2532f", "audio": "#2f7dc2", "video": "#3d9a5f"}
_MARKERS = ("o", "s", "^", "D", "v", "P")


def draw_weights(e_steps: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw z by E-step, even before the first.

    Args:
        e_steps: of `e_step_history`, at least one.
        file: of the picture; its suffix says the format.
    """
    modalities = list(e_steps[0]["z"])
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for m, marker in zip(modalities, _MARKERS * len(modalities), strict=False):
        path = [1 / len(modalities), *(e_step["z"][m] for e_step in e_steps)]
        axes.plot(range(len(path)), path, marker=marker, markersize=5, color=_COLOURS.get(m), label=m)
    axes.set(xlabel="E-step", ylabel="weight z", ylim=(0, None), xticks=range(len(e_steps) + 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(modalities), loc="lower center", bbox_to_anchor=(0.5, 1))
    figure.savefig(file, dpi=150)
