"""The user's own questions and concepts: files in the forms of the benchmarks whose kind they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets import Dataset

from polysense.errors import PolysenseError
from polysense.tasks.commongen import CommonGen, generation_split
from polysense.tasks.csqa import CommonsenseQA, choice_split
from polysense.tasks.splitting import hold_out
from polysense.tasks.squad import FITTED, SquadV2
from polysense.tasks.squad_files import read_squad, span_split
from polysense.tasks.tables import Table
from polysense.tasks.task import LABELS, Kind, Task, TaskData


@dataclass(frozen=True)
class Form:
    """How files of a kind are read.

    Attributes:
        kind: of the rows.
        task: the benchmark that has such rows, for metrics and hyper-parameters to start from.
        fields: by which a file of this form is known.
        answers: the fields that say what is right, best first.
        split: a table and whether it is to train on, to a split in the common shape and what is to be said of it.
    """

    kind: Kind
    task: Task
    fields: tuple[str, ...]
    answers: tuple[str, ...]
    split: Callable[[Table, bool], tuple[Dataset, Sequence[str]]]

    def fits(self, table: Table) -> bool:
        """Whether a file has the fields of this form."""
        return set(self.fields) <= table.columns.keys()

    def check_answers(self, table: Table) -> None:
        """Refuse a file with the questions of this form and no field of answers: it may well be meant otherwise.

        Raises:
            PolysenseError: as said.
        """
        if self.fits(table) and not table.columns.keys() & set(self.answers):
            raise PolysenseError(
                f"{table.source}: it has the fields of {self.kind} ({', '.join(self.fields)}), but no field "
                f"{' or '.join(map(repr, self.answers))}; add it, or name the texts with --text-column"
            )

    def asked(self, table: Table) -> Dataset:
        """The rows to predict on, each of the table, whatever it says is right.

        Raises:
            PolysenseError: a field is missing or of the wrong type.
        """
        asked = replace(table, columns={name: c for name, c in table.columns.items() if name not in self.answers})
        split, _ = self.split(asked, False)
        return split

    def scored(self, table: Table) -> tuple[Dataset, Sequence[str]]:
        """The rows to score a model on, and what is to be said of them.

        Raises:
            PolysenseError: as `asked`, or they do not say what is right.
        """
        split, notes = self.split(table, False)
        if not LABELS[self.kind] & set(split.column_names):
            field = next((name for name in self.answers if name in table.columns), self.answers[0])
            table.column(field)
            raise PolysenseError(f"{table.source}, column {field!r}: all are missing, so there is nothing to score by")
        return split, notes


def _choices(table: Table, training: bool) -> tuple[Dataset, Sequence[str]]:
    return choice_split(table, labelled=True if training else None), ()


def _spans(table: Table, training: bool) -> tuple[Dataset, Sequence[str]]:
    return span_split(table, training=training, unanswerable=True)


def _sentences(table: Table, training: bool) -> tuple[Dataset, Sequence[str]]:
    return generation_split(table, training=training), ()


FORMS: dict[Kind, Form] = {
    "span": Form("span", SquadV2(), ("question", "context"), ("answers",), _spans),
    "choice": Form("choice", CommonsenseQA(), ("question", "choices"), ("answerKey", "label"), _choices),
    "generation": Form("generation", CommonGen(), ("concepts",), ("target",), _sentences),
}
"""By kind: SQuAD's questions (`squad_files`), CommonsenseQA's (`csqa`) and CommonGen's concepts (`commongen`)."""


def read_own(file: Path | str) -> Table:
    """The rows of a file of one's own: a table (`read_table`), or SQuAD's nested JSON; one question a row.

    CommonsenseQA's published lines hold the choices inside the question; they come with a column "choices", too.

    Raises:
        PolysenseError: the file cannot be read, or is in none of these forms.
    """
    table = read_squad(Path(file))
    questions = table.columns.get("question", [])
    if "choices" not in table.columns and any(isinstance(question, dict) for question in questions):
        inner = [question.get("choices") if isinstance(question, dict) else None for question in questions]
        table.columns["choices"] = inner
    return table


def form_of(table: Table, columns: Sequence[str], kind: Kind | None = None) -> Form | None:
    """The form in which a file is to be read; None for a table with the texts in columns.

    Args:
        columns: of the texts, by which a table is known.
        kind: what the rows are for, where that is known; None: told by the fields of a file without these columns.

    Raises:
        PolysenseError: the fields are those of several forms.
    """
    if kind is not None:
        form = FORMS.get(kind)
        if form is not None and form.fits(table) and tuple(columns) == ("text",):
            return form  # which may well have a column of that name besides; other names were given on purpose
        return None if set(columns) <= table.columns.keys() else form
    if set(columns) & table.columns.keys():
        return None
    found = [form for form in FORMS.values() if form.fits(table)]
    if len(found) > 1:
        raise PolysenseError(
            f"{table.source}: it has the fields of {' and of '.join(form.kind for form in found)}; "
            "say which with --kind, or name the texts with --text-column"
        )
    return found[0] if found else None


def load_form(
    form: Form, train: Table, validation: Table | None, others: Mapping[str, Table], share: float, seed: int
) -> TaskData:
    """Files of a form in the common shape.

    Args:
        train: the rows to train on.
        validation: to validate on; None: `share` of the training rows, drawn by `seed`, whole contexts or concepts.
        others: more splits by name, scored where they say what is right.
        share: above 0 and below 1.
        seed: of the draw.

    Raises:
        PolysenseError: as `Form.scored`; or too few rows to set some aside.
    """
    notes: list[str] = []

    def told(name: str, found: tuple[Dataset, Sequence[str]]) -> Dataset:
        split, said = found
        notes.extend(f"{name}: {note}" for note in said)
        return split

    if validation is None:
        # By the scored rows: to train on, some may be left out.
        rows, _ = form.split(train, form.kind == "generation")
        kept, held = hold_out(rows, form.kind, share, seed, train.source)
        train, validation = train.select(kept), train.select(held)
    splits = {
        "train": told("train", form.split(train, True)),
        "validation": told("validation", form.scored(validation)),
        **{name: told(name, form.split(table, False)) for name, table in others.items()},
    }
    scored_alone = not any(LABELS[form.kind] & set(splits[name].column_names) for name in others)
    if form.kind == "span" and scored_alone and not all(splits["train"]["answers"]):
        notes.append(FITTED)
    name = Path(train.source).name.split(".")[0]
    return TaskData(name, form.kind, splits, None, form.task.metrics, form.task.has_pair, tuple(notes))
