"""The objects' pictures as cut-outs of any size, loaded once a process."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polysense.errors import PolysenseError

LARGEST = 150
"""The longer side of the largest cut-out, in pixels; what is kept of a picture."""
OPAQUE = 128
"""From this alpha on a pixel belongs to its object."""
LONG = 3.0
"""A thing longer than this many times its width counts as this long when its size is set."""


@lru_cache(maxsize=4096)
def cut_out(file: Path) -> Image.Image:
    """A picture with transparency, cut to its opaque pixels, its longer side at most `LARGEST`.

    Raises:
        PolysenseError: the file is no picture, or nothing in it is opaque.
    """
    try:
        with Image.open(file, formats=("PNG", "WEBP")) as opened:
            picture = opened.convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        raise PolysenseError(f"{file}: not a picture ({error}); delete its folder, and it is fetched again") from None
    extent = picture.getchannel("A").point(lambda alpha: 255 * (alpha >= OPAQUE)).getbbox()
    if extent is None:
        raise PolysenseError(f"{file}: nothing in this picture is opaque; choose another for this object")
    picture = picture.crop(extent)
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    return picture


def longer_side(file: Path, extent: float) -> int:
    """The longer side, in pixels, of a cut-out that covers as much as a square of side `extent`."""
    width, height = cut_out(file).size
    return round(extent * math.sqrt(min(LONG, max(width, height) / min(width, height))))


@lru_cache(maxsize=2048)
def sprite(file: Path, side: int, mirrored: bool) -> NDArray[np.uint8]:
    """The cut-out with that longer side: (height, width, 4), not to be changed."""
    picture = cut_out(file)
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels[:, ::-1] if mirrored else pixels


def mask(file: Path, side: int, mirrored: bool) -> NDArray[np.bool_]:
    """Which pixels of that sprite belong to the object: (height, width)."""
    opaque: NDArray[np.bool_] = sprite(file, side, mirrored)[..., 3] >= OPAQUE
    return opaque
