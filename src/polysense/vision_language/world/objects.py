"""The world's objects: their names, their pictures and the part of the world that they live in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from polysense.alignment.manifest import Pair
from polysense.alignment.sources import SOURCES, load_source
from polysense.errors import PolysenseError
from polysense.vision_language.world.catalogue import CATALOGUE

Split = Literal["train", "validation", "test", "test_seen"]
SPLITS: tuple[Split, ...] = get_args(Split)
"""Parts of a world. Those of training, validation and test have no kind of object in common; test_seen is of new scenes
with the kinds of training, as zero-shot learning tells seen from unseen classes."""
PICTURE_SOURCES = ("noto", "twemoji", "fluent", "stamps")
"""The collections that the objects are drawn from; see `alignment.picture_sources`."""
SMALLEST_PART = 8
"""A part with fewer objects than this has too few for scenes and for questions about what is not there."""


@dataclass(frozen=True)
class WorldObject:
    """A kind of thing.

    Attributes:
        name: one to three words, singular, lower case.
        plural: of the name.
        files: its pictures, with transparency, each a style of its own; at least one.
    """

    name: str
    plural: str
    files: tuple[Path, ...]

    @property
    def head(self) -> str:
        """The noun that the others only narrow: "bear" of "polar bear", "glass" of "glass of milk"."""
        return self.name.split(" of ")[0].split()[-1]

    @property
    def split(self) -> Literal["train", "validation", "test"]:
        """The part of the world that it lives in; things with one head noun share it.

        A hash of the head noun: about 80% train, 10% validation and 10% test, whatever else is in the catalogue.
        """
        share = int.from_bytes(hashlib.sha256(self.head.encode()).digest()[:8]) / 2**64
        return "train" if share < 0.8 else "validation" if share < 0.9 else "test"


def load_objects(sources: Sequence[str] = PICTURE_SOURCES, cache: Path | None = None) -> list[WorldObject]:
    """The objects of the catalogue that have a picture, sorted by name; the sources are fetched on first use.

    Args:
        sources: any of `PICTURE_SOURCES`.
        cache: as in `alignment.sources.load_source`.

    Raises:
        PolysenseError: as `load_source` does.
    """
    return find_objects((pair for name in sources for pair in load_source(name, cache)), CATALOGUE)


def find_objects(pairs: Iterable[Pair], catalogue: str) -> list[WorldObject]:
    """The objects of a catalogue (see `catalogue`) that have a picture among the pairs, sorted by name."""
    named: dict[str, str] = {}
    plurals: dict[str, str] = {}
    for entry in " ".join(catalogue.split()).split(";"):
        given, _, others = entry.strip().partition("=")
        name, _, written = given.partition("/")
        plurals[name] = written or plural_of(name)
        for concept in (name, *(other.strip() for other in others.split(",") if other)):
            if named.setdefault(concept, name) != name:
                raise ValueError(f"the caption {concept!r} means both {named[concept]!r} and {name!r}")
    files: dict[str, list[Path]] = {}
    for pair in pairs:
        if pair.concept in named:
            files.setdefault(named[pair.concept], []).append(pair.file)
    return [WorldObject(name, plurals[name], tuple(files[name])) for name in sorted(files)]


def plural_of(name: str) -> str:
    """The regular plural of a noun phrase whose last word is its head."""
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def by_split(objects: Iterable[WorldObject]) -> dict[Split, list[WorldObject]]:
    """The objects of each part, in their order; those of test_seen are those of training.

    Raises:
        PolysenseError: a part has fewer than `SMALLEST_PART`.
    """
    parts: dict[Split, list[WorldObject]] = {split: [] for split in SPLITS}
    for each in objects:
        parts[each.split].append(each)
        if each.split == "train":
            parts["test_seen"].append(each)
    for split, found in parts.items():
        if len(found) < SMALLEST_PART:
            raise PolysenseError(
                f"the world's {split} part has {len(found)} objects and needs {SMALLEST_PART}; add sources of pictures"
            )
    return parts


def digest(objects: Iterable[WorldObject]) -> str:
    """SHA-256 over the objects' names and their pictures' bytes: the same pictures give the same world."""
    total = hashlib.sha256()
    for each in objects:
        total.update(f"{each.name}/{each.plural}\n".encode())
        for file in each.files:
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def licences(sources: Sequence[str] = PICTURE_SOURCES) -> Mapping[str, str]:
    """The licence and the attribution of each source, in one line."""
    return {name: f"{SOURCES[name].licence}; {SOURCES[name].attribution} ({SOURCES[name].origin})" for name in sources}
