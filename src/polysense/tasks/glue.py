"""Six tasks of GLUE (Wang et al., 2019), from local files or the hub's `nyu-mll/glue`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from datasets import Dataset

from polysense.tasks.benchmark import BenchmarkTask
from polysense.tasks.labels import class_indices, targets
from polysense.tasks.tables import Table, read_table, read_text
from polysense.tasks.task import build_split

HELD_OUT = "train_heldout"
"""A file of training rows that were held out to validate on, where the published development set is not to be had."""


class GlueTask(BenchmarkTask):
    """A GLUE task, declared by its columns and the names of its files.

    TSV files are read as GLUE publishes them: with a header and without quoting.

    Attributes:
        text_columns: names of the text columns; the first alternative whose columns are all there is read.
        label_columns: names of the label column, likewise. Labels are names of classes or their indices.
    """

    text_columns: ClassVar[tuple[tuple[str, ...], ...]]
    label_columns: ClassVar[tuple[str, ...]] = ("label",)
    files: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "train": ("train", "train_sample"),
        "validation": ("dev", "validation", "valid", "val"),
        "test": ("test",),
    }
    endings = (".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz")
    hub_repository = "nyu-mll/glue"

    def read(self, path: Path, split: str) -> Table:  # noqa: ARG002 - MRPC needs it
        """The rows of a split. GLUE's own TSV files hold a few rows that lack a field; those are left out."""
        return read_table(path, quoted=False, tolerant=True)

    def notes(self, table: Table, path: Path, split: str) -> Iterator[str]:
        """That rows were held out in place of a development set, or as for any benchmark."""
        if not path.name.startswith(HELD_OUT):
            yield from super().notes(table, path, split)
            return
        yield f"{path.name} is held out of the training set, for lack of the published development set"
        if table.skipped:
            yield f"{table.skipped:,} malformed rows of {path.name} are left out"

    def split(self, table: Table, split: str) -> tuple[Dataset, Sequence[str]]:
        """The rows in the common shape; published test sets hide their labels (all -1, or no such column)."""
        names = next((names for names in self.text_columns if set(names) <= table.columns.keys()), self.text_columns[0])
        texts = [table.texts(name) for name in names]
        label = next((name for name in self.label_columns if name in table.columns), self.label_columns[0])
        hidden = label not in table.columns or all(value in (-1, "-1") for value in table.columns[label])
        labels: list[int] | list[float] | None
        if hidden and split not in ("train", "validation"):
            labels = None
        elif self.label_names is None:
            labels = targets(table, label)
        else:
            labels = class_indices(table, label, self.label_names, by_index=True)
        return build_split(texts, labels, self.kind), ()


class SST2(GlueTask):
    """Sentiment of film-review phrases; GLUE's SST-2."""

    name = "sst2"
    label_names = ("negative", "positive")
    folders = ("sst2", "SST-2")
    text_columns = (("sentence",),)
    published_rows: ClassVar[Mapping[str, int]] = {"train": 67_349, "validation": 872, "test": 1_821}


class QNLI(GlueTask):
    """Whether a sentence answers a question; GLUE's QNLI."""

    name = "qnli"
    label_names = ("entailment", "not_entailment")
    has_pair = True
    folders = ("qnli", "QNLI")
    text_columns = (("question", "sentence"),)
    published_rows: ClassVar[Mapping[str, int]] = {"train": 104_743, "validation": 5_463, "test": 5_463}


class QQP(GlueTask):
    """Whether two questions ask the same; GLUE's QQP.

    A folder without a development file may hold `train_heldout`, which then serves as validation (and a note says so).
    """

    name = "qqp"
    label_names = ("not_duplicate", "duplicate")
    has_pair = True
    folders = ("qqp", "QQP")
    text_columns = (("question1", "question2"),)
    label_columns = ("label", "is_duplicate")
    files: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **GlueTask.files,
        "validation": (*GlueTask.files["validation"], HELD_OUT),
    }
    published_rows: ClassVar[Mapping[str, int]] = {"train": 363_846, "validation": 40_430, "test": 390_965}


class MNLI(GlueTask):
    """Whether a premise entails a hypothesis; GLUE's MNLI, validated on matched genres."""

    name = "mnli"
    label_names = ("entailment", "neutral", "contradiction")
    has_pair = True
    folders = ("mnli", "MNLI")
    text_columns = (("premise", "hypothesis"), ("sentence1", "sentence2"))
    label_columns = ("gold_label", "label")
    files: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "train": GlueTask.files["train"],
        "validation": ("dev_matched", "validation_matched", "dev_matched_sample1k"),
        "validation_mismatched": ("dev_mismatched", "validation_mismatched", "dev_mismatched_sample1k"),
        "test": ("test_matched",),
        "test_mismatched": ("test_mismatched",),
    }
    published_rows: ClassVar[Mapping[str, int]] = {
        "train": 392_702,
        "validation": 9_815,
        "validation_mismatched": 9_832,
        "test": 9_796,
        "test_mismatched": 9_847,
    }
    hub_splits: ClassVar[Mapping[str, str]] = {"validation_matched": "validation", "test_matched": "test"}


class MRPC(GlueTask):
    """Whether two news sentences mean the same; GLUE's MRPC.

    Besides the common names, Microsoft's own `msr_paraphrase_train.txt` and `msr_paraphrase_test.txt` are read;
    GLUE's list `dev_ids.tsv` then tells which rows of the former are the development set.
    """

    name = "mrpc"
    label_names = ("not_equivalent", "equivalent")
    has_pair = True
    folders = ("mrpc", "MRPC")
    text_columns = (("sentence1", "sentence2"), ("#1 String", "#2 String"))
    label_columns = ("label", "Quality")
    published_rows: ClassVar[Mapping[str, int]] = {"train": 3_668, "validation": 408, "test": 1_725}

    def find(self, folder: Path, split: str) -> Path | None:
        """The file of a split; Microsoft's files count only where GLUE's are not, but their test set has the labels."""
        own = folder / f"msr_paraphrase_{'test' if split == 'test' else 'train'}.txt"
        if split == "test" and own.is_file():
            return own
        path = super().find(folder, split)
        if path is None and own.is_file() and (folder / "dev_ids.tsv").is_file():
            return own
        return path

    def read(self, path: Path, split: str) -> Table:
        """The rows of a split, those of `msr_paraphrase_train.txt` divided by `dev_ids.tsv`."""
        if path.suffix != ".txt":
            return super().read(path, split)
        table = read_table(path, form="tsv", quoted=False, tolerant=True)
        if split == "test":
            return table
        listed = read_text(path.parent / "dev_ids.tsv").splitlines()
        development = {tuple(line.split("\t")) for line in listed}
        pairs = zip(table.column("#1 ID"), table.column("#2 ID"), strict=True)
        rows = [row for row, pair in enumerate(pairs) if (pair in development) == (split == "validation")]
        return table.select(rows)


class STSB(GlueTask):
    """How alike two sentences are, 0 to 5; GLUE's STS-B."""

    name = "stsb"
    kind = "regression"
    metrics = ("spearman",)
    has_pair = True
    folders = ("stsb", "STS-B")
    text_columns = (("sentence1", "sentence2"),)
    label_columns = ("score", "label")
    published_rows: ClassVar[Mapping[str, int]] = {"train": 5_749, "validation": 1_500, "test": 1_379}
