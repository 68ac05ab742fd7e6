"""The colours of a picture: what ImageNet features lose and a text model lacks.

A histogram over 64 anchors, with soft assignment in CIE Lab, where distances are close to what the eye sees
(CIE 15:2004; sRGB as in IEC 61966-2-1, white D65).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH = 64
MAX_PIXELS = 512
OPAQUE_ABOVE = 127
"""Alpha, of 0..255, above which a pixel is foreground."""
BANDWIDTH = 12.0
"""Standard deviation of the assignment, in Lab units; neighbouring anchors are about 25 to 60 apart."""

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(axis=1)


def lab_from_rgb(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """sRGB (n, 3) in 0..255 to CIE Lab (n, 3): L in 0..100, a and b about -110..110."""
    scaled = rgb.astype(np.float64) / 255.0
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _grid() -> NDArray[np.uint8]:
    levels = np.array([0, 85, 170, 255], dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


ANCHORS = _grid()
"""(64, 3) uint8 RGB, blue fastest: anchor 16 r + 4 g + b has the levels 0, 85, 170, 255 of r, g, b in 0..3."""
_ANCHORS_LAB = lab_from_rgb(ANCHORS)


def colour_histogram(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much of the pixels' colour is near each anchor.

    Every pixel spreads a weight of 1 over `ANCHORS`: softmax(-(Lab distance / BANDWIDTH)^2 / 2).

    Args:
        pixels: (n, 3) RGB; none gives zeros.

    Returns:
        (64,), not negative, summing to 1: the mean over the pixels.
    """
    if not len(pixels):
        return np.zeros(WIDTH, dtype=np.float32)
    return colour_histograms(pixels[None])[0]


def colour_histograms(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`colour_histogram` of many pictures at once: pixels (pictures, n, 3), n at least 1, to (pictures, 64)."""
    # |x - a|^2 = |x|^2 - 2 (x.a - |a|^2 / 2), and a pixel's own |x|^2 changes nothing in its softmax.
    nearness = lab_from_rgb(pixels.reshape(-1, 3)) @ _ANCHORS_LAB.T - (_ANCHORS_LAB**2).sum(axis=1) / 2
    logits = nearness / BANDWIDTH**2
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.reshape(*pixels.shape[:2], WIDTH).mean(axis=1).astype(np.float32)


def foreground_pixels(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels that a picture's colour is taken from.

    Those with alpha above `OPAQUE_ABOVE`, which is all of a picture without transparency; if there are none, all, as
    they look on white.

    Args:
        rgba: (height, width, 4).

    Returns:
        (n, 3) RGB, n at most `MAX_PIXELS`: where there are more, as many drawn without replacement by a fixed seed.
    """
    flat = rgba.reshape(-1, 4)
    chosen = np.flatnonzero(flat[:, 3] > OPAQUE_ABOVE)
    faint = not len(chosen)
    if faint:
        chosen = np.arange(len(flat))
    if len(chosen) > MAX_PIXELS:
        chosen = np.random.default_rng(0).choice(chosen, MAX_PIXELS, replace=False)
    pixels = flat[chosen]
    if faint:
        alpha = pixels[:, 3:].astype(np.float64) / 255.0
        return np.rint(pixels[:, :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)
    return pixels[:, :3]
