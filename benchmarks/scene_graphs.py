"""Sentences a second of our scene graph parser, of SceneGraphParser (if it is installed) and of spaCy alone."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from benchmarks.timing import Benchmark, at_least, in_turn
from polysense.scene_graphs.graph import SceneGraph
from polysense.scene_graphs.parser import PIPELINE, UNUSED, SceneGraphParser
from polysense.tasks.sources import data_roots

SENTENCES, ROUNDS = 600, 5
FILES = {"COCO captions": ("coco_captions_val2017/val", "captions"), "SST-2": ("sst2/dev", "sentence")}
MADE = ("A man in a red hat rides a brown horse on the beach .", "it 's a charming and often affecting journey .")


def sentences(file: str, field: str) -> tuple[list[str], str]:
    """Sentences of a data set, and what they are; made ones where it is not on this machine."""
    for root in data_roots():
        if (root / f"{file}.jsonl.gz").is_file():
            with gzip.open(root / f"{file}.jsonl.gz", "rt") as lines:
                rows = [json.loads(line)[field] for line in lines]
            flat = [text.strip() for row in rows for text in (row if isinstance(row, list) else [row])]
            return random.Random(0).sample(flat, SENTENCES), f"{SENTENCES} sentences of {file}"
    return [MADE[i % 2] for i in range(SENTENCES)], "made sentences: the data set is not here"


def parse(parser: SceneGraphParser, texts: list[str]) -> list[SceneGraph]:
    """Ours."""
    return list(parser.parse(texts))


def pipe(nlp: Any, texts: list[str]) -> int:
    """What spaCy alone does: the floor of ours."""
    return sum(len(doc) for doc in nlp.pipe(texts, batch_size=256))


def one_by_one(parse_one: Callable[[str], Any], texts: list[str]) -> list[Any]:
    """As SceneGraphParser is used."""
    return [parse_one(text) for text in texts]


def benchmarks() -> list[Benchmark]:
    """All rows about parsing."""
    import spacy

    parser, nlp = SceneGraphParser(), spacy.load(PIPELINE, exclude=list(UNUSED))
    try:
        theirs = import_module("sng_parser").Parser("spacy", model=PIPELINE).parse
    except ImportError:
        theirs = None
    rows = []
    for name, (file, field) in FILES.items():
        texts, note = sentences(file, field)
        works = [partial(parse, parser, texts), partial(pipe, nlp, texts)]
        if theirs is not None:
            works.append(partial(one_by_one, theirs, texts))
        rates = [[len(texts) / taken for taken in column] for column in in_turn(works, ROUNDS)]
        unit, what = "sentences/s", f"scene graphs of {name}"
        rows.append(at_least(f"{what}, beside spaCy alone", rates[0], rates[1], 0.7, unit, note))
        if theirs is not None:
            rows.append(at_least(f"{what}, beside sng_parser", rates[0], rates[2], 2, unit, note))
    return rows
