"""The README.md of a world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def world_card(world: Mapping[str, Any]) -> str:
    """The README.md that describes a world, from the content of its world.json."""
    told = ("captions", "questions", "entailments", "expressions", "statements")
    rows = "\n".join(
        f"| {split}/ | {part['scenes']:,} | {part['objects']:,} | {len(world['objects'][split])} "
        + "".join(f"| {part[kind]:,} " for kind in told)
        + "|"
        for split, part in world["parts"].items()
    )
    licences = "\n".join(f"- {name}: {licence}" for name, licence in world["licences"].items())
    side = world["picture_size"][0]
    return f"""# A made-up world of pictures and texts

Scenes of 2 to 6 objects, {side} x {side} pixels, made by a seed ({world["seed"]}, version {world["version"]}). Boxes,
tags and answers are exact, since every text is derived from its scene. About half of the objects are tinted in one of
eight colours, and only these count as having a colour. No kind of object of train, validation or test occurs in another
of these, not even by name, and things that share a noun ("bear", "polar bear") are in one part; test_seen has new
scenes of the kinds of train.

| part | scenes | objects | kinds of object | {" | ".join(told)} |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

Each part has:
- `regions.h5`: features, box (x1, y1, x2, y2 in pixels, of what can be seen of it) and name of each object;
- `captions.json`: captions, as COCO has them;
- `questions.json`, `annotations.json`: questions and answers, as VQA v2; `answer_type` is one of exists, colour,
  count, size, relation, where;
- `entailments.jsonl`: hypotheses, as SNLI-VE;
- `references.json`, `instances.json`: referring expressions and all boxes, as RefCOCO;
- `statements.jsonl`: statements about two pictures, as NLVR2;
- `scenes.jsonl`: the scenes themselves, enough to draw them again;
- `pictures/ID.jpg`: the pictures, where they were kept.

Answers, labels and truth values are balanced, so that texts alone tell little: every answer of a kind of question comes
equally often; every statement comes once true and once false; a hypothesis can be guessed in 46% from its text alone.

`sheet.png` shows the first scenes of the training part.

The pictures are composed of these, under their own licences:
{licences or "- objects given by whoever built this world"}
"""
