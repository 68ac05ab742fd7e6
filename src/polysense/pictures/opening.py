"""Opening picture files: what is a picture, how large it may be, and how it looks on white and upright."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from polysense.errors import PolysenseError

MAX_MEGAPIXELS = 50
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
"""File names of a folder that count as pictures, in lower case."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is read: only what Pillow decodes by itself, as some of its other readers run programs (EPS: Ghostscript)."""


class UnreadableError(Exception):
    """Why a file cannot be shown as a picture, in a few words; `advice` is what to do about it."""

    def __init__(self, reason: str, advice: str = "replace it or leave it out") -> None:
        super().__init__(reason)
        self.advice = advice


def open_picture(
    source: Path | bytes, *, name: str = "the picture", max_megapixels: float = MAX_MEGAPIXELS
) -> Image.Image:
    """A picture in RGB, upright by its EXIF orientation, on white where it is transparent; its first frame.

    Args:
        source: a file, or an encoded picture: PNG, JPEG, WebP, GIF, BMP or TIFF.
        name: stands for the file in messages where `source` is bytes.
        max_megapixels: larger pictures are refused by their header, before anything is decoded.

    Raises:
        PolysenseError: missing, empty, not a picture, broken or too large; the message names the file.
    """
    try:
        return on_white(open_rgba(source, max_megapixels))
    except UnreadableError as reason:
        file = name if isinstance(source, bytes) else source
        raise PolysenseError(f"{file}: {reason}; {reason.advice}") from None


def open_rgba(source: Path | bytes, max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """`open_picture` with the transparency kept: RGBA, upright, the first frame.

    Raises:
        UnreadableError: missing, empty, not a picture, broken or too large.
    """
    limit = f"{max_megapixels:g}"
    try:
        if not (len(source) if isinstance(source, bytes) else source.stat().st_size):
            raise UnreadableError("empty file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below, and files with odd metadata are still pictures
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as opened:
                if (megapixels := opened.width * opened.height / 1e6) > max_megapixels:
                    raise UnreadableError(f"{megapixels:.0f} megapixels, more than {limit}", "scale it down")
                return _rgba(ImageOps.exif_transpose(opened))
    except UnreadableError:
        raise
    except Image.DecompressionBombError:
        raise UnreadableError(f"more than {limit} megapixels", "scale it down") from None
    except UnidentifiedImageError:
        raise UnreadableError("not a picture", "give a PNG, JPEG, WebP, GIF, BMP or TIFF file") from None
    # Decoders of broken files raise nearly anything: OSError, SyntaxError, ValueError, struct.error, zlib.error, ...
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the file system's, not a decoder's
            raise UnreadableError(error.strerror or str(error), "check the path") from None
        raise UnreadableError(f"broken: {' '.join(str(error).split())}") from None


def on_white(picture: Image.Image) -> Image.Image:
    """RGBA as it looks on white, in RGB."""
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return white.convert("RGB")


def stretched(picture: Image.Image, share: int) -> Image.Image:
    """A thin or tiny picture with sides of at least 8 pixels and 1 / `share` of the longer one; others as they are.

    Image processors take a side of 1 or 3 for colours, scale a thin picture to nothing or make it huge. What would be
    above `MAX_MEGAPIXELS` is scaled down.
    """
    least = max(8, max(picture.size) // share)
    width, height = (max(side, least) for side in picture.size)
    scale = min(1.0, math.sqrt(MAX_MEGAPIXELS * 1e6 / (width * height)))
    return picture.resize((int(width * scale), int(height * scale)))


def _rgba(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):  # Pillow would clip 16-bit grey to white, not scale it
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGBA")
    return picture.convert("RGBA")
