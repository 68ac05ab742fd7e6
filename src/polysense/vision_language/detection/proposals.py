"""Regions without a trained detector: boxes by segmentation or a grid, names by a picture classifier."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polysense.errors import PolysenseError
from polysense.vision_language.detection.grouping import grouped_boxes
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.regions import Regions, overlap

Method = Literal["segments", "grid", "both"]
METHODS: tuple[Method, ...] = get_args(Method)

MOST = 36
LARGEST = 0.8
"""A candidate whose box is a larger share of the picture is background, or the whole, which is there anyway."""
LEAST_SIDE = 4
"""Pixels."""
MOST_OVERLAP = 0.5
"""Of two candidates with a larger intersection over union the worse is dropped."""
TAG_PROBABILITY = 0.35
"""A region whose likeliest class is less probable than this has no tag."""
WINDOW_SHARES = (0.5, 0.34)
"""Sides of the grid's windows, as shares of the picture's."""
_VERSION = 2  # raised with any change that alters a region


class ProposalDetector:
    """Regions of any picture, without training and without a download.

    The first region is the whole picture. Then come, at most `most` in all,

    - "segments": groups of segments (`grouping.grouped_boxes`) of sensible size, after non-maximum suppression;
    - "grid": 3 x 3 windows of half the picture's sides and 3 x 3 of about a third, which overlap;
    - "both": segments for half of the places, then windows, then more segments.

    A tag is the likeliest ImageNet class of a crop; its probability is the region's score.

    Args:
        method: see above.
        most: regions a picture, the whole picture included; at least 1.
        features: of the crops; None: `RegionFeatures.pretrained()`.

    Raises:
        PolysenseError: an unknown method, `most` below 1, or a package is missing.
    """

    def __init__(
        self, method: Method = "segments", *, most: int = MOST, features: RegionFeatures | None = None
    ) -> None:
        if method not in METHODS:
            raise PolysenseError(f"proposals by {method!r}; choose one of {', '.join(METHODS)}")
        if most < 1:
            raise PolysenseError(f"proposals: at most {most} regions; give 1 or more")
        self._method, self._most = method, most
        self._features = features if features is not None else RegionFeatures.pretrained()

    @property
    def width(self) -> int:
        """1,344: see `RegionFeatures`."""
        return self._features.width

    @property
    def identity(self) -> str:
        """Method, number, version of this code, and the features'."""
        return f"{self._method}-{self._most}-{_VERSION}-{self._features.identity}"

    def boxes(self, picture: Image.Image) -> NDArray[np.float32]:
        """The boxes alone, (R, 4); the whole picture first."""
        width, height = picture.size
        whole = np.array([[0, 0, width, height]], dtype=np.float32)
        if self._method == "grid":
            candidates = _windows(width, height)
        else:
            candidates = _suppressed(_sensible(grouped_boxes(picture), width, height), self._most - 1)
            if self._method == "both":
                first = self._most // 2
                windows = _windows(width, height)
                candidates = np.concatenate([candidates[:first], windows, candidates[first:]])
                candidates = _suppressed(candidates, self._most - 1)
        return np.concatenate([whole, candidates[: self._most - 1]])

    def detect(self, picture: Image.Image) -> Regions:
        """The regions of an RGB picture."""
        boxes = self.boxes(picture)
        seen, names = self._features.encode_and_name(self._features.crops(picture, boxes))
        tags = tuple(name if probability >= TAG_PROBABILITY else "" for name, probability in names)
        scores = np.array([probability for _, probability in names], dtype=np.float32)
        return Regions(seen, boxes, picture.width, picture.height, tags, scores)


def _windows(width: int, height: int) -> NDArray[np.float32]:
    starts = [(x / 2, y / 2, share) for share in WINDOW_SHARES for y in range(3) for x in range(3)]
    shares = np.array([[x * (1 - s), y * (1 - s), x * (1 - s) + s, y * (1 - s) + s] for x, y, s in starts])
    boxes: NDArray[np.float32] = (shares.clip(0, 1) * [width, height, width, height]).astype(np.float32)
    return boxes


def _sensible(boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes[(sides.min(axis=1) >= LEAST_SIDE) & (sides.prod(axis=1) <= LARGEST * width * height)]


def _suppressed(boxes: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """The first of the boxes and those after it that overlap none that was kept by too much; at most `most`."""
    kept = np.zeros((0, 4), dtype=np.float32)
    for box in boxes:
        if len(kept) == most:
            break
        if overlap(box[None], kept).max(initial=0.0) <= MOST_OVERLAP:
            kept = np.concatenate([kept, box[None]])
    return kept
