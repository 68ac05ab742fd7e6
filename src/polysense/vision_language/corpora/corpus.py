"""What every corpus is: examples by split, and a source of their pictures' regions."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from polysense.errors import PolysenseError
from polysense.tasks.sources import find_folder
from polysense.vision_language.regions import RegionSource

_log = logging.getLogger(__name__)


class _OfPicture(Protocol):
    @property
    def picture(self) -> str: ...


Example = TypeVar("Example", bound=_OfPicture)


@dataclass(frozen=True)
class Corpus(Generic[Example]):
    """Examples by split, and the regions of every picture that an example names."""

    splits: Mapping[str, tuple[Example, ...]]
    regions: RegionSource


def corpus(name: str, splits: Mapping[str, Sequence[Example]], regions: RegionSource) -> Corpus[Example]:
    """A corpus without the examples whose picture has no regions; one warning counts them."""
    kept = {split: tuple(one for one in examples if one.picture in regions) for split, examples in splits.items()}
    total, left = sum(map(len, splits.values())), sum(map(len, kept.values()))
    if left < total:
        _log.warning("%s: %d of %d examples are left out, as their pictures have no regions", name, total - left, total)
    return Corpus(kept, regions)


def corpus_folder(name: str, data_dir: Path | None, files: Sequence[str]) -> Path:
    """The folder of a corpus.

    Args:
        name: of the corpus and of its folder.
        data_dir: the folder or its parent; None: `tasks.sources.data_roots`.
        files: that the folder must hold.

    Raises:
        PolysenseError: there is no such folder.
    """
    folder = find_folder((name,), data_dir, lambda place: all((place / file).is_file() for file in files))
    if folder is None:
        raise PolysenseError(
            f"{name}: no folder {name} with {', '.join(files)} in {data_dir or '$POLYSENSE_DATA or ../shared/data'}; "
            "get the data, or say where they are"
        )
    return folder


def folds(groups: Sequence[Hashable], count: int, seed: int = 0) -> list[list[int]]:
    """Indices of the examples in each of `count` folds for cross-validation; a group is never torn apart.

    Args:
        groups: what each example belongs to: its picture, or what its pictures have in common.
        count: at least 2 and at most the number of groups.
        seed: of the groups' order; groups then go to the smallest fold each.

    Raises:
        PolysenseError: `count` is out of range.
    """
    names = list(dict.fromkeys(groups))
    if not 2 <= count <= len(names):
        raise PolysenseError(f"{count} folds of {len(names)} groups; give 2 to {len(names)}")
    members: dict[Hashable, list[int]] = {name: [] for name in names}
    for index, name in enumerate(groups):
        members[name].append(index)
    found: list[list[int]] = [[] for _ in range(count)]
    for at in np.random.default_rng(seed).permutation(len(names)).tolist():
        min(found, key=len).extend(members[names[at]])
    return [sorted(fold) for fold in found]
