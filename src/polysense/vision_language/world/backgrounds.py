"""What lies behind a scene's objects."""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RGB = tuple[int, int, int]
KINDS = ("plain", "gradient", "stripes", "checks", "dots", "noise", "ground")


@dataclass(frozen=True)
class Background:
    """A background.

    Attributes:
        kind: one of `KINDS`.
        colours: two colours, 0 to 255; "plain" uses the first.
        step: the pattern's size in pixels, or where the ground begins.
        seed: of the noise.
    """

    kind: str
    colours: tuple[RGB, RGB]
    step: int
    seed: int


def draw_background(rng: random.Random) -> Background:
    """A random background in quiet colours, so that the tinted objects stand out."""
    kind = rng.choice(KINDS)
    value = rng.uniform(0.35, 1.0)
    first = _quiet(rng.random(), rng.uniform(0, 0.3), value)
    second = _quiet(rng.random(), rng.uniform(0, 0.3), min(1.0, max(0.2, value + rng.choice((-0.12, 0.12)))))
    if kind == "ground":
        first = _quiet(rng.uniform(0.52, 0.64), rng.uniform(0.1, 0.35), rng.uniform(0.75, 1.0))
        second = _quiet(rng.uniform(0.08, 0.35), rng.uniform(0.15, 0.4), rng.uniform(0.4, 0.75))
    step = rng.randint(70, 140) if kind == "ground" else rng.randint(8, 28)
    return Background(kind, (first, second), step, rng.getrandbits(31))


def paint(background: Background, side: int) -> NDArray[np.uint8]:
    """The background as pixels: (side, side, 3)."""
    rows, columns = np.mgrid[0:side, 0:side]
    step = background.step
    if background.kind == "plain":
        share = np.zeros((side, side))
    elif background.kind == "gradient":
        share = (rows * (step % 2) + columns * (1 - step % 2)) / (side - 1)
    elif background.kind == "stripes":
        share = ((columns if step % 2 else rows + columns) // step % 2).astype(float)
    elif background.kind == "checks":
        share = ((rows // step + columns // step) % 2).astype(float)
    elif background.kind == "dots":
        share = ((rows % step - step / 2) ** 2 + (columns % step - step / 2) ** 2 < (step / 3.5) ** 2).astype(float)
    elif background.kind == "noise":
        share = np.random.default_rng(background.seed).random((side, side))
    else:
        share = (rows >= step).astype(float)
    first, second = (np.array(colour, dtype=float) for colour in background.colours)
    mixed: NDArray[np.uint8] = (first + share[..., None] * (second - first)).round().astype(np.uint8)
    return mixed


def _quiet(hue: float, saturation: float, value: float) -> RGB:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
