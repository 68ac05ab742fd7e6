"""Visual entailment (SNLI-VE): does a picture entail a hypothesis, contradict it, or neither?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polysense.vision_language.annotations.snli_ve import LABELS, read_snli_ve
from polysense.vision_language.examples import Entailment
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.downstream import CmalForVisualEntailment
from polysense.vision_language.tasks.task import Defaults, ExampleTask, Split


class VisualEntailment(ExampleTask[Entailment]):
    """entailments.jsonl: accuracy over three classes."""

    name = "snli-ve"
    model = CmalForVisualEntailment
    defaults = Defaults(learning_rate=8e-5, steps=8_000, warmup=0.05)

    def read(self, folder: Path) -> list[Entailment]:
        return read_snli_ve(folder / "entailments.jsonl")

    def text(self, example: Entailment) -> str:
        return example.text

    def pictures(self, example: Entailment) -> tuple[str, ...]:
        return (example.picture,)

    def labelled(self, example: Entailment) -> bool:
        return example.label in LABELS

    def configure(self, examples: Sequence[Entailment]) -> dict[str, Any]:  # noqa: ARG002
        return {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}

    def labels(self, examples: Sequence[Entailment], split: Split[Entailment], config: CmalConfig) -> dict[str, Tensor]:  # noqa: ARG002
        return {"labels": torch.tensor([LABELS.index(example.label) for example in examples])}

    def score(self, split: Split[Entailment], outputs: Sequence[Tensor], config: CmalConfig) -> dict[str, float]:  # noqa: ARG002
        right = [
            LABELS[int(logits.argmax())] == example.label
            for example, logits in zip(split.examples, outputs, strict=True)
        ]
        return {"accuracy": sum(right) / len(right)}
