"""SQuAD v1.1 (Rajpurkar et al., 2016) and v2.0 (2018): which part of a text answers a question, if any."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from datasets import Dataset

from polysense.errors import PolysenseError
from polysense.tasks.benchmark import BenchmarkTask
from polysense.tasks.squad_files import read_squad, span_split
from polysense.tasks.tables import Table
from polysense.tasks.task import Defaults, TaskData

TOKENISED = "train_sample_tokenised"
"""A file of training rows whose texts are tokens joined by spaces, where the raw ones are not to be had."""

FITTED = (
    'the threshold of "no answer" is chosen on the validation rows that are scored, as is usual for SQuAD v2.0: a '
    "little in favour of every method"
)
"""What is to be said where no other rows are scored."""

TITLE_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
"""Shares of the rows where a development set alone is there and is cut by title."""


class SquadTask(BenchmarkTask):
    """Questions on paragraphs of Wikipedia; scored by the share of exact answers and by the overlap of words (F1).

    Splits: "train" and "validation" (the published development set; the published test set is hidden). Where the
    training file is missing, the development set is cut by the articles' titles into "train", "validation" and "test",
    which share no article, and a note says so.

    Files: the official nested JSON, e.g. train-v1.1.json, or train.jsonl, maybe with .gz.
    """

    kind = "span"
    metrics = ("exact_match", "f1")
    has_pair = True
    # MaCSC A.3; 384 tokens are what BERT's authors gave to question and context.
    defaults: ClassVar[Defaults] = Defaults(learning_rate=3e-5, batch_size=12, epochs=3, max_length=384)
    endings = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
    unanswerable: ClassVar[bool]

    def is_in(self, folder: Path) -> bool:
        return self.find(folder, "train") is not None or self.find(folder, "validation") is not None

    def read(self, path: Path, split: str) -> Table:  # noqa: ARG002 - of the base class
        return read_squad(path)

    def local_tables(self, folder: Path) -> tuple[dict[str, Table], list[str]]:
        tables, notes = super().local_tables(folder)
        if "train" not in tables:
            whole = tables.pop("validation")
            tables |= cut_by_title(whole)
            shares = ", ".join(f"{len(tables[split]):,} {split}" for split in TITLE_SHARES)
            notes.append(
                f"{self.name}: there is no training file, so {Path(whole.source).name} is cut by title "
                f"into {shares}: scores do not compare with published ones"
            )
        return tables, notes

    def notes(self, table: Table, path: Path, split: str) -> Iterator[str]:
        yield from super().notes(table, path, split)
        if path.name.startswith(TOKENISED):
            yield f"the texts of {path.name} are tokens joined by spaces, unlike those that are scored"

    def load(self, data_dir: Path | None = None) -> TaskData:
        data = super().load(data_dir)
        if not self.unanswerable or "test" in data.labelled:
            return data
        return replace(data, notes=(*data.notes, f"{self.name}: {FITTED}"))

    def split(self, table: Table, split: str) -> tuple[Dataset, Sequence[str]]:
        return span_split(table, training=split == "train", unanswerable=self.unanswerable)


class SquadV1(SquadTask):
    """SQuAD v1.1: every question has an answer in its paragraph."""

    name = "squad_v1"
    folders = ("squad_v1",)
    files: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "train": ("train-v1.1", "train", TOKENISED),
        "validation": ("dev-v1.1", "dev", "validation"),
        "test": ("test",),
    }
    published_rows: ClassVar[Mapping[str, int]] = {"train": 87_599, "validation": 10_570}
    hub_repository = "rajpurkar/squad"
    hub_configuration = "plain_text"
    unanswerable = False


class SquadV2(SquadTask):
    """SQuAD v2.0: half of the development set's questions have no answer in their paragraph, which is to be said."""

    name = "squad_v2"
    folders = ("squad_v2",)
    files: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "train": ("train-v2.0", "train", TOKENISED),
        "validation": ("dev-v2.0", "dev", "validation"),
        "test": ("test",),
    }
    published_rows: ClassVar[Mapping[str, int]] = {"train": 130_319, "validation": 11_873}
    hub_repository = "rajpurkar/squad_v2"
    hub_configuration = "squad_v2"
    unanswerable = True


def cut_by_title(table: Table) -> dict[str, Table]:
    """Rows cut into `TITLE_SHARES` so that no two parts share a title; the same rows give the same cut everywhere.

    Titles are taken in the order of their SHA-256, whole, until a part has its share.

    Raises:
        PolysenseError: there are no titles, or too few.
    """
    titles = table.texts("title")
    order = sorted(set(titles), key=lambda title: hashlib.sha256(title.encode()).hexdigest())
    if len(order) < len(TITLE_SHARES) or "" in order:
        raise PolysenseError(
            f"{table.source}, column 'title': without a training file the rows are cut by title, and they have "
            f"{'none' if '' in order else f'{len(order)} only'}; give a training file"
        )
    names = list(TITLE_SHARES)
    part_of = {}
    part = taken = 0
    bound = TITLE_SHARES[names[0]]
    for left, title in zip(range(len(order) - 1, -1, -1), order, strict=True):
        part_of[title] = names[part]
        taken += titles.count(title)
        # Every later part gets a title, however large the first articles are.
        if part + 1 < len(names) and (taken >= bound * len(titles) or left < len(names) - part):
            part += 1
            bound += TITLE_SHARES[names[part]]
    return {name: table.select([row for row, title in enumerate(titles) if part_of[title] == name]) for name in names}
