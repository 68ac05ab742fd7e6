"""An untrained encoder-decoder for a task, with a vocabulary of the task's training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polysense.models.new_backbone import small_encoder_decoder
from polysense.tasks import get_task

_TEXTS = ("text", "text_pair", "target")
"""Columns of a split that hold texts."""


def new_backbone(folder: Path, task: str, data_dir: Path | None = None, **sizes: Any) -> dict[str, Any]:
    """Write an untrained encoder-decoder whose vocabulary is of a task's training rows.

    Args:
        folder: where it goes; it appears there whole.
        task: by name.
        data_dir: as for the task.
        sizes: as in `small_encoder_decoder`.

    Returns:
        what `small_encoder_decoder` gives, and "task".

    Raises:
        PolysenseError: no such task, its data are nowhere, or as in `small_encoder_decoder`.
    """
    split = get_task(task).load(data_dir).splits["train"]
    texts = [text for name in _TEXTS if name in split.column_names for text in split[name]]
    return {"task": task, **small_encoder_decoder(folder, texts, **sizes)}
