"""What a vision-language model sees of a picture: regions with features, boxes and tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from polysense.errors import PolysenseError

Box = tuple[float, float, float, float]
"""(x1, y1, x2, y2) in pixels, the origin at the top left; x2 and y2 are the far edges."""

LOCATION_WIDTH = 7


@dataclass(frozen=True, eq=False)
class Regions:
    """The R regions of one picture; R may be 0.

    Attributes:
        features: (R, W) float16 or float32.
        boxes: (R, 4) float32, (x1, y1, x2, y2) in pixels, inside the picture.
        width, height: of the picture, in pixels.
        tags: the name of what each region shows, "" where no name is known.
        scores: (R,) how sure the detector was of each tag, 0 to 1; None where it did not say.

    Raises:
        PolysenseError: the parts do not fit each other, a number is not finite, or a box is empty or outside the
            picture (`inside` mends what is only a little outside).
    """

    features: NDArray[np.floating]
    boxes: NDArray[np.float32]
    width: int
    height: int
    tags: Sequence[str]
    scores: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = len(self.tags)
        if self.width < 1 or self.height < 1:
            raise PolysenseError(f"regions: a picture of {self.width} x {self.height} pixels; give its size")
        if self.features.ndim != 2 or self.features.shape[0] != count:
            raise PolysenseError(
                f"regions: features of shape {self.features.shape} for {count} tags; give (regions, W)"
            )
        if self.boxes.shape != (count, 4):
            raise PolysenseError(f"regions: boxes of shape {self.boxes.shape} for {count} tags; give (regions, 4)")
        if self.scores is not None and self.scores.shape != (count,):
            raise PolysenseError(f"regions: scores of shape {self.scores.shape} for {count} tags; give one a region")
        if not np.isfinite(self.features).all() or not np.isfinite(self.boxes).all():
            raise PolysenseError("regions: a feature or a box is not finite; the file is damaged")
        x1, y1, x2, y2 = self.boxes.T
        bad = (x2 <= x1) | (y2 <= y1) | (x1 < 0) | (y1 < 0) | (x2 > self.width) | (y2 > self.height)
        if bad.any():
            box = ", ".join(f"{value:g}" for value in self.boxes[int(bad.argmax())])
            raise PolysenseError(
                f"regions: the box ({box}) is empty or outside its picture of {self.width} x {self.height} pixels; "
                "boxes are x1, y1, x2, y2 in pixels"
            )

    def __len__(self) -> int:
        return len(self.tags)

    @property
    def locations(self) -> NDArray[np.float32]:
        """(R, 7): x1, y1, x2, y2, width, height and area of each box, as shares of the picture's."""
        return locations(self.boxes, self.width, self.height)

    def take(self, chosen: Sequence[int] | NDArray[np.integer]) -> Regions:
        """The chosen regions, in that order."""
        index = np.asarray(chosen, dtype=np.int64)
        return Regions(
            self.features[index],
            self.boxes[index],
            self.width,
            self.height,
            [self.tags[i] for i in index],
            None if self.scores is None else self.scores[index],
        )


class RegionSource(Protocol):
    """Regions of pictures by name; a file that a reader opened, or regions in memory.

    `source[name]` raises `PolysenseError` where there is no such picture or its regions are damaged.
    """

    @property
    def width(self) -> int:
        """W of every picture's features."""

    def __getitem__(self, picture: str, /) -> Regions: ...

    def __contains__(self, picture: object, /) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...


def locations(boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Boxes (R, 4) in pixels to (R, 7): x1, y1, x2, y2, w, h, w * h, as shares of a picture of that size."""
    shares = boxes / np.array([width, height, width, height], dtype=np.float32)
    sides = shares[:, 2:] - shares[:, :2]
    return np.concatenate([shares, sides, sides.prod(axis=1, keepdims=True)], axis=1).astype(np.float32)


def inside(boxes: NDArray[np.floating], width: int, height: int, slack: float = 2.0) -> NDArray[np.float32]:
    """Boxes (R, 4) cut to the picture, for detectors whose boxes lie over its edge by rounding.

    Args:
        slack: how many pixels outside are forgiven.

    Raises:
        PolysenseError: a box lies further outside, or nothing of it is inside.
    """
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    limits = np.array([width, height, width, height], dtype=np.float32)
    cut = boxes.clip(0, limits)
    bad = ~np.isfinite(boxes).all(axis=1) | (np.abs(cut - boxes) > slack).any(axis=1)
    bad |= (cut[:, 2:] <= cut[:, :2]).any(axis=1)
    if bad.any():
        box = ", ".join(f"{value:g}" for value in boxes[int(bad.argmax())])
        raise PolysenseError(
            f"the box ({box}) is empty or outside its picture of {width} x {height} pixels; "
            "boxes are x1, y1, x2, y2 in pixels"
        )
    return cut


def overlap(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float32]:
    """Intersection over union of boxes (N, 4) and others (M, 4): (N, M), 0 to 1."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    other_areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    total = areas[:, None] + other_areas[None, :] - shared
    result: NDArray[np.float32] = (shared / np.maximum(total, 1e-9)).astype(np.float32)
    return result
