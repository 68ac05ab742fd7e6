"""Where a run can be followed while it trains: TensorBoard, Weights & Biases."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from transformers import Trainer
from transformers.integrations import TensorBoardCallback

from polysense.errors import PolysenseError

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb"}
"""The package that each needs."""

LOGS = "logs"
"""TensorBoard's folder in a run's: beside the checkpoints first, beside the model at the end."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse what is not known or not installed, before any work is done.

    Raises:
        PolysenseError: either is so.
    """
    for name in names:
        if name not in TRACKERS:
            raise PolysenseError(f"unknown tracker {name!r}: one of {', '.join(TRACKERS)}")
        if find_spec(TRACKERS[name]) is None:
            raise PolysenseError(f"{name} is not installed: pip install {TRACKERS[name]}, or leave --report-to out")


def place_logs(trainer: Trainer, folder: Path) -> None:
    """Have TensorBoard write into the run's folder, unless $TENSORBOARD_LOGGING_DIR says where."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(folder / LOGS)


def clear_logs(folder: Path) -> None:
    """Forget what a run that is begun anew has left."""
    shutil.rmtree(folder / LOGS, ignore_errors=True)


def keep_logs(folder: Path, staged: Path) -> None:
    """Copy TensorBoard's logs to the result, and end the run of Weights & Biases: the next is another."""
    if (folder / LOGS).exists():
        shutil.copytree(folder / LOGS, staged / LOGS)
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()
