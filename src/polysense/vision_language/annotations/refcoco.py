"""RefCOCO, RefCOCO+ and RefCOCOg as Yu et al. ("Modeling Context in Referring Expressions") publish them.

refs(unc).p, refs(umd).p or refs(google).p is a pickle of plain lists and dictionaries that refer to annotations of
instances.json, a COCO instances file. The same lists as JSON are read and written too.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError
from polysense.vision_language.annotations.coco import read_instances, write_instances
from polysense.vision_language.annotations.plain_pickle import read_pickle
from polysense.vision_language.annotations.records import read_json, records, write_json, writing, written_name
from polysense.vision_language.examples import Expression
from polysense.vision_language.regions import Box

_PICKLES = (".p", ".pkl", ".pickle")


def read_refcoco(references_file: Path | str, instances_file: Path | str, split: str | None = None) -> list[Expression]:
    """The expressions of a split, in file order; an object has several. `identity` is the sentence's sent_id.

    Args:
        references_file: refs(....p, a pickle, or the same as JSON (told by the ending).
        instances_file: instances.json; boxes [x, y, width, height] become corners.
        split: "train", "val", "testA", "testB" or "test"; None for all.

    Raises:
        PolysenseError: a file is damaged or of another layout or a pickle holds more than plain data, a sentence is
            empty or there twice, a reference's annotation is missing, empty or of another picture, or there is no
            such split.
    """
    splits: set[str] = set()
    expressions = []
    for its_split, found in _references(references_file, instances_file):
        splits.add(its_split)
        if split in (None, its_split):
            expressions += found
    if split is not None and split not in splits:
        raise PolysenseError(
            f"{references_file}: no split {split!r}; it has {', '.join(map(repr, sorted(splits))) or 'no references'}"
        )
    return expressions


def read_refcoco_splits(references_file: Path | str, instances_file: Path | str) -> dict[str, list[Expression]]:
    """The expressions by split, each in file order; files and errors as in `read_refcoco`."""
    splits: dict[str, list[Expression]] = {}
    for split, found in _references(references_file, instances_file):
        splits.setdefault(split, []).extend(found)
    return splits


def _references(references_file: Path | str, instances_file: Path | str) -> Iterator[tuple[str, list[Expression]]]:
    """The split and the expressions of each reference."""
    annotations = read_instances(instances_file).annotations
    path = Path(references_file).expanduser()
    content = read_pickle(path) if path.suffix.lower() in _PICKLES else read_json(path)
    references: set[str] = set()
    sentences: set[str] = set()
    for record in records(str(path), content):
        record.new_name("ref_id", references)
        picture, annotation, split = record.name("image_id"), record.name("ann_id"), record.text("split")
        if annotation not in annotations:
            raise PolysenseError(
                f"{record.where}, field 'ann_id': {instances_file} has no annotation {annotation!r} with a box; "
                "give the instances.json of the same data set"
            )
        owner, box = annotations[annotation]
        if owner != picture:
            raise PolysenseError(
                f"{record.where}: annotation {annotation!r} is of picture {owner!r}, not {picture!r}; "
                "give the instances.json of the same data set"
            )
        yield (
            split,
            [
                Expression(sentence.new_name("sent_id", sentences), picture, sentence.text("sent"), box)
                for sentence in record.records("sentences")
            ],
        )


def read_candidates(instances_file: Path | str) -> dict[str, list[Box]]:
    """The boxes (corners, pixels) of all annotated objects by picture: the "given boxes" of referring expressions.

    Raises:
        PolysenseError: the file is damaged or of another layout.
    """
    instances = read_instances(instances_file)
    return {picture: [box for box, _ in found] for picture, found in instances.objects.items()}


def write_refcoco(
    references_file: Path | str,
    instances_file: Path | str,
    expressions: Iterable[Expression] | Mapping[str, Iterable[Expression]],
    sizes: Mapping[str, tuple[int, int]],
    boxes: Mapping[str, Sequence[tuple[Box, str]]],
) -> None:
    """Write expressions and the objects of their pictures in RefCOCO's layout.

    Args:
        references_file: a pickle where it ends in .p, .pkl or .pickle, else JSON.
        expressions: of split "train", or the expressions of each split.
        sizes: (width, height) in pixels of each picture.
        boxes: box (corners) and category name of each picture's objects; every expression's box is among them.

    Raises:
        PolysenseError: an expression's box is not among its picture's, or a picture has no size.
    """
    ids = write_instances(instances_file, sizes, boxes)
    splits = expressions if isinstance(expressions, Mapping) else {"train": expressions}
    references: dict[tuple[str, int], dict[str, Any]] = {}
    for split, members in splits.items():
        for expression in members:
            annotation = ids.get((expression.picture, expression.box))
            if annotation is None:
                raise PolysenseError(
                    f"{references_file}: the box of expression {expression.identity!r} is not among the objects of "
                    f"picture {expression.picture!r}; give it in boxes"
                )
            reference = references.setdefault(
                (split, annotation),
                {
                    "ref_id": len(references) + 1,
                    "ann_id": annotation,
                    "image_id": written_name(expression.picture),
                    "split": split,
                    "sent_ids": [],
                    "sentences": [],
                },
            )
            sentence = written_name(expression.identity)
            reference["sent_ids"].append(sentence)
            reference["sentences"].append(
                {
                    "sent_id": sentence,
                    "sent": expression.text,
                    "raw": expression.text,
                    "tokens": expression.text.split(),
                }
            )
    path = Path(references_file).expanduser()
    if path.suffix.lower() in _PICKLES:
        with writing(path) as stream:
            pickle.dump(list(references.values()), stream, protocol=2)  # as Python 2 reads it, too
    else:
        write_json(path, list(references.values()))
