"""What is fuzzed: a way to write a valid input and the public way to read it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes:
        name: in the table.
        write: makes a valid input in a folder that is there; it may put what is not damaged into `beside` it.
        read: what a user's entry point gives for such a folder, as values that `digest` takes.
        checksums: whether the format has some, so that no other reading may pass.
        share: of the rounds; slow readers get fewer.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], Any]
    checksums: bool = False
    share: float = 1.0


def beside(folder: Path) -> Path:
    """A folder of what belongs to the input and is not damaged; the same one for each of its copies."""
    return folder.parent / "beside"


def digest(value: Any) -> str:
    """The same for the same values, whatever objects hold them."""
    total = hashlib.sha256()
    _add(total, value)
    return total.hexdigest()


def _add(total: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().float().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        total.update(f"{value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        _add(total, {field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, Mapping):
        _add(total, [item for pair in value.items() for item in pair])
    elif isinstance(value, (list, tuple)):
        total.update(f"{len(value)} of".encode())
        for item in value:
            _add(total, item)
    elif value is None or isinstance(value, (str, bytes, int, float, Path)):
        total.update(f"{value!r};".encode())
    else:
        raise TypeError(f"no digest of {type(value)}")
