"""Files in which vision-language data sets are published, synonyms, and the scenes of a world."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability.fuzz.reader import Reader
from benchmarks.reliability.fuzz.readers.rows import as_lines
from polysense.vision_language import annotations as published
from polysense.vision_language.examples import Caption, Entailment, Expression, Question, Statement
from polysense.vision_language.lexicon import Lexicon
from polysense.vision_language.regions import Box
from polysense.vision_language.world.backgrounds import draw_background
from polysense.vision_language.world.objects import WorldObject
from polysense.vision_language.world.scene import Placed, Scene
from polysense.vision_language.world.texts import read_scenes

PICTURES = [str(number) for number in range(1, 9)]
SIZE = (64, 48)
SIZES = dict.fromkeys(PICTURES, SIZE)
BOXES: dict[str, list[tuple[Box, str]]] = {
    name: [((1.0, 2.0, 21.0, 12.0), "cat"), ((5.5, 4.0, 60.0, 40.0), "dog")] for name in PICTURES
}
CAPTIONS = [Caption(name, f"the cat sits on mat {name}, é") for name in PICTURES]
QUESTIONS = [Question(f"{name}0", name, "is it a cat?", ["yes"] * 9 + ["no"], "yes/no") for name in PICTURES]
STATEMENTS = [Statement(f"dev-{name}-0-0", name, "1", "a cat is left", name > "4") for name in PICTURES]
ENTAILMENTS = [Entailment(name, name, "a cat", "entailment") for name in PICTURES]
EXPRESSIONS = [Expression(name, name, "the left cat", BOXES[name][0][0]) for name in PICTURES]
_THINGS = {name: WorldObject(name, f"{name}s", (Path(f"{name}.png"),)) for name in ("cat", "dog")}


def write_parts(folder: Path) -> None:
    """The files of all tasks, as a folder of data has them, but for the regions."""
    published.write_captions(folder / "captions.json", CAPTIONS, SIZES)
    published.write_vqa(folder / "questions.json", QUESTIONS, folder / "annotations.json")
    published.write_nlvr2(folder / "statements.jsonl", STATEMENTS)
    published.write_snli_ve(folder / "entailments.jsonl", ENTAILMENTS)
    published.write_refcoco(folder / "references.json", folder / "instances.json", EXPRESSIONS, SIZES, BOXES)


def _one(name: str, file: str, write: Callable[[Path], object], read: Callable[[Path], Any]) -> Reader:
    return Reader(name, lambda folder: write(folder / file), lambda folder: read(folder / file))


def _refcoco(name: str, file: str) -> Reader:
    return Reader(
        name,
        lambda folder: published.write_refcoco(folder / file, folder / "instances.json", EXPRESSIONS, SIZES, BOXES),
        lambda folder: published.read_refcoco_splits(folder / file, folder / "instances.json"),
    )


def _scenes(file: Path) -> None:
    draw = random.Random(0)
    placed = [Placed(thing, 0, "red", "small", 20, 3, 4, False, (3.0, 4.0, 23.0, 24.0)) for thing in _THINGS.values()]
    pairs = frozenset({(0, 1)})
    scenes = [Scene(name, "train", tuple(placed), pairs, pairs, draw_background(draw), 0) for name in PICTURES]
    file.write_text(as_lines([scene.to_json() for scene in scenes]))


def _read_scenes(file: Path) -> Any:
    return [scene.to_json() for scene in read_scenes(file, _THINGS)]


def _lexicon(file: Path) -> Any:
    lexicon = Lexicon.load(file)
    return [lexicon.normal(phrase) for phrase in ("the moggies", "fire engines", "a tram")]


ANNOTATIONS = (
    _one("COCO captions", "captions.json", lambda f: published.write_captions(f, CAPTIONS), published.read_captions),
    _one(
        "COCO captions, gzip", "captions.json.gz", lambda f: published.write_captions(f, CAPTIONS, SIZES),
        published.read_captions,
    ),
    _one(
        "COCO instances", "instances.json", lambda f: published.write_instances(f, SIZES, BOXES),
        published.read_instances,
    ),
    _one("sizes of pictures", "image_data.json", lambda f: published.write_image_data(f, SIZES), published.read_sizes),
    _one(
        "Visual Genome captions", "regions.json", lambda f: published.write_region_captions(f, CAPTIONS),
        published.read_region_captions,
    ),
    _one(
        "Visual Genome objects", "objects.json", lambda f: published.write_objects(f, BOXES), published.read_objects
    ),
    Reader(
        "VQA",
        lambda folder: published.write_vqa(folder / "questions.json", QUESTIONS, folder / "annotations.json"),
        lambda folder: published.read_vqa(folder / "questions.json", folder / "annotations.json"),
    ),
    _one("NLVR2", "dev.json", lambda f: published.write_nlvr2(f, STATEMENTS), published.read_nlvr2),
    _one("SNLI-VE", "dev.jsonl", lambda f: published.write_snli_ve(f, ENTAILMENTS), published.read_snli_ve),
    _refcoco("RefCOCO, JSON", "refs.json"),
    _refcoco("RefCOCO, pickle", "refs.p"),
    _one("scenes of a world", "scenes.jsonl", _scenes, _read_scenes),
    _one(
        "synonyms", "synonyms.tsv", lambda f: f.write_text("cat\tmoggy, puss\ntrain\ttram, railcar\n# é\n"), _lexicon
    ),
)  # fmt: skip
