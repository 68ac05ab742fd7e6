"""The names of a detector's classes, and which of them a region is tagged with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polysense.errors import PolysenseError
from polysense.text import clean
from polysense.vision_language.annotations.records import reading

_BACKGROUND = "__background__"


@dataclass(frozen=True)
class ObjectNames:
    """Names of the classes in the detector's order, background not among them.

    Extractors count in two ways. The TSV files of LXMERT leave background out: class 0 is the first name. The NPZ files
    of bottom-up-attention.pytorch and UNITER's soft labels count background as class 0: class 1 is the first name.
    """

    names: Sequence[str]

    def of_ids(self, ids: NDArray[Any], *, background: bool) -> list[str]:
        """The names of class numbers (R,); "" for background.

        Args:
            background: whether class 0 is background.

        Raises:
            PolysenseError: a number has no name.
        """
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise PolysenseError(
                f"object classes of {ids.dtype} in shape {ids.shape}; one whole number a region is expected"
            )
        shifted = ids.astype(np.int64) - background
        lowest = -1 if background else 0
        if len(shifted) and not lowest <= shifted.min() <= shifted.max() < len(self.names):
            raise PolysenseError(
                f"object classes from {ids.min()} to {ids.max()}, but {len(self.names)} names are given; "
                "give the names file of the same detector"
            )
        return [self.names[number] if number >= 0 else "" for number in shifted]

    def of_scores(self, scores: NDArray[Any]) -> list[str]:
        """The names of the best classes by scores (R, C), background never: C is the names' number, or one more.

        Where there is one more, column 0 is background.

        Raises:
            PolysenseError: C is neither.
        """
        extra = scores.shape[1] - len(self.names) if scores.ndim == 2 else -1
        if extra not in (0, 1):
            raise PolysenseError(
                f"class scores of shape {scores.shape}, but {len(self.names)} names are given; "
                "give the names file of the same detector"
            )
        return [self.names[number] for number in scores[:, extra:].argmax(axis=1)]


def read_object_names(file: Path | str) -> ObjectNames:
    """The names of a file with one class a line, as Visual Genome's objects_vocab.txt.

    Of synonyms that are separated by commas the first is the tag. A first line "__background__" is left out.

    Raises:
        PolysenseError: no such file, not UTF-8, no names, or a line is blank (each line is a class).
    """
    file = Path(file).expanduser()
    with reading(file) as stream:
        data = stream.read()
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise PolysenseError(f"{file}: not UTF-8; give a text file with one class a line") from None
    names = [clean(line.split(",")[0].strip()) for line in lines]
    if "" in names:
        raise PolysenseError(f"{file}, line {names.index('') + 1}: no name; each line is the name of a class")
    if names[:1] == [_BACKGROUND]:
        del names[0]
    if not names:
        raise PolysenseError(f"{file}: there are no names in it; write one class a line")
    return ObjectNames(names)
