"""What a person writes to have pictures in the place of a tower: `--tower image=pictures:FOLDER`.

| spec | pictures |
| --- | --- |
| `pictures:FOLDER` | of a folder, or of a table of files and captions as `polysense align` reads; found by caption |
| `search:COMMAND` | whose files a command of the user's prints |

Options follow, each after a comma: `encoder=MODEL`, a CLIP model whose image encoder reads the pictures (a hub id or a
folder; else EfficientNet-Lite0 and colours); for a folder `similarity=0.3`, the least cosine of text and caption; for a
command `seconds=30`, how long it may run for a text.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from polysense.errors import PolysenseError

KINDS = ("pictures", "search")
_OPTION = re.compile(r",(encoder|similarity|seconds)=([^,]*)$")
_OF_KIND = {"pictures": ("encoder", "similarity"), "search": ("encoder", "seconds")}


def is_picture_spec(spec: str) -> bool:
    """Whether a spec stands for pictures and not for a tower."""
    return spec.startswith(tuple(f"{kind}:" for kind in KINDS))


@dataclass(frozen=True)
class PictureSpec:
    """A parsed spec.

    Attributes:
        kind: "pictures" or "search".
        place: the folder or table, or the command.
        encoder: a CLIP model; empty for EfficientNet-Lite0 and colours.
        similarity: the least cosine of text and caption, -1 to 1; default 0.
        seconds: that a command may run for a text; default 30.
    """

    kind: str
    place: str
    encoder: str = ""
    similarity: float = 0.0
    seconds: float = 30.0

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Folders are made whole paths, so that a saved model finds them from anywhere.

        Raises:
            PolysenseError: nothing follows the colon, or an option is not of this kind or has no usable value.
        """
        kind, _, rest = spec.partition(":")
        given: dict[str, Any] = {}
        while match := _OPTION.search(rest):
            name, value = match.groups()
            if name not in _OF_KIND[kind] or name in given:
                known = ", ".join(_OF_KIND[kind])
                raise PolysenseError(f"tower {spec}: {name} is given twice or is no option of {kind}; options: {known}")
            given[name] = _located(value) if name == "encoder" else _number(spec, name, value)
            rest = rest[: match.start()]
        if not rest.strip() or "\0" in rest:
            what = "a folder of pictures" if kind == "pictures" else "a command"
            raise PolysenseError(f"tower {spec}: write {what} after {kind}:")
        return cls(kind, str(whole_path(rest)) if kind == "pictures" else rest, **given)

    def __str__(self) -> str:
        """The spec that gives the same again."""
        default = type(self)(self.kind, self.place)
        options = [(name, getattr(self, name)) for name in _OF_KIND[self.kind]]
        said = "".join(
            f",{name}={value if isinstance(value, str) else format(value, 'g')}"
            for name, value in options
            if value != getattr(default, name)
        )
        return f"{self.kind}:{self.place}{said}"


def whole_path(path: str) -> Path:
    """From the root and without links, as far as there are any; never an error, also for links in a circle."""
    return Path(os.path.realpath(os.path.expanduser(path)))


def _located(model: str) -> str:
    return str(Path(model).resolve()) if model and os.path.exists(model) else model


def _number(spec: str, name: str, value: str) -> float:
    least, most = (-1.0, 1.0) if name == "similarity" else (0.1, 3600.0)
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise PolysenseError(f"tower {spec}: {name} is a number from {least:g} to {most:g}, not {value!r}")
    return number
