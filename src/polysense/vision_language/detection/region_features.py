"""What a region of a picture looks like, as numbers: a small picture encoder's features and the region's colours."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from polysense.pictures import colour, efficientnet
from polysense.pictures.efficientnet import EfficientNetLite0
from polysense.vision_language.detection.imagenet_names import imagenet_names

SIDE = 96
BATCH = 64
PART_NORM = 16.0
"""The length that each of the two parts is scaled to, so that neither drowns the other."""
LEAST_CROP = 6
"""Pixels; a smaller box is grown to this, as far as its picture allows, since less shows no shape."""
COLOUR_GRID = 16
"""A crop's colours are read at COLOUR_GRID x COLOUR_GRID of its pixels, evenly spread."""

TEMPERATURES = ((96.0, 224.0), (3.0, 1.0))
"""Sides of crops, and what logits are divided by there, linear between.

The network learnt on pictures of 224 pixels; on smaller ones its logits are far too large. Divided so, a name is right
about as often as its probability says (objects of COCO photos).
"""
_VERSION = 1  # raised with any change that alters a feature


class RegionFeatures:
    """Features and ImageNet names of crops.

    A feature has two parts, each L2-normalised and scaled to the length `PART_NORM`: EfficientNet-Lite0's 1,280 pooled
    features, and the square root of the 64-bin colour histogram (the root makes the dot product of two histograms
    their Bhattacharyya coefficient). The second is there because features learnt on ImageNet lose colour.

    The network runs in bfloat16 on the CPU, in batches of `BATCH`: nearly twice as fast as float32, and its rounding is
    far below the differences between regions. One object can be pickled, so a spawned process can take it.
    """

    def __init__(self, encoder: EfficientNetLite0, side: int = SIDE) -> None:
        self._encoder = encoder.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.side = side

    @classmethod
    def pretrained(cls, side: int = SIDE) -> RegionFeatures:
        """With the ImageNet weights.

        Args:
            side: of the crops, in pixels.

        Raises:
            PolysenseError: the package that carries the weights is not installed.
        """
        return cls(EfficientNetLite0.pretrained(), side)

    @property
    def width(self) -> int:
        """1,344: 1,280 features and 64 colours."""
        return efficientnet.WIDTH + colour.WIDTH

    @property
    def identity(self) -> str:
        """The same for objects that give the same features of the same crops."""
        return f"lite0-{self.side}-{_VERSION}"

    def crops(self, picture: Image.Image, boxes: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The boxes' parts of a picture, each stretched to a square.

        Args:
            picture: RGB.
            boxes: (R, 4), (x1, y1, x2, y2) in pixels, inside the picture; one smaller than `LEAST_CROP` is grown.

        Returns:
            (R, side, side, 3), by bilinear interpolation with antialiasing.
        """
        found = np.empty((len(boxes), self.side, self.side, 3), dtype=np.uint8)
        for i, (x1, y1, x2, y2) in enumerate(np.asarray(boxes, dtype=np.float64)):
            left, right = _grown(x1, x2, picture.width)
            top, bottom = _grown(y1, y2, picture.height)
            # Cut out first: interpolation would look over a box's edge.
            crop = picture.crop((left, top, right, bottom))
            found[i] = np.asarray(crop.resize((self.side, self.side), Image.Resampling.BILINEAR))
        return found

    def encode(self, crops: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Crops (N, side, side, 3) RGB to features (N, 1344)."""
        found = np.empty((len(crops), self.width), dtype=np.float16)
        for start, seen in self._seen(crops):
            found[start : start + BATCH] = _joined(seen, crops[start : start + BATCH])
        return found

    def names(self, crops: NDArray[np.uint8]) -> list[tuple[str, float]]:
        """The likeliest ImageNet class of each crop (N, side, side, 3), and its probability."""
        return [name for _, seen in self._seen(crops) for name in self._named(seen)]

    def encode_and_name(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float16], list[tuple[str, float]]]:
        """`encode` and `names` of crops (N, side, side, 3) in one pass."""
        found = np.empty((len(crops), self.width), dtype=np.float16)
        names: list[tuple[str, float]] = []
        for start, seen in self._seen(crops):
            found[start : start + BATCH] = _joined(seen, crops[start : start + BATCH])
            names += self._named(seen)
        return found, names

    def _seen(self, crops: NDArray[np.uint8]) -> Iterator[tuple[int, Tensor]]:
        """Each batch's first index and pooled features (n, 1280), float32."""
        for start in range(0, len(crops), BATCH):
            yield start, self._features(crops[start : start + BATCH])

    @torch.inference_mode()
    def _features(self, crops: NDArray[np.uint8]) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2)  # a view, so channels lie last
        scaled = (pixels.float() / 255.0 - efficientnet.PIXEL_MEAN) / efficientnet.PIXEL_SCALE
        with torch.autocast("cpu", dtype=torch.bfloat16):
            seen: Tensor = self._encoder(scaled)
        return seen.float()

    @torch.inference_mode()
    def _named(self, seen: Tensor) -> list[tuple[str, float]]:
        temperature = float(np.interp(self.side, *TEMPERATURES))
        best = (self._encoder.logits(seen) / temperature).softmax(dim=1).max(dim=1)
        table = imagenet_names()
        return [(table[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def _grown(low: float, high: float, limit: int) -> tuple[int, int]:
    """The whole pixels that a span touches: at least `LEAST_CROP`, or all there are, about it and inside 0..limit."""
    start, end = max(math.floor(low), 0), min(math.ceil(high), limit)
    missing = max(min(LEAST_CROP, limit) - (end - start), 0)
    start = min(max(start - missing // 2, 0), limit - (end - start) - missing)
    return start, max(end, start + min(LEAST_CROP, limit))


def _joined(seen: Tensor, crops: NDArray[np.uint8]) -> NDArray[np.float16]:
    at = np.linspace(0, crops.shape[1] - 1, COLOUR_GRID).round().astype(np.int64)
    sampled = crops[:, at][:, :, at].reshape(len(crops), -1, 3)
    colours = np.sqrt(colour.colour_histograms(sampled))
    return np.concatenate([_scaled(seen.numpy()), _scaled(colours)], axis=1).astype(np.float16)


def _scaled(part: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(part, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = part * (PART_NORM / np.maximum(lengths, 1e-6))
    return scaled
