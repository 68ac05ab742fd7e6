"""Regions of data that come with boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.regions import Regions, inside


def exact_regions(
    picture: Image.Image, boxes: NDArray[np.floating], tags: Sequence[str], features: RegionFeatures
) -> Regions:
    """Known objects of an RGB picture, with features of their crops and a score of 1.

    Args:
        boxes: (R, 4), (x1, y1, x2, y2) in pixels; what is outside the picture by up to 2 pixels is cut off.
        tags: R names, "" where there is none.

    Raises:
        PolysenseError: a box is empty or further outside, or boxes and tags are not equally many.
    """
    cut = inside(boxes, picture.width, picture.height)
    seen = features.encode(features.crops(picture, cut))
    return Regions(seen, cut, picture.width, picture.height, tuple(tags), np.ones(len(cut), dtype=np.float32))
