"""Ctrl-C: one line that says what is left, and what to type to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from polysense.experiments.grid import Grid
from polysense.training.trainer import PolysenseTrainer
from tiny_runs import Cli

pytest_plugins = ("tiny_runs",)


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
        (1, f"{tmp_path / 'm.partial'} holds a checkpoint, from which the same command with --resume goes on"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, epochs)
            outcome = cli(*asked)
        assert (outcome.status, outcome.out) == (130, "")
        assert outcome.err.splitlines()[-1] == f"polysense: interrupted: {said}" and "Traceback" not in outcome.err
    assert cli(*asked, "--resume", "--json").json["scores"]


def test_a_comparison_goes_on_by_itself(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Grid, "rows", stop)
    outcome = cli("compare", "--task", "sst2", "--run", "text", "--output", tmp_path / "table.json")
    assert outcome.status == 130
    last = outcome.err.splitlines()[-1]
    assert last == "polysense: interrupted: what is finished is kept, and the same command goes on"
