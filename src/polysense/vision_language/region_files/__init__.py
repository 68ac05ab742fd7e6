"""Precomputed region features in the formats in which extractors publish them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from polysense.errors import PolysenseError
from polysense.vision_language.region_files.npz import NpzRegions
from polysense.vision_language.region_files.object_names import read_object_names
from polysense.vision_language.region_files.source import Sizes, load_sizes
from polysense.vision_language.region_files.tsv import TsvRegions
from polysense.vision_language.regions import Regions, RegionSource

__all__ = ["open_regions", "write_regions"]

_HDF5_START = b"\x89HDF\r\n\x1a\n"


def open_regions(
    path: Path | str,
    *,
    sizes: Sizes | Path | str | None = None,
    ids_file: Path | str | None = None,
    tag_names: Path | str | None = None,
    in_memory: bool = False,
) -> RegionSource:
    """Open a file or folder of regions: HDF5, TSV (maybe gzipped), a folder of NPZ files, or LMDB.

    The format is told by the content of a folder, the first bytes of HDF5, or the ending.

    Args:
        sizes: (width, height) in pixels by picture, or a file that has them (COCO's `images`, Visual Genome's
            image_data.json); for layouts that do not hold the pictures' sizes.
        ids_file: HDF5 only: which row each picture has (see `Hdf5Regions`).
        tag_names: the detector's class names, one a line (see `read_object_names`); for all but HDF5, whose tags are
            in the file. Without it regions have no tags.
        in_memory: HDF5 only: hold the whole file in memory.

    Raises:
        PolysenseError: no such file or folder, an unknown or damaged format, or an option that the format has not.
    """
    path = Path(path).expanduser()
    kind = _kind(path)
    if kind != "HDF5" and (ids_file is not None or in_memory):
        option = "in_memory" if in_memory else "ids_file"
        raise PolysenseError(
            f"{path}: {option} is for HDF5, not {kind}; leave it out, or write HDF5 with write_regions"
        )
    if kind == "HDF5":
        if tag_names is not None:
            raise PolysenseError(f"{path}: tag_names is not for HDF5, whose tags are in the file; leave it out")
        with _extra(path):
            from polysense.vision_language.region_files.hdf5 import Hdf5Regions
        return Hdf5Regions(path, sizes=load_sizes(sizes), ids_file=ids_file, in_memory=in_memory)
    names = None if tag_names is None else read_object_names(tag_names)
    if kind == "TSV":
        if sizes is not None:
            raise PolysenseError(f"{path}: sizes is not for TSV, which has the pictures' sizes; leave it out")
        return TsvRegions(path, object_names=names)
    if kind == "NPZ":
        return NpzRegions(path, sizes=load_sizes(sizes), object_names=names)
    with _extra(path):
        from polysense.vision_language.region_files.lmdb import LmdbRegions
    return LmdbRegions(path, sizes=load_sizes(sizes), object_names=names)


def write_regions(file: Path | str, regions: Iterable[tuple[str, Regions]]) -> None:
    """Write the regions of pictures as HDF5, holding a few pictures at a time; the file is whole or not there.

    Features are stored as float16. `open_regions` reads the file back, pictures in the same order.

    Raises:
        PolysenseError: a picture is there twice, widths differ, a feature is too large for float16 (65,504), there is
            no picture, or the file cannot be written. What `regions` raises goes through.
    """
    file = Path(file).expanduser()
    with _extra(file):
        from polysense.vision_language.region_files.hdf5_writer import write_hdf5
    write_hdf5(file, regions)


@contextmanager
def _extra(path: Path) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise PolysenseError(f"{path}: region files need {error.name}: pip install 'polysense[vl]'") from error


def _kind(path: Path) -> str:
    try:
        if path.is_dir():
            return "LMDB" if (path / "data.mdb").exists() else "NPZ"
        with path.open("rb") as stream:
            if stream.read(len(_HDF5_START)) == _HDF5_START:
                return "HDF5"
    except FileNotFoundError:
        raise PolysenseError(f"{path}: no such file or folder; check the path") from None
    except OSError as error:
        raise PolysenseError(f"{path}: cannot be read ({error.strerror or error}); check its rights") from None
    name = path.name.lower()
    if name.endswith((".h5", ".hdf5")):
        return "HDF5"
    if ".tsv" in name:  # also .tsv.gz, and parts as in train.tsv.1
        return "TSV"
    if name.endswith((".mdb", ".lmdb")):
        return "LMDB"
    raise PolysenseError(
        f"{path}: unknown kind of region file; give .h5, .tsv (maybe .gz), a folder of .npz, or an LMDB folder"
    )
