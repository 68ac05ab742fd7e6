"""Referring expressions (RefCOCO, RefCOCO+, RefCOCOg): which region does a phrase mean?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polysense.errors import PolysenseError
from polysense.vision_language.annotations import read_refcoco_splits
from polysense.vision_language.examples import Expression
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.downstream import NO_REGION, CmalForReferringExpression
from polysense.vision_language.regions import overlap
from polysense.vision_language.scoring import referring_accuracy
from polysense.vision_language.tasks.task import Defaults, ExampleTask, Split

RIGHT_FROM = 0.5
"""Intersection over union from which a box is the object's."""


class ReferringExpressions(ExampleTask[Expression]):
    """References and instances.json: accuracy at an intersection over union of 0.5.

    The references are references.json, references.p, or a published refs(....p. One that has several splits gives those
    of the folder: train/ its "train", validation/ its "val", test/ and test_seen/ all that begin with "test".

    The candidates are the regions of the picture: a data set's own boxes, or a detector's. An expression whose object
    no candidate meets counts as wrong, and is left out of training. Without regions there is nothing to choose from.
    """

    name = "rec"
    model = CmalForReferringExpression
    defaults = Defaults(learning_rate=1e-4, steps=24_000, warmup=0.06)
    text_alone = False

    def read(self, folder: Path) -> list[Expression]:
        file = _references_file(folder)
        splits = read_refcoco_splits(file, folder / "instances.json")
        part = folder.absolute().name
        wanted = {"validation": "val", "test_seen": "test"}.get(part, part)
        chosen = [name for name in splits if len(splits) == 1 or name.startswith(wanted)]
        if splits and not chosen:
            raise PolysenseError(
                f"{file}: of its splits {', '.join(map(repr, sorted(splits)))} none belongs into a folder {part!r}; "
                "call it train, validation, test or test_seen"
            )
        return [expression for name in chosen for expression in splits[name]]

    def text(self, example: Expression) -> str:
        return example.text

    def pictures(self, example: Expression) -> tuple[str, ...]:
        return (example.picture,)

    def labels(self, examples: Sequence[Expression], split: Split[Expression], config: CmalConfig) -> dict[str, Tensor]:  # noqa: ARG002
        return {"labels": torch.tensor([best_region(e, split.boxes(e.picture)) for e in examples])}

    def usable(self, split: Split[Expression]) -> tuple[Split[Expression], dict[str, int]]:
        found = [e for e in split.examples if best_region(e, split.boxes(e.picture)) != NO_REGION]
        left_out = len(split.examples) - len(found)
        reasons = {"no region meets the object": left_out} if left_out else {}
        return replace(split, examples=found), reasons

    def score(self, split: Split[Expression], outputs: Sequence[Tensor], config: CmalConfig) -> dict[str, float]:  # noqa: ARG002
        chosen = np.zeros((len(split.examples), 4), dtype=np.float32)
        for i, (example, logits) in enumerate(zip(split.examples, outputs, strict=True)):
            boxes = split.boxes(example.picture)
            if len(boxes):
                chosen[i] = boxes[int(logits.argmax())]
        gold = np.array([example.box for example in split.examples], dtype=np.float32)
        return {"accuracy": referring_accuracy(chosen, gold, RIGHT_FROM)}


def best_region(example: Expression, boxes: NDArray[np.float32]) -> int:
    """Which of the boxes (R, 4) meets the object's best, or `NO_REGION` where none does by `RIGHT_FROM`."""
    if not len(boxes):
        return NO_REGION
    shared = overlap(boxes, np.array([example.box], dtype=np.float32))[:, 0]
    return int(shared.argmax()) if shared.max() >= RIGHT_FROM else NO_REGION


def _references_file(folder: Path) -> Path:
    """The one file of references in a folder."""
    named = [folder / "references.json", folder / "references.p"]
    found = [*filter(Path.exists, named), *sorted(folder.glob("refs(*).p"))]
    if len(found) != 1:
        there = f"there are {', '.join(file.name for file in found)}" if found else "there are no references"
        raise PolysenseError(f"{folder}: {there}; give one of references.json, references.p and refs(....p")
    return found[0]
