"""JSON files of annotations, read record by record with errors that name file, record and field."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from polysense.durable import whole_file
from polysense.errors import PolysenseError
from polysense.text import clean
from polysense.unpacking import gunzipped

_GZIP = b"\x1f\x8b"


class Record:
    """One JSON object of a file; every field is checked as it is read.

    Args:
        where: what errors call it: the file and the record's place in it.
        values: the object.

    Raises:
        PolysenseError: `values` is not an object; each method: the field is missing or of the wrong type.
    """

    __slots__ = ("values", "where")

    def __init__(self, where: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise PolysenseError(
                f"{where}: an object is expected, not {_kind(values)}; check that this is the right file"
            )
        self.where = where
        self.values = values

    def has(self, field: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(field) is not None

    def field(self, name: str) -> Any:
        """The value of a field, whatever it is."""
        if name not in self.values:
            raise PolysenseError(f"{self.where}: no field {name!r}; check that this is the right file and whole")
        return self.values[name]

    def text(self, name: str) -> str:
        """A text that is not blank; NUL and lone surrogates become U+FFFD."""
        value = self.field(name)
        if not isinstance(value, str):
            raise self.wrong(name, "a text", value)
        if not value.strip():
            raise PolysenseError(f"{self.where}, field {name!r}: the text is empty; give a text or take the record out")
        return clean(value)

    def name(self, name: str) -> str:
        """A whole number, as its decimal digits, or a text: what pictures, questions and the like are called."""
        value = self.field(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value:
            raise self.wrong(name, "a whole number or a text", value)
        return clean(value)

    def new_name(self, name: str, seen: set[str]) -> str:
        """As `name`, and an error where `seen` has it already; else it is added."""
        value = self.name(name)
        if value in seen:
            raise PolysenseError(f"{self.where}, field {name!r}: {value!r} is there twice; take one of the two out")
        seen.add(value)
        return value

    def number(self, name: str) -> float:
        """A finite number."""
        return self._number(name, self.field(name))

    def positive(self, name: str) -> int:
        """A whole number of 1 or more."""
        value = self._number(name, self.field(name))
        if value < 1 or value != int(value):
            raise self.wrong(name, "a whole number of 1 or more", value)
        return int(value)

    def corners(self, name: str) -> tuple[float, float, float, float]:
        """A box [x, y, width, height] of four finite numbers as (x1, y1, x2, y2); it may be empty."""
        value = self.field(name)
        if not isinstance(value, (list, tuple)) or len(value) != 4:
            raise self.wrong(name, "a box [x, y, width, height]", value)
        x, y, width, height = (self._number(name, side) for side in value)
        return x, y, x + width, y + height

    def records(self, name: str) -> Iterator[Record]:
        """The objects of a field that is a list of objects."""
        return records(f"{self.where}, {name}", self.items(name))

    def items(self, name: str) -> list[Any]:
        """A field that is a list."""
        value = self.field(name)
        if not isinstance(value, (list, tuple)):
            raise self.wrong(name, "a list", value)
        return list(value)

    def wrong(self, name: str, expected: str, value: Any) -> PolysenseError:
        """The error of a field that holds something else."""
        return PolysenseError(f"{self.where}, field {name!r}: {expected} is expected, not {_kind(value)}")

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, "a number", value)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise PolysenseError(f"{self.where}, field {name!r}: the number is not finite; mend it")
        return number


def records(where: str, values: Any) -> Iterator[Record]:
    """The objects of a list, each named by its index from 0."""
    if not isinstance(values, (list, tuple)):
        raise PolysenseError(f"{where}: a list is expected, not {_kind(values)}; check that this is the right file")
    return (Record(f"{where}[{index}]", value) for index, value in enumerate(values))


def read_json(file: Path | str) -> Any:
    """The value of a JSON file in UTF-8, plain or gzipped (told by its content).

    Raises:
        PolysenseError: no such file, gzip that is broken or unpacks to too much, not UTF-8, or broken JSON (with its
            line).
    """
    file = Path(file).expanduser()
    with reading(file) as stream:
        text = _decode(str(file), stream.read())
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise PolysenseError(
            f"{file}, line {error.lineno}: broken JSON ({error.msg}); the file may be cut short: fetch it again"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists in lists in lists
        raise PolysenseError(f"{file}: broken JSON ({error}); fetch the file again") from None


def read_lines(file: Path | str) -> Iterator[Record]:
    """The objects of a JSON-lines file, one line held at a time; blank lines are passed over.

    Raises:
        PolysenseError: as `read_json`, with the line counted from 1; or there is no object at all.
    """
    file = Path(file).expanduser()
    empty = True
    with reading(file) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            empty = False
            where = f"{file}, line {number}"
            try:
                value = json.loads(_decode(where, line))
            except (ValueError, RecursionError) as error:
                what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise PolysenseError(f"{where}: broken JSON ({what}); write one JSON object a line") from None
            yield Record(where, value)
    if empty:
        raise PolysenseError(f"{file}: the file is empty; it needs one JSON object a line")


@contextmanager
def reading(file: Path) -> Iterator[BinaryIO]:
    """A stream of the file's bytes, unpacked (`gunzipped`) where it is gzip; what goes wrong is a PolysenseError."""
    try:
        with file.open("rb") as stream:
            packed = stream.read(2) == _GZIP
            stream.seek(0)
            if not packed:
                yield stream
            else:
                with gunzipped(stream, file) as unpacked:
                    yield unpacked
    except FileNotFoundError:
        raise PolysenseError(f"{file}: no such file; check the path") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PolysenseError(f"{file}: broken gzip ({error}); fetch the file again") from None
    except OSError as error:
        raise PolysenseError(
            f"{file}: cannot be read ({error.strerror or error}); check the path and its rights"
        ) from None


def write_json(file: Path | str, value: Any) -> None:
    """Write a value as one JSON file, whole or not at all; gzipped where the name ends in .gz."""
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
    _write(Path(file).expanduser(), encoder.iterencode(value))


def write_lines(file: Path | str, rows: Iterable[dict[str, Any]]) -> None:
    """Write objects as JSON lines, whole or not at all; gzipped where the name ends in .gz."""
    _write(Path(file).expanduser(), (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def written_name(name: str) -> int | str:
    """A picture's or record's name as the published files hold it: a number where it is one, else the text."""
    # No leading zeros or signs, so that reading gives the same name again.
    return int(name) if name.isascii() and name.isdigit() and len(name) < 19 and str(int(name)) == name else name


@contextmanager
def writing(file: Path) -> Iterator[BinaryIO]:
    """A stream that becomes the file when the block ends well; a folder or disk that will not is a PolysenseError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as stream:
            yield stream
    except gzip.BadGzipFile:  # an OSError too, but of what is read meanwhile
        raise
    except OSError as error:
        raise PolysenseError(
            f"{file}: cannot be written ({error.strerror or error}); check the folder, its rights and the free space"
        ) from None


def _write(file: Path, parts: Iterable[str]) -> None:
    with writing(file) as stream:
        if file.suffix == ".gz":
            # Without name and time the same data give the same bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
                for part in parts:
                    packed.write(part.encode())
        else:
            for part in parts:
                stream.write(part.encode())


def _decode(where: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolysenseError(
            f"{where}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (dict, list, tuple)):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."
