"""Training steps, and the reading of prototypes: over length, batch, K and modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks.growth.counts import count
from benchmarks.growth.curve import Curve, Point, most_memory
from benchmarks.made_up import sentences
from benchmarks.timing import in_turn
from polysense.methods.catalog import method_config
from polysense.modality import MODALITIES
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.prototypes.reader import BATCH_TOKENS, read_prototypes
from polysense.prototypes.reading import Reading
from polysense.towers.registry import open_tower

NAMES = {"text": "text", "macsc": "MaCSC", "mase": "MASE"}
CALLS = 7
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
    "k": ("K", (1, 2, 4, 8, 16, 32)),
    "modalities": ("modalities", (1, 2, 3, 6, 12)),
}
"""By field of `Place`: its name on the axis, and the sizes."""


def step_curves(base: Place = Place(), axes: Mapping[str, tuple[str, Sequence[int]]] = AXES) -> list[Curve]:
    """A training step of each method over each axis, from one place."""
    found = []
    for field, (axis, sizes) in axes.items():
        # Of K and of modalities text alone knows nothing.
        methods = [method for method in NAMES if method != "text" or field in ("words", "batch")]
        columns = [points(size, [step(m, replace(base, **{field: size})) for m in methods]) for size in sizes]
        for method, column in zip(methods, zip(*columns, strict=True), strict=True):
            found.append(Curve(NAMES[method], axis, column))
    return found


@dataclass(frozen=True)
class Step:
    """A step to take, and what it uses: a model and its inputs."""

    work: Callable[[], None]
    there: object


def points(size: int, steps: Sequence[Step]) -> list[Point]:
    """The time of each the least of some calls in turn, since all that a machine does beside only adds."""
    counts = [count(step.work, step.there) for step in steps]
    memory = [most_memory(step.work) for step in steps]
    times = in_turn([step.work for step in steps], CALLS)
    return [
        Point(size, min(taken), megabytes, counted.operations, counted.megabytes)
        for taken, megabytes, counted in zip(times, memory, counts, strict=True)
    ]


def step(method: str, place: Place) -> Step:
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

    return Step(work, (list(model.parameters()), list(model.buffers()), dict(inputs)))


def reading_curve(sizes: Sequence[int] = AXES["words"][1]) -> Curve:
    """Prototypes of 64 sentences by the image tower that ships, over their length."""
    tower, reading = open_tower("image"), Reading()
    column = []
    for size in sizes:
        work = partial(read_prototypes, tower, reading, sentences(READ_AT_ONCE, size, size))
        operations, memory, times = count(work).operations, most_memory(work), in_turn([work], CALLS)
        # A call of the tower is given so many tokens, or all there are; a word is about one.
        tokens = min(READ_AT_ONCE * size, BATCH_TOKENS["cpu"])
        column.append(Point(size, min(times[0]), memory, operations, tokens))
    return Curve("reading prototypes", AXES["words"][0], column)
