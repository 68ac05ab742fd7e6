"""NLVR2's JSON lines (Suhr et al., "A Corpus for Reasoning About Natural Language Grounded in Photographs")."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from polysense.errors import PolysenseError
from polysense.vision_language.annotations.records import Record, read_lines, write_lines
from polysense.vision_language.examples import Statement

_LABELS: dict[object, bool] = {"True": True, "False": False, "true": True, "false": False, True: True, False: False}


def read_nlvr2(file: Path | str) -> list[Statement]:
    """The statements of train.json, dev.json, test1.json or test2.json (JSON lines, plain or gzipped), in file order.

    The two pictures are named by the identifier, in which the last number tells sentences of a pair apart:
    "dev-850-0-1" is about "dev-850-0-img0" (left) and "dev-850-0-img1" (right). Fields `left_image` and `right_image`
    go before that. A row without `label` has label None.

    Raises:
        PolysenseError: broken JSON, a missing or empty field, an unknown label, or an identifier that is there twice or
            names no pictures.
    """
    seen: set[str] = set()
    return [_statement(record, seen) for record in read_lines(file)]


def _statement(record: Record, seen: set[str]) -> Statement:
    identity = record.new_name("identifier", seen)
    label = record.values.get("label")
    if label is not None and (not isinstance(label, (str, bool)) or label not in _LABELS):
        raise record.wrong("label", '"True" or "False"', label)
    if record.has("left_image") or record.has("right_image"):
        left, right = record.name("left_image"), record.name("right_image")
    else:
        pair, dash, _ = identity.rpartition("-")
        if not dash or not pair:
            raise PolysenseError(
                f"{record.where}, field 'identifier': {identity!r} names no pictures; "
                "write split-set-pair-sentence, or add left_image and right_image"
            )
        left, right = f"{pair}-img0", f"{pair}-img1"
    return Statement(identity, left, right, record.text("sentence"), None if label is None else _LABELS[label])


def write_nlvr2(file: Path | str, statements: Iterable[Statement]) -> None:
    """Write statements in NLVR2's layout, with the pictures' names in `left_image` and `right_image`."""
    write_lines(
        file,
        (
            {
                "identifier": statement.identity,
                "sentence": statement.text,
                "left_image": statement.left,
                "right_image": statement.right,
            }
            | ({} if statement.label is None else {"label": str(statement.label)})
            for statement in statements
        ),
    )
