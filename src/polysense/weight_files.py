"""Files of weights that torch unpickles, looked through before: what they unpack to, ask for and copy."""

from __future__ import annotations

import mmap
import os
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor
from transformers.utils import (
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
)

from polysense.errors import PolysenseError
from polysense.folder import read_json
from polysense.pickles import PER_BYTE, UnpackingError, check_pickle
from polysense.unpacking import most_unpacked, read_entry

# What `weights_only` lets a pickle call, and what makes of a few bytes as many as it likes.
_MULTIPLYING = ("bytearray", "encode", "_rebuild_device_tensor_from_cpu_tensor")
_OLD_PICKLES = 5  # in front of the numbers: two of the format, the machine's, the state dict, and its storages
_END, _FAR_END, _FAR_PLACE = 22, 56, 20  # bytes of what closes a zip, and of its larger kind with the place of that


def check_weights(file: Path) -> None:
    """Look through a file of `torch.save`, zipped or old, before `torch.load` reads it.

    Raises:
        PolysenseError: it would take far more memory than its size.
        ValueError, OSError, zipfile.BadZipFile, ...: a damaged file; as many kinds as there are ways to be damaged.
    """
    most = most_unpacked(file.stat().st_size)
    try:
        with file.open("rb") as stream:
            names = _zipped(stream, most) if stream.read(4) == b"PK\x03\x04" else _old(stream, most)
        if found := [name for name in names if name.rpartition(".")[2] in _MULTIPLYING]:
            raise UnpackingError(f"it asks for {found[0]}, which can fill the memory")
    except UnpackingError as error:
        raise _refused(file, str(error)) from None


def check_sum(file: Path, tensors: Iterable[Tensor]) -> None:
    """Many tensors may show the same few numbers of a file, and each becomes one of its own, of float32.

    Raises:
        PolysenseError: together they are far larger than the file.
    """
    held = sum(tensor.numel() for tensor in tensors) * torch.float32.itemsize
    if held > most_unpacked(file.stat().st_size):
        raise _refused(file, f"its weights would take {held / 2**30:.3g} GiB of memory")


def check_weight_files(folder: Path) -> None:
    """Look through the files that transformers would unpickle for a model's weights; anything but a folder has none.

    Raises:
        PolysenseError: one would take far more memory than its size.
        Exception: as many kinds as there are ways to be damaged, which `hub_errors` makes a `PolysenseError`.
    """
    for file in map(folder.joinpath, sorted(_unpickled(folder))):
        if os.path.isfile(file):
            check_weights(file)
            # Shapes alone; the pickle has been looked through.
            state = torch.load(file, map_location="meta", weights_only=True)  # noqa: TID251
            if isinstance(state, Mapping):
                check_sum(file, (value for value in state.values() if isinstance(value, Tensor)))


def _unpickled(folder: Path) -> set[str]:
    """Names of files; whatever does not end as safetensors do is unpickled."""
    if os.path.isfile(folder / SAFE_WEIGHTS_NAME):
        return set()
    names = {WEIGHTS_NAME}
    for index in (SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_INDEX_NAME):
        if os.path.isfile(folder / index):
            names.update(read_json(folder / index)["weight_map"].values())
    return {name for name in names if not name.endswith(".safetensors")}


def _refused(file: Path, reason: str) -> PolysenseError:
    return PolysenseError(f"{file}: {reason}, as no model's do; get the model again, best as safetensors")


def _zipped(stream: BinaryIO, most: int) -> set[str]:
    """What the pickles of a zip ask for by name."""
    _check_end(stream)
    names: set[str] = set()
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        if (held := sum(entry.file_size for entry in entries)) > most:
            raise UnpackingError(f"it unpacks to {held / 2**30:.3g} GiB")
        if len({entry.filename.lower() for entry in entries}) < len(entries):
            raise zipfile.BadZipFile("an entry is there twice")
        for entry in entries:
            if entry.filename.lower().endswith("data.pkl"):
                if entry.file_size * PER_BYTE > most:
                    raise UnpackingError(f"its pickle unpacks to {entry.file_size / 2**20:.3g} MiB")
                names |= check_pickle(read_entry(archive, entry), most)[1]
    return names


def _check_end(stream: BinaryIO) -> None:
    """The list of entries ends where the end of a zip says so: else torch could find another list than `zipfile`."""
    stream.seek(-_END, os.SEEK_END)
    behind = stream.tell()
    kind, size, begin, comment = struct.unpack("<4s8xIIH", stream.read(_END))
    if behind >= _FAR_END + _FAR_PLACE:
        stream.seek(behind - _FAR_PLACE)
        far, place = struct.unpack("<4s4xQ4x", stream.read(_FAR_PLACE))
        if far == b"PK\x06\x07":
            behind -= _FAR_END + _FAR_PLACE
            stream.seek(behind)
            size, begin = struct.unpack("<40xQQ", stream.read(_FAR_END))
            begin = begin if place == behind else -1
    if kind != b"PK\x05\x06" or comment or begin + size != behind:
        raise zipfile.BadZipFile("its list of entries is not in its place")


def _old(stream: BinaryIO, most: int) -> set[str]:
    """What the pickles at the start of an old file ask for by name."""
    names: set[str] = set()
    place = 0
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _ in range(_OLD_PICKLES):
            place, found = check_pickle(data, most, place)
            names |= found
    return names
