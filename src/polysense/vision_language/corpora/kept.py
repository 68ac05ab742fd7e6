"""Pictures in a zip, and their regions, computed once and kept in the cache folder."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from polysense.cache import cache_folder
from polysense.errors import PolysenseError
from polysense.folder import file_digest
from polysense.unpacking import read_entry
from polysense.vision_language.detection.detector import Detector
from polysense.vision_language.detection.extraction import Objects, extract_exact_regions, extract_regions
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.region_files import open_regions
from polysense.vision_language.regions import RegionSource

MAX_MEGABYTES = 64
"""Of one picture in a zip."""

_log = logging.getLogger(__name__)


def kept_regions(
    corpus: str, archive: Path, names: Iterable[str], detector: Detector, *, progress: bool = True
) -> RegionSource:
    """What a detector finds in pictures of a zip, from the cache where it was computed before.

    Args:
        corpus: starts the name of the kept file, `<cache>/vision_language/<corpus>-<digest>.h5`, whose digest is of the
            zip, the names and the detector's identity.
        archive: the zip.
        names: its entries that are wanted; regions get these names.

    Raises:
        PolysenseError: a broken zip, no picture can be read, or the cache cannot be written.
    """
    wanted = sorted(set(names))
    key = [file_digest(archive), *wanted, detector.identity]
    return _kept(
        corpus, key, lambda file: extract_regions(_entries(archive, wanted), detector, file, progress=progress)
    )


def kept_exact_regions(
    corpus: str, archive: Path, objects: Mapping[str, Objects], features: RegionFeatures, *, progress: bool = True
) -> RegionSource:
    """`kept_regions` of pictures whose objects are known, by the pictures' names."""
    key = [file_digest(archive), features.identity]
    for name, known in objects.items():
        key += [name, np.asarray(known.boxes, dtype=np.float32).tobytes().hex(), *known.tags]
    entries = _entries(archive, objects)
    return _kept(corpus, key, lambda file: extract_exact_regions(entries, objects, features, file, progress=progress))


def _kept(corpus: str, key: Iterable[str], extract: Callable[[Path], None]) -> RegionSource:
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
    file = cache_folder() / "vision_language" / f"{corpus}-{digest}.h5"
    if file.exists():
        try:
            return open_regions(file)
        except PolysenseError as error:
            _log.warning("%s; the regions are computed anew", error)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PolysenseError(
            f"{file.parent}: cannot be made ({error.strerror or error}); set POLYSENSE_CACHE to another folder"
        ) from None
    extract(file)
    return open_regions(file)


def _entries(archive: Path, names: Iterable[str]) -> dict[str, Callable[[], bytes]]:
    try:
        opened = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise PolysenseError(f"{archive}: not a zip that can be read ({error}); copy it again") from None
    return {name: partial(_read, opened, archive, name) for name in names}


def _read(opened: zipfile.ZipFile, archive: Path, name: str) -> bytes:
    try:
        entry = opened.getinfo(name)
        if (size := entry.file_size) > MAX_MEGABYTES * 2**20:
            raise PolysenseError(f"{archive}, {name}: {size / 2**20:.0f} MiB, more than {MAX_MEGABYTES}; scale it down")
        return read_entry(opened, entry)
    except KeyError:
        raise PolysenseError(f"{archive}: there is no {name} in it; add it or leave its rows out") from None
    except Exception as error:  # zipfile and zlib raise many kinds over a damaged entry
        if isinstance(error, PolysenseError):
            raise
        raise PolysenseError(f"{archive}, {name}: broken ({error}); copy the zip again") from None
