"""Ctrl-C: one line that says what is left, and what to type to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from polysense.experiments.grid import Grid
from polysense.training.trainer import PolysenseTrainer
from tiny_runs import Cli

pytest_plugins = ("tiny_runs", "grid_support")


def stop_after(patch: pytest.MonkeyPatch, epochs: int) -> None:
    """Ctrl-C when the first step of the epoch after that many begins."""

    class Stop(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.epoch >= epochs:
                raise KeyboardInterrupt

    begin = PolysenseTrainer.train
    patch.setattr(PolysenseTrainer, "train", lambda self, **more: (self.add_callback(Stop()), begin(self, **more))[1])


def test_training_goes_on_with_resume(cli: Cli, tmp_path: Path, flags: list[str]) -> None:
    asked = ["train", "--output-dir", tmp_path / "m", *flags, "--epochs", 3]
    for epochs, said in (
        (0, "there was no checkpoint yet; the same command begins anew"),
        (1, f"{tmp_path / 'm.partial'} holds a checkpoint, from which its command goes on with --resume"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, epochs)
            outcome = cli(*asked)
        assert (outcome.status, outcome.out) == (130, "")
        assert outcome.err.splitlines()[-1] == f"polysense: interrupted: {said}" and "Traceback" not in outcome.err
    assert cli(*asked, "--resume", "--json").json["scores"]


def test_a_comparison_goes_on_by_itself(grid: Grid, cli: Cli, tmp_path: Path, trained_seeds: list[int]) -> None:
    asked = ["compare", "--task", "tiny", "--run", "text", "--seeds", 2, "--backbone", grid.backbone]
    asked += ["--cells", grid.cells, "--output", tmp_path / "table.json"]
    with pytest.MonkeyPatch.context() as patch:
        train = Grid.train

        def stop_at_the_second(*given: Any) -> Any:
            if trained_seeds == [0]:
                raise KeyboardInterrupt
            return train(*given)

        patch.setattr(Grid, "train", stop_at_the_second)
        outcome = cli(*asked)
    assert outcome.status == 130
    last = outcome.err.splitlines()[-1]
    assert last == "polysense: interrupted: what is finished is kept, and the same command goes on"
    assert cli(*asked, "--json").json["rows"][0]["seeds"] == [0, 1]
    assert trained_seeds == [0, 1]
