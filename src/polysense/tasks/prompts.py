"""Classes said in words: a task of classes as a choice between statements, for prompt learning.

NSP-BERT (Sun et al., COLING 2022) asks a model which of several second sentences follows a text; MASE's Table 6
combines that with its methods. Templates and words are those of LM-BFF (Gao et al., ACL 2021, Table 1) where it has the
task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from datasets import Dataset, Features, List, Value

from polysense.errors import PolysenseError
from polysense.tasks.registry import TASKS
from polysense.tasks.task import Prompt, TaskData

PROMPTS: dict[str, tuple[str, ...]] = {
    "sst2": ("It was terrible.", "It was great."),
    "qnli": ("Yes, {}", "No, {}"),
    "qqp": ("No, {}", "Yes, {}"),
    "mnli": ("Yes, {}", "Maybe, {}", "No, {}"),
    "mrpc": ("No, {}", "Yes, {}"),
}
"""A statement a class, in the order of the task's; {} is the second text of a pair."""

ANY_CLASS = "It is {}."
"""Of other tasks of single texts, {} the name of the class."""


def prompted(data: TaskData, prompt: Prompt | None = None) -> TaskData:
    """The same rows as a choice between statements, one a class and in the classes' order.

    Args:
        data: of a task of classes.
        prompt: the statements; None: those of the task.

    Raises:
        PolysenseError: the task has no classes, or is of pairs and has no statements.
    """
    if data.kind != "classification" or data.label_names is None:
        raise PolysenseError(
            f"{data.name}: there is no prompt for {data.kind}: prompts choose between classes, and it has none; "
            "leave the prompt out"
        )
    prompt = prompt or _prompt(data, data.label_names)
    splits = {name: _split(split, prompt) for name, split in data.splits.items()}
    return replace(data, kind="choice", splits=splits, has_pair=False, prompt=prompt)


def _prompt(data: TaskData, names: Sequence[str]) -> Prompt:
    known = TASKS.get(data.name)
    # A file of one's own may have a task's name.
    statements = PROMPTS.get(data.name) if known and known.label_names == names else None
    if statements is None:
        if data.has_pair:
            raise PolysenseError(f"{data.name}: no prompt for its pairs; those with one are {', '.join(PROMPTS)}")
        statements = tuple(ANY_CLASS.format(name) for name in names)
    return Prompt(statements, data.has_pair)


def _split(split: Dataset, prompt: Prompt) -> Dataset:
    seconds = split["text_pair"][:] if prompt.has_pair else [""] * len(split)
    columns: dict[str, Any] = {"text": split["text"][:], "choices": [prompt.choices(second) for second in seconds]}
    types: dict[str, Any] = {"text": Value("string"), "choices": List(Value("string"))}
    if "label" in split.column_names:
        columns["label"], types["label"] = split["label"][:], Value("int64")
    return Dataset.from_dict(columns, features=Features(types))
