"""The downstream tasks of vision-language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polysense.errors import PolysenseError
from polysense.tasks.tables import near
from polysense.vision_language.tasks.entailment import VisualEntailment
from polysense.vision_language.tasks.questions import QuestionAnswering
from polysense.vision_language.tasks.reasoning import VisualReasoning
from polysense.vision_language.tasks.referring import ReferringExpressions
from polysense.vision_language.tasks.retrieval import Retrieval
from polysense.vision_language.tasks.task import Split, Task

TASKS: Mapping[str, type[Task[Any]]] = {
    task.name: task for task in (QuestionAnswering, VisualReasoning, VisualEntailment, ReferringExpressions, Retrieval)
}
"""By name."""


def get_task(name: str) -> Task[Any]:
    """A task by name.

    Raises:
        PolysenseError: there is none.
    """
    if name not in TASKS:
        raise PolysenseError(f"unknown task {name!r}{near(name, list(TASKS))}; the tasks are {', '.join(TASKS)}")
    return TASKS[name]()


__all__ = ["TASKS", "Split", "Task", "get_task"]
