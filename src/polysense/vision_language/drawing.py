"""Pictures of what a model looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from polysense.text import clean
from polysense.vision_language.prediction import Prediction

MOST_BOXES = 6
"""Regions drawn; those that count most."""
_WIDTH, _TITLE = 5.2, 0.7
"""Of a picture and of the title above, in inches."""
_LEAST = 0.05
"""A region of less weight is never drawn as if all rested on it."""
_FOR, _AGAINST = "#d1495b", "#3066be"


def draw_prediction(prediction: Prediction, pictures: Sequence[Image.Image]) -> bytes:
    """A PNG: the pictures with the regions that the answer rests on most.

    The wider a box's line, the more the answer rests on it; red speaks for the answer, blue against it.
    """
    tallest = max(min(max(picture.height / picture.width, 0.3), 2.0) for picture in pictures)
    figure = Figure(figsize=(_WIDTH * len(pictures), _WIDTH * tallest + _TITLE), layout="constrained")
    axes = figure.subplots(1, len(pictures), squeeze=False)[0]
    strongest = max([_LEAST, *(abs(region.weight) for region in prediction.regions)])
    ranked = sorted(prediction.regions, key=lambda region: -abs(region.weight))[:MOST_BOXES]
    for number, (panel, picture) in enumerate(zip(axes, pictures, strict=True)):
        panel.imshow(picture)
        panel.set_axis_off()
        for region in reversed(ranked):
            if region.picture != number:
                continue
            x1, y1, x2, y2 = region.box
            share = abs(region.weight) / strongest
            colour = _FOR if region.weight >= 0 else _AGAINST
            panel.add_patch(
                Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, lw=0.5 + 3.5 * share, alpha=0.9)
            )
            label = f"{_cut(region.tag, 30)} {region.weight:+.2f}".strip()
            panel.text(
                x1, y1, label, fontsize=7, color="white", va="bottom", clip_on=True, parse_math=False,
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 1, "alpha": 0.8},
            )  # fmt: skip
    figure.suptitle(
        f"{_cut(prediction.text)}\n{_cut(prediction.answer)} ({prediction.probability:.2f})",
        fontsize=11, parse_math=False,
    )  # fmt: skip
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def _cut(text: str, most: int = 90) -> str:
    line = " ".join(clean(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
