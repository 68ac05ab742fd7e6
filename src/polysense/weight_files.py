"""Files of weights that torch unpickles, looked through before: what they unpack to, ask for and copy."""

from __future__ import annotations

import mmap
import os
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.utils import (
    CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
)

from polysense.errors import PolysenseError
from polysense.folder import read_json
from polysense.pickles import PER_BYTE, Call, UnpackingError, check_pickle
from polysense.unpacking import most_unpacked, read_entry

# All that a checkpoint needs. Of what `weights_only` lets a pickle call else, much makes of a few bytes as many as it
# likes: a bytearray of a number, a tensor or a set of a tensor of one number that is shown over and over.
_REBUILD = ("tensor", "tensor_v2", "tensor_v3", "parameter", "parameter_with_state")
_CALLS = {
    Call("collections.OrderedDict", "nothing"),
    Call("collections.OrderedDict", "pairs"),  # Python 2's
    Call("collections.OrderedDict.__setstate__", "dictionary"),  # `_metadata`, which `Module.state_dict` adds
    *(Call(f"torch._utils._rebuild_{what}", given) for what in _REBUILD for given in ("values", "others")),
    # What optimisers and schedules keep.
    *(Call(f"{module}.set", given) for module in ("__builtin__", "builtins") for given in ("pairs", "others")),
    *(Call("collections.Counter", given) for given in ("nothing", "pairs", "others")),
    Call("torch.Size", "plain"),
    Call("torch.device", "plain"),
}
_SAFE, _NAMING = ".safetensors", "transformers_weights"
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
            calls = _zipped(stream, most) if stream.read(4) == b"PK\x03\x04" else _old(stream, most)
    except UnpackingError as error:
        raise _refused(file, str(error)) from None
    if odd := calls - _CALLS:
        raise PolysenseError(
            f"{file}: it calls {max(odd).name[:80]!r}, which a checkpoint has no need of and which is not read; save "
            "its state dict alone, or get the model as safetensors"
        )


def check_sum(file: Path, tensors: Iterable[Tensor]) -> None:
    """Many tensors may show the same few numbers of a file, and each becomes one of its own, of float32.

    Raises:
        PolysenseError: together they are far larger than the file.
    """
    held = sum(tensor.numel() for tensor in tensors) * torch.float32.itemsize
    if held > most_unpacked(file.stat().st_size):
        raise _refused(file, f"its weights would take {held / 2**30:.3g} GiB of memory")


def check_weight_files(
    folder: Path, *, subfolder: str = "", variant: str | None = None, use_safetensors: bool | None = None
) -> None:
    """Look through the files that transformers would unpickle for a model's weights; anything but a folder has none.

    Args:
        subfolder, variant, use_safetensors: as `from_pretrained` takes them.

    Raises:
        PolysenseError: one would take far more memory than its size, or `config.json` or an index names
            files that it should not.
        Exception: as many kinds as there are ways to be damaged, which `hub_errors` makes a `PolysenseError`.
    """
    folder = folder / (subfolder or "")
    if os.path.isfile(folder / CONFIG_NAME):
        _check_configuration(folder)
    for file in map(folder.joinpath, sorted(_unpickled(folder, variant, use_safetensors))):
        if os.path.isfile(file):
            check_weights(file)
            # Shapes alone; the pickle has been looked through.
            state = torch.load(file, map_location="meta", weights_only=True)  # noqa: TID251
            if isinstance(state, Mapping):
                check_sum(file, (value for value in state.values() if isinstance(value, Tensor)))


def _unpickled(folder: Path, variant: str | None, use_safetensors: bool | None) -> set[str]:
    """Names of files, found in the order of transformers; whatever does not end as safetensors do is unpickled."""

    def place(name: str) -> Path:
        stem, end = name.rsplit(".", 1)
        return folder / (name if variant is None else f"{stem}.{variant}.{end}")

    if use_safetensors is not False:
        if os.path.isfile(place(SAFE_WEIGHTS_NAME)):
            return set()
        if os.path.isfile(index := place(SAFE_WEIGHTS_INDEX_NAME)):
            if odd := _pickles_in(index):
                raise PolysenseError(
                    f"{index}: it names {min(odd)!r}, which is no safetensors file; get the model again"
                )
            return set()
    names = {place(WEIGHTS_NAME).name}
    return names | _pickles_in(index) if os.path.isfile(index := place(WEIGHTS_INDEX_NAME)) else names


def _pickles_in(index: Path) -> set[str]:
    return {name for name in read_json(index)["weight_map"].values() if not name.endswith(_SAFE)}


def _check_configuration(folder: Path) -> None:
    """It may name the file of the weights, which transformers reads then: a safetensors file in the folder.

    Raises:
        PolysenseError: it names anything else, or has another setting stand for that one (`attribute_map`).
    """
    configuration = PretrainedConfig.get_config_dict(str(folder))[0]
    values: list[Any] = [configuration]
    for value in values:  # also those that are found on the way
        pairs = list(value.items() if isinstance(value, Mapping) else enumerate(value))
        values.extend(inner for _, inner in pairs if isinstance(inner, Mapping | list))
        for key, inner in pairs:
            if _NAMING in (key, inner) and inner is not None and (value is not configuration or not _is_plain(inner)):
                raise PolysenseError(
                    f"{folder / CONFIG_NAME}: its {str(key)[:80]!r} has weights come from other than a safetensors "
                    "file in the folder; get the model again, or take that entry out"
                )


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name.endswith(_SAFE) and Path(name).name == name


def _refused(file: Path, reason: str) -> PolysenseError:
    return PolysenseError(f"{file}: {reason}, as no model's do; get the model again, best as safetensors")


def _zipped(stream: BinaryIO, most: int) -> set[Call]:
    """What the pickles of a zip call."""
    _check_end(stream)
    calls: set[Call] = set()
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
                calls |= check_pickle(read_entry(archive, entry), most)[1]
    return calls


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


def _old(stream: BinaryIO, most: int) -> set[Call]:
    """What the pickles at the start of an old file call."""
    calls: set[Call] = set()
    place = 0
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _ in range(_OLD_PICKLES):
            place, found = check_pickle(data, most, place)
            calls |= found
    return calls
