"""The user's own rows, and the folders of benchmarks."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reliability.fuzz.reader import Reader
from polysense.tasks import TaskData, get_task, load_files, read_texts
from polysense.tasks.squad_files import load_squad_file

_WORDS = ("a red cat", 'the "big" dog', "naïve, and blue", "two\nlines", "банан", "🍌 and mat", "", "plain")
TEXTS = [
    {"text": f"{word} {number}", "label": "long" if number % 2 else "short"}
    for number, word in enumerate([*_WORDS, *_WORDS])
]
CHOICES = [
    {
        "id": f"q{number}",
        "question": {
            "stem": f"where is {word} {number}?",
            "choices": [{"label": label, "text": f"{label} {word}"} for label in "ABC"],
        },
        "answerKey": "ABC"[number % 3],
    }
    for number, word in enumerate(_WORDS)
]
CONCEPTS = [{"concepts": ["cat", "mat", word], "target": f"a cat sits on {word} ."} for word in _WORDS if word]
SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": word,
            "paragraphs": [
                {
                    "context": f"{word} is yellow and long",
                    "qas": [
                        {
                            "id": f"{number}-{i}",
                            "question": f"what is {word}?",
                            "answers": [{"text": "yellow", "answer_start": len(word) + 4}],
                        }
                        for i in range(2)
                    ],
                }
            ],
        }
        for number, word in enumerate(_WORDS)
    ],
}


def as_lines(rows: Sequence[Any]) -> str:
    """JSON lines, in UTF-8 without escapes."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _delimited(delimiter: str) -> str:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(TEXTS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(TEXTS)
    return stream.getvalue()


def _rows(name: str, text: str, file: str) -> Reader:
    """A file, to train on and to validate on, and to ask about."""

    def write(folder: Path) -> None:
        content = text.encode()
        (folder / file).write_bytes(gzip.compress(content) if file.endswith(".gz") else content)

    def read(folder: Path) -> Any:
        data = load_files(folder / file, folder / file)
        return [_splits(data), read_texts(folder / file).to_dict()]

    return Reader(name, write, read)


def _splits(data: TaskData) -> dict[str, Any]:
    return {name: split.to_dict() for name, split in data.splits.items()}


def _benchmark(task: str, files: dict[str, str], **others: Any) -> Reader:
    def write(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")

    def read(folder: Path) -> Any:
        return _splits(get_task(task).load(folder))

    return Reader(f"task {task}", write, read, **others)


def _mrpc() -> dict[str, str]:
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    rows = [f"{i % 2}\t{i}\t{i + 100}\tone {i} cat\tone dog {i}\n" for i in range(12)]
    ids = "".join(f"{i}\t{i + 100}\n" for i in range(0, 12, 3))
    return {
        "msr_paraphrase_train.txt": header + "".join(rows),
        "msr_paraphrase_test.txt": header + "".join(rows[:5]),
        "dev_ids.tsv": ids,
    }


def _glue(columns: Sequence[str], row: Callable[[int], Sequence[object]]) -> dict[str, str]:
    text = "\n".join("\t".join(map(str, cells)) for cells in (columns, *(row(i) for i in range(10)))) + "\n"
    return {"train.tsv": text, "dev.tsv": text}


def _squad(folder: Path) -> Any:
    data, notes = load_squad_file(folder / "squad.json", training=True)
    return [data.to_dict(), list(notes)]


ROWS = (
    _rows("rows, CSV", _delimited(","), "rows.csv"),
    _rows("rows, TSV", _delimited("\t"), "rows.tsv"),
    _rows("rows, JSON lines", as_lines(TEXTS), "rows.jsonl"),
    _rows("rows, JSON lines, gzip", as_lines(TEXTS), "rows.jsonl.gz"),
    _rows("questions with choices", as_lines(CHOICES), "rows.jsonl"),
    _rows("sets of concepts", as_lines(CONCEPTS), "rows.jsonl"),
    Reader("SQuAD, nested", lambda folder: (folder / "squad.json").write_text(json.dumps(SQUAD)), _squad),
    _rows("SQuAD, own file", json.dumps(SQUAD), "rows.json"),
    _benchmark("mrpc", _mrpc()),
    _benchmark("stsb", _glue(("sentence1", "sentence2", "score"), lambda i: (f"a cat {i}", f"a dog {i}", i / 2))),
    _benchmark("csqa", {"train.jsonl": as_lines(CHOICES), "dev.jsonl": as_lines(CHOICES)}),
    _benchmark("commongen", {"train.jsonl": as_lines(CONCEPTS), "dev.jsonl": as_lines(CONCEPTS)}),
)
