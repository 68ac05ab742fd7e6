"""The files of one part of the world, but for its regions and pictures: its scenes and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from polysense.errors import PolysenseError
from polysense.vision_language.annotations import (
    write_captions,
    write_nlvr2,
    write_refcoco,
    write_snli_ve,
    write_vqa,
)
from polysense.vision_language.annotations.records import read_lines, write_lines
from polysense.vision_language.world.captions import make_captions
from polysense.vision_language.world.entailments import make_entailments
from polysense.vision_language.world.expressions import make_expressions
from polysense.vision_language.world.objects import WorldObject
from polysense.vision_language.world.questions import make_questions
from polysense.vision_language.world.scene import SIDE, Scene
from polysense.vision_language.world.statements import make_statements

SCENES_FILE = "scenes.jsonl"
_REFCOCO_SPLITS = {"train": "train", "validation": "val", "test": "test", "test_seen": "test"}


def write_texts(folder: Path, scenes: Sequence[Scene], things: Sequence[WorldObject]) -> dict[str, int]:
    """Write a part's scenes and all texts about them, each file in the layout of the data set it stands for.

    Args:
        folder: of that part.
        scenes: at least one, all of one part.
        things: the objects of that part.

    Returns:
        How many captions, questions, entailments, expressions and statements there are.
    """
    captions = list(make_captions(scenes))
    questions = list(make_questions(scenes, things))
    entailments = list(make_entailments(scenes, things))
    expressions = list(make_expressions(scenes))
    statements = list(make_statements(scenes))
    sizes = {scene.identity: (SIDE, SIDE) for scene in scenes}
    boxes = {scene.identity: [(each.box, each.name) for each in scene.objects] for scene in scenes}
    write_lines(folder / SCENES_FILE, (scene.to_json() for scene in scenes))
    write_captions(folder / "captions.json", captions, sizes)
    write_vqa(folder / "questions.json", questions, folder / "annotations.json")
    write_snli_ve(folder / "entailments.jsonl", entailments)
    write_nlvr2(folder / "statements.jsonl", statements)
    named = {_REFCOCO_SPLITS[scenes[0].split]: expressions}
    write_refcoco(folder / "references.json", folder / "instances.json", named, sizes, boxes)
    return {
        "captions": len(captions),
        "questions": len(questions),
        "entailments": len(entailments),
        "expressions": len(expressions),
        "statements": len(statements),
    }


def read_scenes(file: Path, things: Mapping[str, WorldObject]) -> list[Scene]:
    """The scenes of a scenes.jsonl, given the world's objects by name.

    Raises:
        PolysenseError: the file is damaged, or a scene has an object that is not among `things`.
    """
    scenes = []
    for record in read_lines(file):
        try:
            for each in record.items("objects"):
                if each["name"] not in things:
                    raise record.wrong("objects", "objects of this world (see world.json)", each["name"])
            scenes.append(Scene.from_json(record.values, things))
        except (KeyError, TypeError, ValueError) as error:
            raise PolysenseError(
                f"{record.where}: no scene ({type(error).__name__}: {error}); make the world again"
            ) from None
    return scenes
