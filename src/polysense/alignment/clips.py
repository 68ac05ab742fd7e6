"""Clips: from files and folders of frames to what is seen, how it moves, and its colours."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polysense.alignment.frames import Frame, clip_frames, read_clip
from polysense.alignment.media import MediaFeatures, Medium, Parts, media_features
from polysense.alignment.pictures import encode_pixels
from polysense.pictures import efficientnet
from polysense.pictures.opening import ENDINGS as PICTURES

ENDINGS = PICTURES | {".apng", ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"}
"""File names of a folder that count as clips, in lower case."""
VERSION = 1
"""See `Medium.version`."""
BATCH = 4


def clip_features(files: Sequence[Path], *, progress: bool = False, cache: Path | None = None) -> MediaFeatures:
    """What is seen in clips, how it moves, and their colours.

    Videos, moving pictures, folders of numbered pictures, and still pictures as clips of one frame (`frames`), each as
    `frames.FRAMES` frames at evenly spaced instants. What is missing, empty, broken, cut off or too large is left out,
    with one warning for all.

    Args:
        files: paths of files and of folders of frames.
        progress, cache: as in `media_features`.

    Returns:
        The parts "seen" (n, 1280), the mean over the instants of EfficientNet-Lite0's features of the frame on show;
        "motion" (n, 1280), see `motion`; and "colours" (n, 64), the mean of the frames' histograms of colours, each
        summing to 1. "seen" and "colours" of a still picture are those of `picture_features`.

    Raises:
        PolysenseError: the encoder's weights are not installed, no file could be read, or the cache cannot be written.
    """
    encoder = functools.cache(efficientnet.EfficientNetLite0.pretrained)

    def encode(decoded: list[list[tuple[Frame, int]]]) -> Parts:
        features = encode_pixels(encoder(), np.stack([pixels for clip in decoded for (pixels, _), _ in clip]))
        by_clip = np.split(features, np.cumsum([len(clip) for clip in decoded])[:-1])
        times = [[times for _, times in clip] for clip in decoded]
        instants = [np.repeat(rows, counts, axis=0) for rows, counts in zip(by_clip, times, strict=True)]
        colours = [np.average([c for (_, c), _ in clip], axis=0, weights=[t for _, t in clip]) for clip in decoded]
        return {
            "seen": np.stack([rows.mean(axis=0) for rows in instants]),
            "motion": np.stack([motion(rows) for rows in instants]),
            "colours": np.stack(colours).astype(np.float32),
        }

    formats = "mp4, mov, avi, mkv, webm, GIF, WebP or PNG"
    medium = Medium("clip", ("seen", "motion", "colours"), VERSION, formats, BATCH, clip_frames, encode, read_clip)
    return media_features(medium, files, progress=progress, cache=cache)


def motion(instants: NDArray[np.float32]) -> NDArray[np.float32]:
    """How the features (t, width) of a clip's instants change from one to the next: the mean absolute difference.

    Returns:
        (width,), not negative; zero for a clip that stands still.
    """
    result: NDArray[np.float32] = np.abs(np.diff(instants, axis=0)).mean(axis=0)
    return result
