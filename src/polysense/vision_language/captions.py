"""Captions and regions to pre-train on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from polysense.errors import PolysenseError
from polysense.vision_language.annotations import read_captions, read_region_captions
from polysense.vision_language.annotations.records import Record, read_json, reading
from polysense.vision_language.examples import Caption
from polysense.vision_language.region_files import open_regions, write_regions
from polysense.vision_language.regions import Regions, RegionSource

REGIONS_FILE = "regions.h5"
HELD_IN_MEMORY = 2**32
"""Bytes; a larger file of regions is read picture by picture."""


def read_caption_folder(
    folder: Path, captions: Path | None = None, regions: Path | None = None
) -> tuple[list[Caption], RegionSource, str]:
    """Captions, regions, and the detector that makes such regions ("" where nothing says so).

    Args:
        folder: with captions.json and regions.h5, where the two are not named.
        captions: COCO's captions, or Visual Genome's region descriptions; the content tells which.
        regions: any file that `open_regions` reads.
    """
    file = captions or folder / "captions.json"
    read = read_region_captions if _is_list(file) else read_captions
    source = regions or folder / REGIONS_FILE
    beside = detector_file(source)
    detector = Record(str(beside), read_json(beside)).text("detector") if beside.is_file() else ""
    return read(file), load_regions(source), detector


def _is_list(file: Path) -> bool:
    """Whether a JSON file is a list, as Visual Genome's are; COCO's are objects."""
    with reading(file.expanduser()) as stream:
        return stream.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def detector_file(regions: Path) -> Path:
    """Beside a file of regions, e.g. regions.detector.json: {"detector": NAME}, what makes such of plain pictures."""
    return regions.with_suffix(".detector.json")


def load_regions(file: Path) -> RegionSource:
    """Any file that `open_regions` reads; HDF5 is held in memory where it fits, which is quicker by far."""
    file = file.expanduser()
    hdf5 = file.suffix.lower() in (".h5", ".hdf5") and file.is_file()
    return open_regions(file, in_memory=hdf5 and file.stat().st_size <= HELD_IN_MEMORY)


def convert_regions(
    regions: Path,
    output: Path,
    *,
    tag_names: Path | None = None,
    sizes: Path | None = None,
    ids_file: Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Write any file or folder of regions as the HDF5 that is read quickest, with the names of its tags.

    Args:
        tag_names, sizes, ids_file: what the published file does not hold (see `open_regions`).

    Returns:
        `output`, the count of pictures and of those with a tag, and the width of the features.

    Raises:
        PolysenseError: a file cannot be read, an option that its format has not, or `output` cannot be written.
    """
    source = open_regions(regions, sizes=sizes, ids_file=ids_file, tag_names=tag_names)
    tagged = 0

    def read() -> Iterator[tuple[str, Regions]]:
        nonlocal tagged
        for name in tqdm(source, desc="regions", unit="picture", total=len(source), disable=not progress, leave=False):
            found = source[name]
            tagged += any(found.tags)
            yield name, found

    write_regions(output, read())
    return {"regions": str(output), "pictures": len(source), "with_tags": tagged, "width": source.width}


def take_share(captions: Sequence[Caption], share: float) -> list[Caption]:
    """The captions of the first pictures, `share` of them.

    Raises:
        PolysenseError: a share that is not above 0 and at most 1, or too small for one picture.
    """
    if not 0 < share <= 1:
        raise PolysenseError(f"share must be above 0 and at most 1, not {share}")
    pictures = list(dict.fromkeys(c.picture for c in captions))
    kept = set(pictures[: round(share * len(pictures))])
    if not kept:
        raise PolysenseError(f"share {share} of {len(pictures)} pictures is none; give a larger one")
    return [c for c in captions if c.picture in kept]
