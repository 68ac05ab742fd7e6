"""Pictures, sounds or clips with captions, and how the user's own are read: a folder, or a table of files."""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePath

from polysense.errors import PolysenseError
from polysense.tasks.tables import near, read_table
from polysense.text import clean

_AROUND = " .,;:!?…–—'\"‘’“”"
_ARTICLE = re.compile(r"^(?:a|an|the|some|another)\s+(?=\S)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """One item (a picture, a sound, a clip) and what it shows.

    Attributes:
        captions: at least one; the first is the main one, the others are more names of the same thing.
        file: the item; a folder where it is the frames of a clip.
        concept: shared by items of the same thing (one emoji of two vendors, two stamps with one caption); held-out
            splits and leave-one-out go by it.
        source: one of `sources.SOURCES`, or "manifest".
    """

    captions: tuple[str, ...]
    file: Path
    concept: str
    source: str


def concept_of(caption: str) -> str:
    """The caption as the name of its concept: "A banana." and "banana" are one.

    Case is folded, a leading article, doubled blanks, quotes and punctuation at both ends go; a caption that is
    nothing else keeps itself, in lower case.
    """
    folded = " ".join(unicodedata.normalize("NFKC", caption).casefold().split())
    return _ARTICLE.sub("", folded.strip(_AROUND)).strip(_AROUND) or folded


def load_pairs(
    path: Path | str, endings: frozenset[str], item: str = "picture", *, folders: bool = False, named: bool = False
) -> list[Pair]:
    """The user's own items with captions.

    Args:
        path: a folder, searched with its subfolders, where `NAME.txt` beside an item NAME.png (or another of `endings`)
            has one caption a line, the main one first; items without are left out with a warning. Or a .csv, .tsv or
            .jsonl table, maybe with .gz, with the columns "caption" and "file", the file relative to the table's
            folder; several rows of one file are several captions of it, the first the main one.
        endings: file names that count as items in a folder, in lower case.
        item: what one is called.
        folders: whether a folder may be an item: in a folder, one with `NAME.txt` beside it; in a table, any.
        named: whether in a folder the name of a file without `NAME.txt` is its caption: "red-car_2.png" is "red car".

    Returns:
        At least one pair, of source "manifest"; a folder's sorted by path, a table's in the order of the rows.

    Raises:
        PolysenseError: no such path, an unreadable or malformed file, a missing column, an empty caption, an item
            that is not there, a folder that cannot be read, a path that is absolute or has "..", or no pair at all.
    """
    path = Path(path).expanduser()
    return (
        _from_folder(path, endings, item, folders, named) if os.path.isdir(path) else _from_table(path, item, folders)
    )


def _from_folder(folder: Path, endings: frozenset[str], item: str, folders: bool, named: bool) -> list[Pair]:
    entries = _entries(folder)
    whole = {entry for entry in entries if folders and os.path.isdir(entry) and os.path.isfile(_beside(entry))}
    items = [
        entry
        for entry in entries
        if not whole.intersection(entry.parents)
        and (entry in whole or (entry.suffix.lower() in endings and os.path.isfile(entry)))
    ]
    if not items:
        some = ", ".join(sorted(endings)[:3])
        raise PolysenseError(f"{folder}: no {item}s in this folder; it needs NAME.txt beside each {item} ({some}, ...)")
    captions_of = {
        file: captions
        for file in items
        if (captions := _captions_beside(file) if os.path.isfile(_beside(file)) else _in_name(file) if named else [])
    }
    if not captions_of:
        raise PolysenseError(
            f"{folder}: none of its {len(items)} {item}s has a caption; write the caption of {items[0].name} "
            f"to {_beside(items[0]).name} beside it"
        )
    if missing := len(items) - len(captions_of):
        first = next(file for file in items if file not in captions_of).relative_to(folder)
        _log.warning("%s: %d of %d %ss have no caption, e.g. %s; left out", folder, missing, len(items), item, first)
    return [_pair(captions, file) for file, captions in captions_of.items()]


def _entries(folder: Path) -> list[Path]:
    """All in a folder and in its subfolders, sorted; a link to a folder is an entry, and what is behind it is not."""
    found: list[Path] = []
    waiting = [str(folder)]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    found.append(Path(entry.path))
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError as error:
            told = f"{place}: cannot be read ({error.strerror or error})"
            if place == str(folder):
                raise PolysenseError(f"{told}; check its rights") from None
            _log.warning("%s; left out", told)  # lost+found of a disk, say
    return sorted(found)


def _beside(item: Path) -> Path:
    return item.with_name(item.name + ".txt") if os.path.isdir(item) else item.with_suffix(".txt")


def _in_name(item: Path) -> list[str]:
    """The words of a file's name, without the numbers at its end; none of a name without letters."""
    words = re.sub(r"[\W_]+", " ", clean(item.stem)).strip()
    words = re.sub(r"(?: \d+)+$", "", words)
    return [words] if any(character.isalpha() for character in words) else []


def _captions_beside(item: Path) -> list[str]:
    file = _beside(item)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise PolysenseError(f"{file}: not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise PolysenseError(f"{file}: cannot be read ({error.strerror or error}); check its rights") from None
    captions = [clean(line.strip()) for line in lines if line.strip()]
    if not captions:
        raise PolysenseError(f"{file}: no caption in it; write one a line, or remove the file")
    return captions


def _from_table(path: Path, item: str, folders: bool) -> list[Pair]:
    table = read_table(path)
    captions_of: dict[Path, list[str]] = {}
    for row, (caption, name) in enumerate(zip(table.texts("caption"), table.texts("file"), strict=True)):
        if not caption.strip():
            raise PolysenseError(f"{table.where('caption', [row])}: the caption is empty; write one, or remove the row")
        relative = PurePath(name)
        if not relative.name or relative.is_absolute() or ".." in relative.parts:
            raise PolysenseError(
                f"{table.where('file', [row])}: {name!r} is not a path inside the table's folder; "
                "give it relative to that folder, without '..'"
            )
        file = path.parent / relative
        # These are False, not an error, for a name that no file can have.
        if not os.path.isfile(file) and not (folders and os.path.isdir(file)):
            beside = os.listdir(file.parent) if os.path.isdir(file.parent) else []
            raise PolysenseError(
                f"{table.where('file', [row])}: no {item} {name!r} in {path.parent}{near(relative.name, beside)}; "
                "check the name"
            )
        captions_of.setdefault(file, []).append(caption.strip())
    return [_pair(captions, file) for file, captions in captions_of.items()]


def _pair(captions: list[str], file: Path) -> Pair:
    return Pair(tuple(dict.fromkeys(captions)), file, concept_of(captions[0]), "manifest")
