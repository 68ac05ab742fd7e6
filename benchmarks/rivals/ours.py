"""Polysense's own methods, by the calls that `polysense train` and `polysense compare` make.

`polysense.train` itself would score and write a checkpoint after each epoch, which would count as training here.
"""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

from benchmarks.rivals.competitor import (
    BATCH_SIZE,
    BF16,
    MAX_LENGTH,
    WEIGHT_DECAY,
    Competitor,
    Outcome,
    Seconds,
    Setting,
    Stopwatch,
)
from benchmarks.rivals.rows import SCORED
from polysense.cache import Store
from polysense.experiments.runs import Run
from polysense.models import PolysensePreTrainedModel
from polysense.retrieval.opening import open_source
from polysense.scene_graphs.extractor import GraphExtractor
from polysense.tasks import TaskData
from polysense.training.data import split_texts
from polysense.training.fine_tune import build_processor, fine_tune, score_splits
from polysense.training.settings import TrainingSettings


class Polysense(Competitor):
    """One method, with its defaults.

    Args:
        run: the method and its towers.
        store: of prototypes, as in `train`; how long they take is measured beside it (see `reading`).
    """

    older: ClassVar[bool] = False

    def __init__(self, run: Run, store: Store = None) -> None:
        self.name = run.name
        self.method = run
        self.store = store

    @property
    def modalities(self) -> list[str]:
        return self.method.modalities

    def identity(self) -> Any:
        return self._identity

    @cached_property
    def _identity(self) -> Any:
        reading = TrainingSettings().reading()
        return {
            "method": self.method.method.to_dict(),
            "towers": {m: open_source(spec, reading, False).fingerprint for m, spec in self.method.towers.items()},
            "graphs": GraphExtractor().identity if self.method.method.uses_graph else None,
        }

    def run(self, data: TaskData, backbone: str, setting: Setting, seed: int) -> Outcome:
        settings = TrainingSettings(
            learning_rate=setting.learning_rate,
            epochs=setting.epochs,
            batch_size=BATCH_SIZE,
            max_length=MAX_LENGTH,
            weight_decay=WEIGHT_DECAY,
            bf16=BF16,
            seed=seed,
        )
        method = self.method.method
        processor = build_processor(method, backbone, self.method.towers, settings, self.store)
        for split in data.splits.values():
            processor.prepare(split_texts(split), progress=False)
        watch = Stopwatch()
        with tempfile.TemporaryDirectory() as folder:
            trainer = fine_tune(data, method, backbone, processor, settings, Path(folder), progress=False)
            training = watch.read()
            score = score_splits(trainer, data, processor)[SCORED]
        weights = cast("PolysensePreTrainedModel", trainer.model).combination.weights()
        return Outcome(score, training, weights)

    def reading(self, data: TaskData, backbone: str) -> Seconds:
        if not self.method.method.multimodal:
            return Seconds(0.0, 0.0)
        watch = Stopwatch()
        processor = build_processor(self.method.method, backbone, self.method.towers, TrainingSettings(), False)
        processor.prepare(split_texts(data.splits["train"]), progress=False)
        return watch.read()
