"""From many pictures to one file of regions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from polysense.errors import PolysenseError
from polysense.pictures.opening import ENDINGS, open_picture
from polysense.vision_language.detection.detector import Detector
from polysense.vision_language.detection.exact import exact_regions
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.region_files import write_regions
from polysense.vision_language.regions import Regions

Picture = Path | Callable[[], bytes]
"""A picture's file, or what reads its bytes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Objects:
    """The known objects of a picture: boxes (R, 4), (x1, y1, x2, y2) in pixels, and R tags."""

    boxes: NDArray[np.floating]
    tags: Sequence[str]


def picture_files(folder: Path) -> dict[str, Path]:
    """The pictures in a folder and its subfolders, sorted by path, by their files' names without ending.

    Raises:
        PolysenseError: there is no such folder, no picture in it, or two of one name.
    """
    if not folder.is_dir():
        raise PolysenseError(f"{folder}: no such folder; give a folder of pictures")
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in ENDINGS or not file.is_file():
            continue
        if file.stem in found:
            raise PolysenseError(
                f"{folder}: {found[file.stem].relative_to(folder)} and {file.relative_to(folder)} have the same name; "
                "pictures are called by it, so rename one"
            )
        found[file.stem] = file
    if not found:
        raise PolysenseError(f"{folder}: there is no picture in it; give a folder of PNG, JPEG, WebP, ... files")
    return found


def extract_regions(pictures: Mapping[str, Picture], detector: Detector, file: Path, *, progress: bool = True) -> None:
    """Write what a detector finds in pictures to an HDF5 file, which `open_regions` reads.

    A picture that cannot be read is left out; one warning tells how many and why.

    Args:
        pictures: by the name that their regions get.
        file: written whole or not at all; what is there is replaced.
        progress: show a bar over the pictures.

    Raises:
        PolysenseError: no picture could be read, or the file cannot be written.
    """
    write_regions(file, _extracted(pictures, lambda _, picture: detector.detect(picture), progress))


def extract_exact_regions(
    pictures: Mapping[str, Picture],
    objects: Mapping[str, Objects],
    features: RegionFeatures,
    file: Path,
    *,
    progress: bool = True,
) -> None:
    """`extract_regions` of pictures whose objects are known; a picture with a bad box is left out, too.

    Args:
        objects: by the pictures' names, for each of them.
    """

    def find(name: str, picture: Image.Image) -> Regions:
        return exact_regions(picture, objects[name].boxes, objects[name].tags, features)

    write_regions(file, _extracted(pictures, find, progress))


def _extracted(
    pictures: Mapping[str, Picture], find: Callable[[str, Image.Image], Regions], progress: bool
) -> Iterator[tuple[str, Regions]]:
    left_out: list[str] = []
    for name, source in tqdm(pictures.items(), desc="regions", unit="picture", disable=not progress, leave=False):
        try:
            picture = open_picture(source if isinstance(source, Path) else source(), name=name)
            found = find(name, picture)
        except PolysenseError as error:
            text = str(error)
            left_out.append(text if text.startswith(f"{name}: ") else f"{name}: {text}")
            continue
        yield name, found
    shown = "; ".join(left_out[:5]) + (f"; and {len(left_out) - 5} more" if len(left_out) > 5 else "")
    if len(left_out) == len(pictures):
        if not pictures:
            raise PolysenseError("regions: there are no pictures; give at least one")
        raise PolysenseError(f"none of the {len(pictures)} pictures gave regions: {shown}")
    if left_out:
        _log.warning("%d of %d pictures are left out: %s", len(left_out), len(pictures), shown)
