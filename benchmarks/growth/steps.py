"""Training steps, and the reading of prototypes: over length, batch, K and modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.growth.counts import count
from benchmarks.growth.curve import Curve, Point, measure
from benchmarks.made_up import sentences
from polysense.methods.catalog import method_config
from polysense.modality import MODALITIES
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.prototypes.reader import read_prototypes
from polysense.prototypes.reading import Reading
from polysense.towers.registry import open_tower

METHODS = ("text", "macsc", "mase")
READ_AT_ONCE = 64


@dataclass(frozen=True)
class Place:
    """Where a step is measured, but for what grows."""

    words: int = 14
    batch: int = 32
    k: int = 4
    modalities: int = 3


AXES: Mapping[str, tuple[str, Sequence[int]]] = {
    "words": ("words a sentence", (8, 16, 32, 64, 128, 256)),
    "batch": ("sentences a batch", (4, 8, 16, 32, 64, 128)),
    "k": ("prototypes a sentence and modality (K)", (1, 2, 4, 8, 16, 32)),
    "modalities": ("modalities beside the text", (1, 2, 3, 6, 12)),
}
"""By field of `Place`: its name on the axis, and the sizes."""


def step_curves() -> list[Curve]:
    """A training step of each method over each axis."""
    found = []
    for name, (axis, sizes) in AXES.items():
        for method in METHODS:
            if method == "text" and name in ("k", "modalities"):
                continue  # which looks at none
            points = [step(size, method, replace(Place(), **{name: size})) for size in sizes]
            found.append(Curve(method, axis, points))
    return found


def step(size: int, method: str, place: Place) -> Point:
    """Forward, backward and AdamW on MiniLM, prototypes and graphs in memory."""
    torch.manual_seed(0)
    chosen = method_config(method)
    specs = {f"m{i}": MODALITIES[i % len(MODALITIES)] for i in range(place.modalities)} if chosen.multimodal else {}
    processor = PolysenseProcessor.from_backbone(
        "minilm", specs, Reading(k=place.k), max_length=512, store=False, scene_graphs=chosen.uses_graph
    )
    texts = sentences(place.batch, place.words, place.words)
    processor.prepare(texts, progress=False)
    inputs = processor(texts)
    config = PolysenseConfig(method=chosen.to_dict(), widths=processor.widths, num_labels=2)
    model = PolysenseForSequenceClassification.from_backbone("minilm", config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    labels = torch.arange(place.batch) % 2

    def work() -> None:
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    there = [*model.parameters(), *(value for value in inputs.values() if isinstance(value, Tensor))]
    counts = count(work, there)
    return measure(size, work, counts.operations, counts.megabytes)


def reading_curve() -> Curve:
    """Prototypes of 64 sentences by the image tower that ships, over their length."""
    tower, reading = open_tower("image"), Reading()
    axis, sizes = AXES["words"]
    points = []
    for size in sizes:
        work = partial(read_prototypes, tower, reading, sentences(READ_AT_ONCE, size, size))
        # Calls of the tower are cut to the same number of tokens.
        points.append(measure(size, work, count(work).operations, 1))
    return Curve("reading prototypes", axis, points)
