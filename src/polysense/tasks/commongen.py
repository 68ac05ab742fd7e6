"""CommonGen (Lin et al., 2020): a sentence of everyday life that uses a few given concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from datasets import Dataset, Features, Value

from polysense.errors import PolysenseError
from polysense.tasks.benchmark import BenchmarkTask
from polysense.tasks.tables import Table, read_table
from polysense.tasks.task import Defaults
from polysense.text import clean


class CommonGen(BenchmarkTask):
    """CommonGen, scored by BLEU-4, METEOR, ROUGE-L and CIDEr against all sentences of a set of concepts.

    The text is the concepts joined by spaces, as CommonGen's own source files have them. A row to train on is one
    sentence; a row to be scored is one set of concepts, in the order in which they were asked for. A test set without
    sentences has no "references".
    """

    name = "commongen"
    kind = "generation"
    metrics = ("bleu4", "meteor", "rouge_l", "cider")
    # MaCSC A.3.
    defaults: ClassVar[Defaults] = Defaults(learning_rate=2e-5, batch_size=32, epochs=3)
    folders = ("commongen", "common_gen")
    published_rows: ClassVar[Mapping[str, int]] = {"train": 67_389, "validation": 4_018, "test": 6_042}
    hub_repository = "allenai/common_gen"
    hub_configuration = "default"

    def split(self, table: Table, split: str) -> tuple[Dataset, Sequence[str]]:
        return generation_split(table, training=split == "train"), ()


def load_commongen_file(file: Path | str, *, training: bool = False) -> Dataset:
    """The user's sets of concepts, as JSON lines (maybe gzipped) with "concepts" and, unless hidden, "target".

    Raises:
        PolysenseError: the file cannot be read, or is not in that form.
    """
    return generation_split(read_table(file), training=training)


def generation_split(table: Table, *, training: bool) -> Dataset:
    """Sentences in the common shape.

    Args:
        table: columns "concepts" (list of texts) and "target" (a sentence), one sentence a row; without targets, or
            where all are empty, they are hidden.
        training: one row a sentence; else one a set of concepts, in the order of their first rows, or each row as it is
            where the sentences are hidden.

    Returns:
        columns "text" and "target" to train on; else "text" and, unless hidden, "references" (list of texts).

    Raises:
        PolysenseError: the concepts are no texts, or a sentence is missing.
    """
    texts = [_concepts(table, row) for row in range(len(table))]
    targets = table.columns.get("target", [None] * len(table))
    hidden = not training and not any(targets)
    if training and "target" not in table.columns:
        table.column("target")
    if not hidden:
        missing = [row for row, target in enumerate(targets) if not isinstance(target, str) or not target.strip()]
        if missing:
            raise PolysenseError(
                f"{table.where('target', missing)}: the sentence is missing; fill it in or drop the row"
            )
    columns: dict[str, list[Any]]
    types: dict[str, Any] = {"text": Value("string")}
    if training:
        columns = {"text": texts, "target": [clean(target) for target in targets]}
        types["target"] = Value("string")
        return Dataset.from_dict(columns, features=Features(types))
    if hidden:
        return Dataset.from_dict({"text": texts}, features=Features(types))
    references: dict[str, list[str]] = {}
    for text, target in zip(texts, targets, strict=True):
        references.setdefault(text, []).append(target)
    columns = {
        "text": list(references),
        "references": [[clean(target) for target in group] for group in references.values()],
    }
    types["references"] = [Value("string")]
    return Dataset.from_dict(columns, features=Features(types))


def _concepts(table: Table, row: int) -> str:
    concepts = table.column("concepts")[row]
    if not isinstance(concepts, list) or not concepts or not all(isinstance(c, str) and c.strip() for c in concepts):
        raise PolysenseError(
            f"{table.where('concepts', [row])}: these are no list of texts; expected lines of concepts and target"
        )
    return clean(" ".join(concepts))
