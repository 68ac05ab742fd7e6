"""The user's own data: CSV, TSV and JSON-lines files with one or two text columns, or in the form of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets import Dataset

from polysense.errors import PolysenseError
from polysense.tasks.forms import FORMS, form_of, load_form, read_own
from polysense.tasks.labels import class_indices, class_names, infer_kind, targets
from polysense.tasks.splitting import split_rows
from polysense.tasks.tables import Table, read_table
from polysense.tasks.task import Defaults, Kind, TaskData, build_split

METRICS_OF: dict[Kind, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "regression": ("spearman",),
    **{kind: form.task.metrics for kind, form in FORMS.items()},
}
"""How the user's data are scored, by kind."""

DEFAULTS_OF: dict[Kind, Defaults] = {
    "classification": Defaults(),
    "regression": Defaults(),
    **{kind: form.task.defaults for kind, form in FORMS.items()},
}
"""What the user's data are trained with unless told otherwise, by kind."""

TEXT, LABEL = "text", "label"
"""Columns of the user's tables unless told otherwise."""


def load_files(
    train_file: Path | str | None = None,
    validation_file: Path | str | None = None,
    other_files: Mapping[str, Path | str] | None = None,
    *,
    text_columns: Sequence[str] = (TEXT,),
    label_column: str = LABEL,
    kind: Kind | None = None,
    validation_share: float = 0.1,
    seed: int = 0,
) -> TaskData:
    """The user's files in the common shape.

    Classes and values are tables with columns of texts and labels. Choices, spans and texts to write have the fields of
    CommonsenseQA, SQuAD and CommonGen (see `forms`): a training file that has these and not the text columns, or whose
    kind is given, is read so, and the other files like it.

    Args:
        train_file: CSV, TSV or JSON lines, each maybe gzipped (see `read_table`). The classes are its labels.
        validation_file: likewise; None: `validation_share` of the training rows, drawn by `seed` and stratified.
        other_files: more splits by name; one without the label column is unlabelled.
        text_columns: the column of the text, or the two of a pair. Empty or missing texts are empty strings; NUL and
            lone surrogates become U+FFFD.
        label_column: the column of the labels; texts or numbers.
        kind: None: told by the fields, else from the training labels by `labels.infer_kind`.
        validation_share: above 0 and below 1.
        seed: of the drawn split.

    Raises:
        PolysenseError: no training file, an unreadable or malformed file, a missing column, a missing label, one
            class only, a class that training does not have, a regression target that is no finite number, or too few
            rows to set some aside.
    """
    columns = _check_columns(text_columns, label_column)
    if train_file is None:
        raise PolysenseError("no training file is given; give train_file")
    others = dict(other_files or {})
    if taken := {"train", "validation"} & others.keys():
        raise PolysenseError(f"other_files may not name a split {sorted(taken)[0]!r}; give it as its own argument")
    train = read_own(train_file)
    form = FORMS.get(kind) if kind else form_of(train, columns)
    if form is not None:
        _check_form(form.kind, columns, label_column)
        if kind is None:
            form.check_answers(train)
        validation = None if validation_file is None else read_own(validation_file)
        tables = {name: read_own(file) for name, file in others.items()}
        return load_form(form, train, validation, tables, validation_share, seed)
    texts = [train.texts(column) for column in columns]
    kind = kind or infer_kind(train.column(label_column))
    label_names = class_names(train, label_column) if kind == "classification" else None
    labels = _labels(train, label_column, label_names)
    if label_names is None and len(set(labels)) == 1:
        raise PolysenseError(
            f"{train_file}, column {label_column!r}: every row has the target {labels[0]}; "
            "regression needs at least two values"
        )
    whole = build_split(texts, labels, kind)
    if validation_file is None:
        kept, drawn = split_rows(labels, kind, validation_share, seed, str(train_file))
        splits = {"train": whole.select(kept), "validation": whole.select(drawn)}
    else:
        splits = {
            "train": whole,
            "validation": _labelled(read_table(validation_file), columns, label_column, label_names),
        }
    for name, file in others.items():
        table = read_table(file)
        if label_column in table.columns:
            splits[name] = _labelled(table, columns, label_column, label_names)
        else:
            splits[name] = build_split([table.texts(column) for column in columns], None, kind)
    name = Path(train_file).name.split(".")[0]
    return TaskData(name, kind, splits, label_names, METRICS_OF[kind], len(columns) == 2)


