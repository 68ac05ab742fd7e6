"""Boxes that may hold an object, by grouping a picture's segments: a small selective search.

Uijlings, van de Sande, Gevers and Smeulders, "Selective search for object recognition" (IJCV 2013), without its
textures and colour spaces: segments of Felzenszwalb and Huttenlocher (IJCV 2004) are merged, the most similar
neighbours first, and every group on the way is a candidate.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polysense.errors import PolysenseError

WORKING_PIXELS = 40_000
"""A larger picture is segmented at about this size: edges of objects survive it and the time stays bounded."""
SCALES = (200.0, 500.0)
"""Felzenszwalb's k, at which segmentations start; a larger one prefers larger segments."""
LEAST_SEGMENT = 24
"""Pixels at the working size."""
_BINS = 16

_Box = tuple[int, int, int, int]


@dataclass
class _Group:
    box: _Box
    size: int
    colours: NDArray[np.float64]  # (3 * _BINS,), summing to 1
    neighbours: set[int]


def grouped_boxes(picture: Image.Image) -> NDArray[np.float32]:
    """Candidate boxes (N, 4) of an RGB picture, in its pixels, the best first.

    Large groups that fill their boxes come first (share of the box filled x root of the size): of the ranks tried on
    photos (salience, order of merging, size, ...) the one that found most objects among the first 36. The whole picture
    is none of them, and a picture of one colour or of fewer than 3 pixels a side has none.

    Raises:
        PolysenseError: scikit-image is not installed.
    """
    shrink = min(1.0, (WORKING_PIXELS / (picture.width * picture.height)) ** 0.5)
    size = (max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink)))
    small = picture if size == picture.size else picture.resize(size, Image.Resampling.BILINEAR)
    if min(size) < 3:
        return np.zeros((0, 4), np.float32)
    pixels = np.asarray(small)
    groups = [group for scale in SCALES for group in _groups(pixels, scale)]
    groups.sort(key=lambda group: -(group.size**1.5) / _area(group.box))
    boxes = np.array([group.box for group in groups], dtype=np.float32).reshape(-1, 4)
    back = np.array([picture.width / size[0], picture.height / size[1]] * 2, dtype=np.float32)
    # Rounding may carry a box a hair over the edge.
    return (boxes * back).clip(0, np.array([picture.width, picture.height] * 2, dtype=np.float32))


def _groups(pixels: NDArray[np.uint8], scale: float) -> list[_Group]:
    """The segments and all groups that they are merged to, but the last, which is the whole picture."""
    live = _segments(pixels, scale)
    total = pixels.shape[0] * pixels.shape[1]
    names = itertools.count(len(live))
    found = list(live.values()) if len(live) > 1 else []
    queue = [
        (-_similarity(group, live[other], total), i, other)
        for i, group in live.items()
        for other in group.neighbours
        if i < other
    ]
    heapq.heapify(queue)
    while queue:
        _, i, j = heapq.heappop(queue)
        if i not in live or j not in live:  # one of them has been merged since
            continue
        merged = _merged(live.pop(i), live.pop(j), {i, j})
        new = next(names)
        for other in merged.neighbours:
            live[other].neighbours -= {i, j}
            live[other].neighbours.add(new)
            heapq.heappush(queue, (-_similarity(live[other], merged, total), other, new))
        live[new] = merged
        if len(live) > 1:
            found.append(merged)
    return found


def _segments(pixels: NDArray[np.uint8], scale: float) -> dict[int, _Group]:
    try:
        from skimage.color import rgb2lab
        from skimage.segmentation import felzenszwalb
    except ImportError:
        raise PolysenseError("proposals need scikit-image: pip install 'polysense[vl]'") from None
    labels = felzenszwalb(pixels, scale=scale, sigma=0.6, min_size=LEAST_SEGMENT)
    flat = labels.ravel()
    count = int(flat.max()) + 1
    sizes = np.bincount(flat, minlength=count)
    shares = rgb2lab(pixels) / [100.0, 220.0, 220.0] + np.array([0.0, 0.5, 0.5])
    bins = (shares * _BINS).clip(0, _BINS - 1).astype(np.int64).reshape(-1, 3)
    counts = [np.bincount(flat * _BINS + channel, minlength=count * _BINS).reshape(count, _BINS) for channel in bins.T]
    colours = np.concatenate(counts, axis=1) / (3.0 * sizes[:, None])
    low, high = np.full((count, 2), max(labels.shape)), np.zeros((count, 2), dtype=np.int64)
    places = np.indices(labels.shape).reshape(2, -1).T[:, ::-1]  # x, y
    np.minimum.at(low, flat, places)
    np.maximum.at(high, flat, places + 1)
    groups = {
        i: _Group((int(x1), int(y1), int(x2), int(y2)), int(sizes[i]), colours[i], set())
        for i, (x1, y1, x2, y2) in enumerate(np.concatenate([low, high], axis=1))
    }
    across = np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], axis=1)
    down = np.stack([labels[:-1].ravel(), labels[1:].ravel()], axis=1)
    for i, j in np.unique(np.concatenate([across, down]), axis=0).tolist():
        if i != j:
            groups[i].neighbours.add(j)
            groups[j].neighbours.add(i)
    return groups


def _similarity(one: _Group, other: _Group, total: int) -> float:
    """0 to 3: the colours shared, how small the two are, and how well they fill their common box."""
    both = one.size + other.size
    shared = float(np.minimum(one.colours, other.colours).sum())
    return shared + (1 - both / total) + (1 - (_area(_around(one.box, other.box)) - both) / total)


def _around(one: _Box, other: _Box) -> _Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _area(box: _Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _merged(one: _Group, other: _Group, gone: set[int]) -> _Group:
    size = one.size + other.size
    colours = (one.colours * one.size + other.colours * other.size) / size
    return _Group(_around(one.box, other.box), size, colours, (one.neighbours | other.neighbours) - gone)
