"""Natural language for visual reasoning (NLVR2): is a statement true of two pictures?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from polysense.vision_language.annotations import read_nlvr2
from polysense.vision_language.examples import Statement
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.downstream import CmalForVisualReasoning
from polysense.vision_language.scoring import pair_consistency
from polysense.vision_language.tasks.task import Defaults, ExampleTask, Split


class VisualReasoning(ExampleTask[Statement]):
    """statements.jsonl: accuracy and, where identities are NLVR2's, the share of sentences right on all their pairs."""

    name = "nlvr2"
    model = CmalForVisualReasoning
    defaults = Defaults(learning_rate=3e-5, steps=10_000, warmup=0.08)

    def read(self, folder: Path) -> list[Statement]:
        return read_nlvr2(folder / "statements.jsonl")

    def text(self, example: Statement) -> str:
        return example.text

    def pictures(self, example: Statement) -> tuple[str, ...]:
        return (example.left, example.right)

    def labelled(self, example: Statement) -> bool:
        return example.label is not None

    def labels(self, examples: Sequence[Statement], split: Split[Statement], config: CmalConfig) -> dict[str, Tensor]:  # noqa: ARG002
        return {"labels": torch.tensor([int(bool(example.label)) for example in examples])}

    def score(self, split: Split[Statement], outputs: Sequence[Tensor], config: CmalConfig) -> dict[str, float]:  # noqa: ARG002
        right = [
            bool(logits.argmax()) == example.label for example, logits in zip(split.examples, outputs, strict=True)
        ]
        identities = [example.identity for example in split.examples]
        scores = {"accuracy": sum(right) / len(right)}
        if all(identity.count("-") == 3 for identity in identities):
            scores["consistency"] = pair_consistency(identities, right)
        return scores
