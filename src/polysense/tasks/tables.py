"""Tables read from CSV, TSV and JSON-lines files, with errors that name file, column and line."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from polysense.errors import PolysenseError
from polysense.text import clean
from polysense.unpacking import gunzipped

Form = Literal["csv", "tsv", "jsonl"]
_FORMS: dict[str, Form] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


@dataclass(frozen=True)
class Table:
    """The rows of one file, column by column.

    Attributes:
        source: what errors call it: the path as it was given.
        columns: values by column, all of the same length; a value that a JSON line leaves out is None.
        lines: the line of the file, counted from 1, that each row starts on.
        skipped: how many malformed rows were left out (only where the reader was told to).
        unit: what `lines` counts where it is no line of a file, e.g. "row" of a data set.
    """

    source: str
    columns: dict[str, list[Any]]
    lines: Sequence[int]
    skipped: int = 0
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> list[Any]:
        """The values of a column; PolysenseError with the columns that are there if it is not."""
        if name not in self.columns:
            raise PolysenseError(
                f"{self.source}: no column {name!r}{near(name, self.columns)}; "
                f"its columns are {', '.join(map(repr, self.columns))}"
            )
        return self.columns[name]

    def texts(self, name: str) -> list[str]:
        """A column as texts: missing ones are "", numbers as written, NUL and lone surrogates are U+FFFD."""
        texts = []
        for value, line in zip(self.column(name), self.lines, strict=True):
            if value is None or (isinstance(value, float) and math.isnan(value)):
                value = ""
            if isinstance(value, (dict, list)):
                kind = type(value).__name__
                raise PolysenseError(
                    f"{self.source}, column {name!r}, {self.unit} {line}: a text is expected, not a {kind}"
                )
            texts.append(clean(str(value)))
        return texts

    def where(self, column: str, rows: Sequence[int]) -> str:
        """The place of some rows (indices from 0) for an error: file, column and at most five lines."""
        shown = ", ".join(str(self.lines[row]) for row in rows[:5])
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        return f"{self.source}, column {column!r}, {self.unit}{'s' if len(rows) > 1 else ''} {shown}{more}"

    def select(self, rows: Sequence[int]) -> Table:
        """The rows of these indices, from 0, in this order."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return replace(self, columns=columns, lines=[self.lines[row] for row in rows])


def near(name: str, known: Iterable[str]) -> str:
    """A question that offers the closest of the known names, or nothing; it follows the name in an error."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""


def read_table(path: Path | str, *, form: Form | None = None, quoted: bool = True, tolerant: bool = False) -> Table:
    """The rows of a CSV, TSV or JSON-lines file, each optionally gzipped, in UTF-8 with or without a byte order mark.

    Args:
        path: ends in .csv, .tsv, .jsonl, .ndjson or .json (one object a line), and maybe .gz.
        form: the layout, where the name does not tell it.
        quoted: whether `"` quotes fields of CSV and TSV; GLUE's own files do not quote.
        tolerant: leave out rows with a wrong number of fields (and count them) instead of raising.

    A CSV or TSV has a header; its blank lines are skipped, but in a file of one column a blank line is an empty text.

    Raises:
        PolysenseError: no such file, unknown ending, broken gzip, not UTF-8, broken CSV or JSON, duplicate columns,
            empty, or no rows.
    """
    path = Path(path).expanduser()
    form = form or _form(path)
    text = read_text(path)
    if not text.strip():
        raise PolysenseError(f"{path}: the file is empty; it needs {_needs(form)}")
    table = _json_lines(path, text) if form == "jsonl" else _delimited(path, text, form, quoted, tolerant)
    if not len(table):
        raise PolysenseError(f"{path}: the file has a header but no rows; it needs {_needs(form)}")
    return table


def _form(path: Path) -> Form:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    ending = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if ending not in _FORMS:
        raise PolysenseError(
            f"{path}: unknown kind of file {ending or '(no ending)'}; use .csv, .tsv or .jsonl, each maybe with .gz"
        )
    return _FORMS[ending]


def _needs(form: Form) -> str:
    return "one JSON object a line" if form == "jsonl" else "a header line and at least one row"


def read_text(path: Path) -> str:
    """The text of a file in UTF-8 with or without a byte order mark, unpacked where its name ends in .gz.

    Raises:
        PolysenseError: no such file, it cannot be read, gzip that is broken or unpacks to too much, or not UTF-8.
    """
    try:
        with path.open("rb") as stream:
            data = (gunzipped(stream, path) if path.suffix.lower() == ".gz" else stream).read()
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise PolysenseError(f"{path}: no such file{near(path.name, beside)}; check the path") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise PolysenseError(
            f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PolysenseError(f"{path}: broken gzip ({error}); copy or compress the file again") from None
    except OSError as error:
        raise PolysenseError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its rights"
        ) from None


def _json_lines(path: Path, text: str) -> Table:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    # Not str.splitlines: U+2028 and its like are plain characters inside a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits, too
            what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise PolysenseError(f"{path}, line {number}: broken JSON ({what}); write one JSON object a line") from None
        if not isinstance(row, dict):
            raise PolysenseError(
                f"{path}, line {number}: a JSON object is expected, not a {type(row).__name__}; write one object a line"
            )
        rows.append(row)
        lines.append(number)
    names = dict.fromkeys(name for row in rows for name in row)
    return Table(str(path), {name: [row.get(name) for row in rows] for name in names}, lines)


def _delimited(path: Path, text: str, form: Form, quoted: bool, tolerant: bool) -> Table:
    records = _records(path, text, "," if form == "csv" else "\t", quoted)
    header_line, header = next((line, row) for line, row in records if row)
    if repeated := [name for name in dict.fromkeys(header) if header.count(name) > 1]:
        raise PolysenseError(f"{path}, line {header_line}: two columns are named {repeated[0]!r}; rename one")
    rows: list[list[str]] = []
    lines: list[int] = []
    skipped = 0
    for line, row in records:
        if not row:
            if len(header) > 1:
                continue
            row = [""]
        if len(row) == len(header):
            rows.append(row)
            lines.append(line)
        elif tolerant:
            skipped += 1
        else:
            raise PolysenseError(
                f"{path}, line {line}: {len(row)} fields where the header has {len(header)}; "
                "quote texts that hold the delimiter, or write JSON lines"
            )
    columns: dict[str, list[Any]] = {name: [row[index] for row in rows] for index, name in enumerate(header)}
    return Table(str(path), columns, lines, skipped)


def _records(path: Path, text: str, delimiter: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """The records with the line that each starts on."""
    limit = csv.field_size_limit(2**31 - 1)  # the standard library's limit of 131,072 characters is a text's length
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,
    )
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise PolysenseError(
            f"{path}, line {line}: broken quoting ({error}); double the quotes inside quoted texts, or write JSON lines"
        ) from None
    finally:
        csv.field_size_limit(limit)
