"""From a scene to its picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polysense.vision_language.world.backgrounds import paint
from polysense.vision_language.world.scene import COLOURS, SIDE, Scene
from polysense.vision_language.world.sprites import OPAQUE, sprite

_DARKEST = 0.62
"""The shade of the darkest pixels of a tinted object; darker, and an orange thing would be brown."""


def render(scene: Scene) -> Image.Image:
    """The scene's picture, RGB, `SIDE` x `SIDE`; the same scene gives the same pixels."""
    pixels = paint(scene.background, SIDE).astype(np.float32)
    for each in scene.objects:
        cut = sprite(each.file, each.side, each.mirrored)
        colours = cut[..., :3].astype(np.float32)
        if each.colour is not None:
            colours = tint(cut, COLOURS[each.colour])
        alpha = cut[..., 3:].astype(np.float32) / 255
        height, width = cut.shape[:2]
        below = pixels[each.top : each.top + height, each.left : each.left + width]
        below += alpha * (colours - below)
    return Image.fromarray(pixels.round().astype(np.uint8))


def tint(cut: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.float32]:
    """A sprite (height, width, 4) in one colour that keeps its shading: luminance times colour, (height, width, 3).

    The luminances are stretched to the whole range first, so that black and white things can be tinted alike.
    """
    luminance = cut[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    seen = luminance[cut[..., 3] >= OPAQUE]
    low, high = float(seen.min()), float(seen.max())
    shade = np.clip((luminance - low) / max(high - low, 1.0), 0, 1) if high > low else np.ones_like(luminance)
    tinted: NDArray[np.float32] = (_DARKEST + (1 - _DARKEST) * shade)[..., None] * np.array(colour, dtype=np.float32)
    return tinted
