"""The report of a training run: its page, and what the model answers on the validation split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Trainer

from polysense.models import PolysenseProcessor
from polysense.report import Looks, ask_model, look, write_report
from polysense.report.look import LIMIT
from polysense.tasks import TaskData
from polysense.training.predict import padded
from polysense.training.problems import PROBLEMS
from polysense.training.settings import TrainingSettings

WRITTEN = 50
"""Rows looked at where each answer is written token by token."""


def report_run(
    staged: Path,
    results: Mapping[str, Any],
    trainer: Trainer,
    data: TaskData,
    processor: PolysenseProcessor,
    settings: TrainingSettings,
) -> None:
    """Write `report.html` to the folder `staged`."""
    looks = _looks(trainer.model, data, processor, settings) if "validation" in data.labelled else None
    model: Any = trainer.model
    note = PROBLEMS[data.kind].score_note(model.config)
    write_report(staged, results, trainer.state.log_history, looks, note)


def _looks(model: Any, data: TaskData, processor: PolysenseProcessor, settings: TrainingSettings) -> Looks:
    problem = PROBLEMS[data.kind].with_settings(settings)
    ask = ask_model(
        model,
        lambda rows: problem.rows(rows, processor),
        problem.collator(processor),
        lambda rows, outputs, seen: problem.answers(rows, outputs, seen, model.config),
        outputs=problem.outputs,
        join=padded,
        batch_size=2 * settings.batch_size,
    )
    return look(data, ask, model, limit=WRITTEN if problem.generates else LIMIT)
