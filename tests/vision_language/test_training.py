"""One training run, whatever is trained."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from polysense.errors import PolysenseError
from polysense.vision_language.models.pretraining import PreTrainingOutput
from polysense.vision_language.settings import RunSettings
from polysense.vision_language.training import run_training


class _Toy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> PreTrainingOutput:
        return PreTrainingOutput(loss=(self.weight * x).mean(), losses={})


def batches(tmp_path, lengths: list[int], grouped: bool) -> list[list[int]]:
    """The examples of each step of an epoch."""
    seen: list[list[int]] = []

    def collate(numbers):
        seen.append(list(numbers))
        return {"x": torch.zeros(len(numbers))}

    settings = RunSettings(steps=len(lengths) // 8, batch_size=8, group_by_length=grouped)
    run_training(_Toy, lengths, collate, settings, tmp_path, "toy", progress=False)
    return seen[: settings.steps]


def test_batches_of_like_length_where_asked(tmp_path) -> None:
    lengths = list(range(512))
    random.Random(0).shuffle(lengths)
    spread = {}
    for grouped in (False, True):
        found = batches(tmp_path, lengths, grouped)
        assert sorted(i for batch in found for i in batch) == list(range(512))  # each once
        spread[grouped] = np.mean([np.ptp([lengths[i] for i in batch]) for batch in found])
    assert spread[True] < spread[False] / 4


@pytest.mark.parametrize("name", ["bf16", "group_by_length"])
def test_a_switch_is_true_or_false(name: str) -> None:
    with pytest.raises(PolysenseError, match="must be true or false"):
        RunSettings(**{name: "yes"})