def load_labelled(
    file: Path | str,
    text_columns: Sequence[str],
    label_column: str,
    kind: Kind,
    label_names: Sequence[str] | None = None,
) -> tuple[Dataset, tuple[str, ...]]:
    """One labelled file, to score a saved model on.

    Args:
        file: as in `load_files`.
        text_columns: one or two columns, of classes and values.
        label_column: the column of the labels, likewise.
        kind: the model's.
        label_names: the model's class names in order (classification only). Whole numbers count as class indices
            where neither the model's names nor the file's labels are names of that list.

    Returns:
        Columns "text", "text_pair" (for two text columns) and "label"; of the other kinds as `TaskData` has them. And
        what has to be said of them, answers that are not in their contexts, say.

    Raises:
        PolysenseError: as `load_files`; or a label that the model does not know; or classification without names.
    """
    columns = _check_columns(text_columns, label_column)
    if kind in FORMS:
        _check_form(kind, columns, label_column)
        rows, notes = FORMS[kind].scored(read_own(file))
        return rows, tuple(notes)
    if kind == "classification" and not label_names:
        raise PolysenseError(f"{file}: the model's class names are needed to read class labels; give label_names")
    names = tuple(label_names or ()) if kind == "classification" else None
    return _labelled(read_table(file), columns, label_column, names, trained=True), ()


def read_texts(file: Path | str, text_columns: Sequence[str] = (TEXT,), kind: Kind | None = None) -> Dataset:
    """The texts of one file, to predict on.

    Args:
        file: a table with the text columns, or else in the form of a benchmark (see `load_files`).
        text_columns: one, or two for pairs.
        kind: what is predicted; None: told by the file's fields.

    Returns:
        columns "text" and, for two text columns, "text_pair"; of a form as `TaskData` has them without the answers.

    Raises:
        PolysenseError: an unreadable, malformed or empty file, or a missing column.
    """
    columns = _check_columns(text_columns)
    table = read_own(file)
    form = form_of(table, columns, kind)
    if form is not None:
        _check_form(form.kind, columns)
        return form.asked(table)
    return build_split([table.texts(column) for column in columns], None, "classification")


def _check_columns(text_columns: Sequence[str], label_column: str | None = None) -> tuple[str, ...]:
    columns = (text_columns,) if isinstance(text_columns, str) else tuple(text_columns)
    if len(columns) not in (1, 2):
        raise PolysenseError(f"{len(columns)} text columns are given; give one, or two for pairs")
    if len(set(columns)) < len(columns):
        raise PolysenseError(f"the text column {columns[0]!r} is given twice; name two different columns, or one")
    if label_column in columns:
        raise PolysenseError(f"column {label_column!r} is given both as text and as label; name another column")
    return columns


def _check_form(kind: Kind, columns: Sequence[str], label_column: str | None = None) -> None:
    """Refuse names of columns where fields have theirs."""
    fields = ", ".join(FORMS[kind].fields)
    for given, flag in (
        (tuple(columns) != (TEXT,), "--text-column"),
        (label_column not in (None, LABEL), "--label-column"),
    ):
        if given:
            raise PolysenseError(
                f"{flag} is for classes and values; rows of {kind} have the fields {fields}: leave it out"
            )


def _labels(table: Table, column: str, names: Sequence[str] | None, trained: bool = False) -> list[int] | list[float]:
    """Indices into the names, or values; a model that is `trained` may know classes by index, and keeps its kind."""
    if names is not None:
        return class_indices(table, column, names, by_index=trained)
    classes = "a model trained on classes" if trained else "--kind classification"
    return targets(table, column, f", or give {classes} if these are classes")


def _labelled(
    table: Table, columns: Sequence[str], label_column: str, names: Sequence[str] | None, trained: bool = False
) -> Dataset:
    texts = [table.texts(column) for column in columns]
    kind: Kind = "regression" if names is None else "classification"
    return build_split(texts, _labels(table, label_column, names, trained), kind)
