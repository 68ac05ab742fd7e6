"""Classes as statements."""

from __future__ import annotations

import pytest
from datasets import Dataset

from polysense.errors import PolysenseError
from polysense.tasks import TASKS, TaskData
from polysense.tasks.prompts import PROMPTS, prompted


def made(
    name: str, kind: str = "classification", pair: bool = False, names: tuple[str, ...] = ("no", "yes")
) -> TaskData:
    columns = {"text": ["a {} b", "c"], **({"text_pair": ["x {} y", ""]} if pair else {})}
    splits = {"train": Dataset.from_dict({**columns, "label": [1, 0]}), "test": Dataset.from_dict(columns)}
    return TaskData(name, kind, splits, names, ("accuracy",), pair)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_has_a_statement_a_class_and_reads_pairs_where_there_are_some(name: str) -> None:
    task = TASKS[name]
    assert len(PROMPTS[name]) == len(task.label_names or ()) == len(set(PROMPTS[name]))
    assert all(("{}" in statement) == task.has_pair for statement in PROMPTS[name])


def test_the_classes_say_yes_where_the_label_does() -> None:
    names = {name: TASKS[name].label_names or () for name in PROMPTS}
    assert names["qnli"][0] == "entailment" and names["mnli"] == ("entailment", "neutral", "contradiction")
    assert "not" in names["mrpc"][0] and "not" in names["qqp"][0] and names["sst2"][0] == "negative"


def test_rows_become_choices_in_the_order_of_the_classes() -> None:
    names = TASKS["mrpc"].label_names or ()
    data = prompted(made("mrpc", pair=True, names=names))
    assert data.kind == "choice" and data.label_names == names and not data.has_pair
    train = data.splits["train"]
    assert train["text"][:] == ["a {} b", "c"] and train["label"][:] == [1, 0]
    assert train["choices"][:] == [["No, x {} y", "Yes, x {} y"], ["No, ", "Yes, "]]
    assert "label" not in data.splits["test"].column_names
    own = prompted(made("mine", names=("red", "blue")))
    assert own.splits["train"]["choices"][0] == ["It is red.", "It is blue."]


def test_what_has_no_prompt_is_refused() -> None:
    with pytest.raises(PolysenseError, match="mine: no prompt for its pairs"):
        prompted(made("mine", pair=True))
    with pytest.raises(PolysenseError, match="mrpc: no prompt"):  # a file of one's own by that name
        prompted(made("mrpc", pair=True, names=("red", "blue")))
    with pytest.raises(PolysenseError, match="stsb: there is no prompt for regression: prompts choose between classes"):
        prompted(made("stsb", kind="regression"))
