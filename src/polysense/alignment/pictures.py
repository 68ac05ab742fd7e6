"""Features and colours of picture files, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tqdm.auto import tqdm

from polysense.alignment import colour, efficientnet
from polysense.alignment.sources import cache_folder
from polysense.errors import PolysenseError

VERSION = 1
"""Of what is computed; raised with any change that alters a feature, so that old caches are not read."""
MAX_MEGAPIXELS = 50
MAX_MEGABYTES = 256
BATCH = 64

# Only what Pillow decodes by itself: some of its other readers run programs (EPS starts Ghostscript).
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PictureFeatures:
    """What `picture_features` gives, for the n pictures that could be read.

    Attributes:
        features: (n, 1280), EfficientNet-Lite0's, not negative, not normalised.
        colours: (n, 64), each summing to 1: `colour.colour_histogram` of the foreground.
        kept: (n,), which of the files the rows belong to, rising.
        skipped: the files left out, each with the reason.
    """

    features: NDArray[np.float32]
    colours: NDArray[np.float32]
    kept: NDArray[np.int64]
    skipped: tuple[tuple[Path, str], ...]


def picture_features(
    files: Sequence[Path],
    *,
    progress: str | None = None,
    cache: Path | None = None,
    device: torch.device | str = "cpu",
) -> PictureFeatures:
    """Features and colours of pictures.

    PNG, JPEG, WebP, GIF, BMP and TIFF; the first frame of a moving one, upright, on white, its longer side 224 pixels
    (bicubic), padded to a square with white. Files that are missing, empty, broken, above `MAX_MEGAPIXELS` or above
    `MAX_MEGABYTES` are left out, with one warning for all. Results are kept on disk by the files' content, so that a
    second run computes only what is new; an interrupted run keeps what it had done.

    Args:
        files: any number of paths; the same content twice is computed once.
        progress: what the bar over the files is called; None: no bar.
        cache: the folder of the kept results; None: `sources.cache_folder()`.
        device: where the encoder runs.

    Raises:
        PolysenseError: the encoder's weights are not installed, no file could be read, or the cache cannot be written.
    """
    kept_results = _Cache((cache or cache_folder()) / f"picture-features-{VERSION}.safetensors")
    encoder: efficientnet.EfficientNetLite0 | None = None
    rows: list[tuple[int, bytes]] = []
    skipped: list[tuple[Path, str]] = []
    waiting: dict[bytes, tuple[NDArray[np.uint8], NDArray[np.float32]]] = {}
    bar = tqdm(total=len(files), desc=progress, unit="picture", disable=progress is None, leave=False)

    def encode_waiting() -> None:
        nonlocal encoder
        if not waiting:
            return
        encoder = encoder or efficientnet.EfficientNetLite0.pretrained().to(device)
        features = _encode(encoder, [pixels for pixels, _ in waiting.values()], device)
        for (key, (_, colours)), row in zip(waiting.items(), features, strict=True):
            kept_results.add(key, row, colours)
        waiting.clear()

    try:
        for index, file in enumerate(files):
            bar.update()
            try:
                data = _read(file)
                key = hashlib.sha256(data).digest()
                if key not in kept_results and key not in waiting:
                    waiting[key] = _decode(data)
            except _UnusableError as reason:
                skipped.append((file, str(reason)))
                continue
            rows.append((index, key))
            if len(waiting) == BATCH:
                encode_waiting()
        encode_waiting()
    finally:
        bar.close()
        kept_results.write()
    _report(skipped, len(files))
    return PictureFeatures(
        np.stack([kept_results[key][0] for _, key in rows]),
        np.stack([kept_results[key][1] for _, key in rows]),
        np.array([index for index, _ in rows], dtype=np.int64),
        tuple(skipped),
    )


def _report(skipped: Sequence[tuple[Path, str]], total: int) -> None:
    named = "; ".join(f"{file} ({reason})" for file, reason in skipped[:5])
    more = f"; and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    if len(skipped) == total:
        what = f"none of the {total} pictures could be read: {named}{more}" if total else "there are no pictures"
        raise PolysenseError(f"{what}; give PNG, JPEG, WebP, GIF, BMP or TIFF files")
    if skipped:
        _log.warning("%d of %d pictures are left out: %s%s", len(skipped), total, named, more)


class _UnusableError(Exception):
    """Why a file is left out."""


def _read(file: Path) -> bytes:
    try:
        if (size := file.stat().st_size) > MAX_MEGABYTES * 2**20:
            raise _UnusableError(f"{size / 2**20:.0f} MiB, more than {MAX_MEGABYTES}")
        data = file.read_bytes()
    except OSError as error:
        raise _UnusableError(error.strerror or str(error)) from None
    if not data:
        raise _UnusableError("empty file")
    return data


def _decode(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The encoder's input (224, 224, 3) and the colour histogram (64,) of an encoded picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below, and files with odd metadata are still pictures
            with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
                if (megapixels := opened.width * opened.height / 1e6) > MAX_MEGAPIXELS:
                    raise _UnusableError(f"{megapixels:.0f} megapixels, more than {MAX_MEGAPIXELS}")
                picture = _rgba(ImageOps.exif_transpose(opened))
    except _UnusableError:
        raise
    except Image.DecompressionBombError:
        raise _UnusableError(f"more than {MAX_MEGAPIXELS} megapixels") from None
    except UnidentifiedImageError:
        raise _UnusableError("not a picture") from None
    # Decoders of broken files raise nearly anything: OSError, SyntaxError, ValueError, struct.error, zlib.error, ...
    except Exception as error:
        raise _UnusableError(f"broken: {error}") from None
    return _square(picture), colour.colour_histogram(colour.foreground_pixels(np.asarray(picture)))


def _rgba(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):  # Pillow would clip 16-bit grey to white, not scale it
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGBA")
    return picture.convert("RGBA")


def _square(picture: Image.Image) -> NDArray[np.uint8]:
    """RGBA on white, (224, 224, 3); scaled before it is padded, so that a thin strip never becomes a huge square."""
    side = efficientnet.INPUT_SIZE
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    on_white = Image.new("RGBA", picture.size, "white")
    on_white.alpha_composite(picture)
    square = Image.new("RGB", (side, side), "white")
    scaled = on_white.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    square.paste(scaled, ((side - width) // 2, (side - height) // 2))
    return np.asarray(square)


def _encode(
    encoder: efficientnet.EfficientNetLite0, pictures: Sequence[NDArray[np.uint8]], device: torch.device | str
) -> NDArray[np.float32]:
    pixels = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 255.0
    with torch.no_grad():
        features = encoder((pixels - efficientnet.PIXEL_MEAN) / efficientnet.PIXEL_SCALE)
    result: NDArray[np.float32] = features.cpu().numpy()
    return result


class _Cache:
    """Rows of (features, colours) by the SHA-256 of the picture's file, in one safetensors file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: dict[bytes, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._changed = False
        try:
            held = load_file(file)
            entries = zip(held["keys"], held["features"], held["colours"], strict=True)
            self._rows = {key.tobytes(): (features, colours) for key, features, colours in entries}
        except FileNotFoundError:
            pass
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            _log.warning("%s: kept picture features cannot be read (%s) and are computed anew", file, error)

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    def __getitem__(self, key: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._rows[key]

    def add(self, key: bytes, features: NDArray[np.float32], colours: NDArray[np.float32]) -> None:
        self._rows[key] = (features, colours)
        self._changed = True

    def write(self) -> None:
        """Atomically: another process sees the old file or the new one."""
        if not self._changed:
            return
        tensors: dict[str, NDArray[Any]] = {
            "keys": np.stack([np.frombuffer(key, dtype=np.uint8) for key in self._rows]),
            "features": np.stack([features for features, _ in self._rows.values()]),
            "colours": np.stack([colours for _, colours in self._rows.values()]),
        }
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._file.parent) as folder:
                save_file(tensors, Path(folder) / self._file.name)
                os.replace(Path(folder) / self._file.name, self._file)
        except OSError as error:
            raise PolysenseError(
                f"{self._file}: cannot be written ({error.strerror or error}); "
                "free some space, or set POLYSENSE_CACHE to another folder"
            ) from None
        self._changed = False
