"""The weights in a TorchScript archive, read as data.

`torch.jit.load` runs code of the archive's own (`__setstate__`), which may write files; nothing of it is run here. An
archive is a zip: data.pkl has the modules and their attributes, data/ the numbers of the tensors, and the classes in
code/ say which attributes are parameters and buffers.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from polysense.pickles import check_pickle
from polysense.unpacking import most_unpacked, read_entry

_CODE = "__torch__"
_MOST_CODE = 2**24  # bytes of all classes; those of a transformer of 24 layers, traced, have a hundredth of it
_HELD = re.compile(r"^class (\w+)\(Module\):\n  __parameters__ = \[(.*)\]\n(?:  __buffers__ = \[(.*)\]\n)?", re.M)
_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class CodeError(Exception):
    """What would have to be run to read an archive as it is meant."""


def is_torchscript(file: Path) -> bool:
    """Whether a zip is one that TorchScript wrote."""
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(file: Path) -> dict[str, Tensor]:
    """The parameters and buffers of an archive, on the CPU, by the names that its state dict has.

    A module that stands in several places is found at the first of them.

    Raises:
        ValueError, KeyError, RuntimeError, ...: a damaged file; as many kinds as there are ways to be damaged.
        CodeError: it holds something other than modules, tensors and plain data.
    """
    with zipfile.ZipFile(file) as archive:
        most = most_unpacked(file.stat().st_size)
        if sum(entry.file_size for entry in archive.infolist()) > most:
            raise ValueError("it unpacks to far more than its size")
        return dict(_tensors(_Unpickler(archive, most).load(), "", set()))


class _Module:
    """Stands for any module of the archive."""

    held: ClassVar[frozenset[str]] = frozenset()
    attributes: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise CodeError("it has a module that makes its attributes itself")
        self.attributes = state


def _tensors(module: _Module, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    seen.add(id(module))
    for name, value in module.attributes.items():
        if isinstance(value, _Module):
            if id(value) not in seen:
                yield from _tensors(value, f"{prefix}{name}.", seen)
        elif isinstance(value, Tensor) and name in module.held:
            yield f"{prefix}{name}", value


class _Unpickler(pickle.Unpickler):
    """Makes modules, tensors and plain data, and refuses every other class and function."""

    def __init__(self, archive: zipfile.ZipFile, most: int) -> None:
        (place,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name))
        self._archive, self._root = archive, place.removesuffix("data.pkl")
        self._storages: dict[str, Tensor] = {}
        self._classes: dict[tuple[str, str], type[_Module]] = {}
        self._held: dict[str, dict[str, frozenset[str]]] = {}
        self._code = 0
        data = self._read("data.pkl")
        check_pickle(data, most)
        super().__init__(io.BytesIO(data), encoding="utf-8")

    def find_class(self, module: str, name: str, /) -> Any:
        if module.split(".")[0] == _CODE:
            if (module, name) not in self._classes:
                self._classes[module, name] = type("Module", (_Module,), {"held": self._held_by(module)[name]})
            return self._classes[module, name]
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _tensor
        if module == "torch.jit._pickle":  # lists of one type, whose first argument is the list
            return _first
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise CodeError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any, /) -> Tensor:
        """The numbers (n,) of a storage."""
        _, kind, key, _, count = pid
        if key not in self._storages:
            data = bytearray(self._read(f"data/{key}"))
            self._storages[key] = torch.frombuffer(data, dtype=kind) if data else torch.empty(0, dtype=kind)
        if len(self._storages[key]) != count:
            raise ValueError(f"data/{key} has {len(self._storages[key])} numbers, not {count}")
        return self._storages[key]

    def _held_by(self, module: str) -> dict[str, frozenset[str]]:
        """The names of the parameters and buffers of each class in a file of code, which is read once."""
        place = f"code/{module.replace('.', '/')}.py"
        if place not in self._held:
            self._code += self._archive.getinfo(self._root + place).file_size
            if self._code > _MOST_CODE:
                raise ValueError("its code has far more than a model's")
            found = _HELD.findall(self._read(place).decode())
            self._held[place] = {
                name: frozenset(re.findall(r'"([^"]*)"', parameters + buffers)) for name, parameters, buffers in found
            }
        return self._held[place]

    def _read(self, name: str) -> bytes:
        return read_entry(self._archive, self._archive.getinfo(self._root + name))


def _first(value: Any, *_: Any) -> Any:
    return value


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)
