"""Pictures: from files to EfficientNet-Lite0's features and colours."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from polysense.alignment.media import MediaFeatures, Medium, Parts, UnusableError, media_features, read_file
from polysense.pictures import colour, efficientnet
from polysense.pictures.opening import MAX_MEGAPIXELS, UnreadableError, on_white, open_rgba

VERSION = 2
"""See `Medium.version`."""
BATCH = 64


def picture_features(
    files: Sequence[Path], *, progress: bool = False, cache: Path | None = None, quiet: bool = False
) -> MediaFeatures:
    """Features and colours of pictures.

    PNG, JPEG, WebP, GIF, BMP and TIFF; the first frame of a moving one, upright, on white, its longer side 224 pixels
    (bicubic), padded to a square with white. Files that are missing, empty, broken, above `MAX_MEGAPIXELS` or above
    `media.MAX_MEGABYTES` are left out, with one warning for all.

    Args:
        files, progress, cache, quiet: as in `media_features`.

    Returns:
        The parts "seen" (n, 1280), EfficientNet-Lite0's features, not negative, not normalised; and "colours" (n, 64),
        each summing to 1: `colour.colour_histogram` of the foreground.

    Raises:
        PolysenseError: the encoder's weights are not installed, no file could be read, or the cache cannot be written.
    """
    encoder = functools.cache(efficientnet.EfficientNetLite0.pretrained)

    def encode(decoded: list[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> Parts:
        seen = encode_pixels(encoder(), np.stack([pixels for pixels, _ in decoded]))
        return {"seen": seen, "colours": np.stack([colours for _, colours in decoded])}

    formats = "PNG, JPEG, WebP, GIF, BMP or TIFF"
    medium = Medium("picture", ("seen", "colours"), VERSION, formats, BATCH, decode_picture, encode, read_file)
    return media_features(medium, files, progress=progress, cache=cache, quiet=quiet)


def decode_picture(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The encoder's input (224, 224, 3) and the colour histogram (64,) of an encoded picture.

    Raises:
        UnusableError: not a picture, broken, or too large.
    """
    try:
        picture = open_rgba(data, MAX_MEGAPIXELS)
    except UnreadableError as reason:
        raise UnusableError(str(reason)) from None
    return square(picture), colour.colour_histogram(colour.foreground_pixels(np.asarray(picture)))


def square(picture: Image.Image) -> NDArray[np.uint8]:
    """RGBA on white, (224, 224, 3); scaled before it is padded, so that a thin strip never becomes a huge square."""
    side = efficientnet.INPUT_SIZE
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    square = Image.new("RGB", (side, side), "white")
    scaled = on_white(picture).resize((width, height), Image.Resampling.BICUBIC)
    square.paste(scaled, ((side - width) // 2, (side - height) // 2))
    return np.asarray(square)


def encode_pixels(encoder: efficientnet.EfficientNetLite0, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Squares (n, 224, 224, 3) to features (n, 1280)."""
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
    with torch.no_grad():
        features = encoder((scaled - efficientnet.PIXEL_MEAN) / efficientnet.PIXEL_SCALE)
    result: NDArray[np.float32] = features.numpy()
    return result
