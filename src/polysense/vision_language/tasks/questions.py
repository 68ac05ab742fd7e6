"""Visual question answering (VQA v2): soft-score accuracy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polysense.vision_language.annotations import read_vqa
from polysense.vision_language.answers import AnswerVocabulary, vqa_accuracy
from polysense.vision_language.examples import Question
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.downstream import CmalForVisualQuestionAnswering
from polysense.vision_language.tasks.task import Defaults, ExampleTask, Split


class QuestionAnswering(ExampleTask[Question]):
    """questions.json and annotations.json: an answer out of the training part's most frequent ones.

    Args:
        min_count: how often an answer must have been the most frequent one of a training question to count.
        most: at most so many answers; 3,129 on VQA v2 by the field's custom.
    """

    name = "vqa"
    model = CmalForVisualQuestionAnswering
    defaults = Defaults(learning_rate=8e-5, steps=20_000, warmup=0.03, head_factor=10)

    def __init__(self, min_count: int = 1, most: int = 3129) -> None:
        self.min_count, self.most = min_count, most

    def read(self, folder: Path) -> list[Question]:
        annotations = folder / "annotations.json"
        return read_vqa(folder / "questions.json", annotations if annotations.exists() else None)

    def text(self, example: Question) -> str:
        return example.text

    def pictures(self, example: Question) -> tuple[str, ...]:
        return (example.picture,)

    def labelled(self, example: Question) -> bool:
        return bool(example.answers)

    def configure(self, examples: Sequence[Question]) -> dict[str, Any]:
        names = AnswerVocabulary.from_questions(examples, min_count=self.min_count, most=self.most).names
        return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}

    def labels(self, examples: Sequence[Question], split: Split[Question], config: CmalConfig) -> dict[str, Tensor]:  # noqa: ARG002
        vocabulary = _vocabulary(tuple(answer_names(config)))
        scores = torch.zeros(len(examples), len(vocabulary.names))
        for i, example in enumerate(examples):
            for answer, score in vocabulary.scores(example).items():
                scores[i, answer] = score
        return {"labels": scores}

    def score(self, split: Split[Question], outputs: Sequence[Tensor], config: CmalConfig) -> dict[str, float]:
        names = answer_names(config)
        by_kind: dict[str, list[float]] = defaultdict(list)
        for example, logits in zip(split.examples, outputs, strict=True):
            by_kind[example.kind].append(vqa_accuracy(names[int(logits.argmax())], example.answers))
        every = [value for values in by_kind.values() for value in values]
        kinds = {f"accuracy/{kind}": float(np.mean(values)) for kind, values in sorted(by_kind.items()) if kind}
        return {"accuracy": float(np.mean(every)), **kinds}


def answer_names(config: CmalConfig) -> list[str]:
    """The answers of a model, in order."""
    return [str(name) for _, name in sorted(dict(config.id2label or {}).items())]


@lru_cache(maxsize=8)
def _vocabulary(names: tuple[str, ...]) -> AnswerVocabulary:
    """Checked once, not at every step: each name is normalised for that."""
    return AnswerVocabulary(names)
