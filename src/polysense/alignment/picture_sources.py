"""Pictures with captions in package registries: emoji of three vendors, and stamps of a painting program."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from polysense.alignment.manifest import Pair, concept_of
from polysense.alignment.registries import Fetch, Source

NOT_OBJECTS = frozenset({"Symbols", "Flags", "Component", "symbols", "flags"})
"""Emoji categories and folders of stamps that are left out: letters, signs and other pure symbols, and flags."""

_EMOJI_TABLE = "package/emoji.json"


def emoji(source: Source, fetch: Fetch) -> list[Pair]:
    """Emoji, called by their code points, with their names: the name first, then the short names that differ.

    Sorted by file, without the variants in skin tone. A source without a table of names is read with Noto's.
    """
    owner = source.name if _EMOJI_TABLE in source.members else "noto"
    rows: dict[str, dict[str, Any]] = {
        _code(row["unified"]): row
        for row in json.loads((fetch(owner) / _EMOJI_TABLE).read_text(encoding="utf-8"))
        if row["category"] not in NOT_OBJECTS
    }
    pairs = []
    for file in sorted((fetch(source.name) / source.members[0]).iterdir()):
        # Variants in skin tone have no row of their own; popping leaves out a second file of the same code.
        if row := rows.pop(_code(file.stem), None):
            captions = emoji_captions(row)
            pairs.append(Pair(captions, file, concept_of(captions[0]), source.name))
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


def stamps(source: Source, fetch: Fetch, ending: str = ".png") -> list[Pair]:
    """Stamps, or what they sound like, with the first line of NAME.txt beside them; sorted by file."""
    folder = fetch(source.name) / source.members[0]
    pairs = []
    for file in sorted(folder.rglob(f"*{ending}")):
        described = file.with_suffix(".txt")  # mirrored pictures and spoken captions have none of their own
        if NOT_OBJECTS.intersection(file.relative_to(folder).parts) or not described.is_file():
            continue
        lines = described.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        if captions := stamp_captions(lines[0] if lines else ""):
            pairs.append(Pair(captions, file, concept_of(captions[0]), source.name))
    return pairs


def stamp_captions(line: str) -> tuple[str, ...]:
    """The captions of a stamp's English line: what comes before the first full stop or dash, then the whole line."""
    plain = " ".join(re.sub('[“”"]', "", line.replace("’", "'")).strip(" –—").split())
    head = re.split(r"[.!?…]+(?=\s|$)|—", plain, maxsplit=1)[0]
    return tuple(dict.fromkeys(text for text in (head.strip(), plain.rstrip(".!?… ")) if text))


PICTURE_SOURCES = (
    Source(
        "noto", "npm", "emoji-datasource-google", "16.0.0",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        "Apache-2.0", "Noto Emoji, copyright Google LLC",
        ("package/img/google/64/", _EMOJI_TABLE), "image", True, emoji,
    ),
    Source(
        "twemoji", "npm", "emoji-datasource-twitter", "16.0.0",
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        "CC-BY-4.0", "Twemoji, copyright Twitter, Inc and other contributors",
        ("package/img/twitter/64/", _EMOJI_TABLE), "image", True, emoji,
    ),
    Source(
        "fluent", "npm", "@lobehub/fluent-emoji-3d", "1.1.0",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        "MIT", "Fluent Emoji, copyright Microsoft Corporation",
        ("package/assets/",), "image", True, emoji,
    ),
    Source(
        "stamps", "debian", "tuxpaint-stamps-default", "2022.06.04-1", None,
        "GPL-2.0-only", "Tux Paint Stamps, copyright 2002-2022 Bill Kendrick and contributors",
        ("usr/share/tuxpaint/stamps/",), "image", False, stamps,
    ),
)  # fmt: skip
