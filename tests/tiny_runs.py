"""Runs of seconds: tiny files, tiny models, and the command line called from within.

A plugin: a test module that needs it says `pytest_plugins = ("tiny_runs",)`. It is imported by name too, before pytest
could rewrite its assertions: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from polysense import cli as command_line
from polysense.tasks import Defaults, Task, TaskData
from polysense.tasks.registry import TASKS
from polysense.tasks.task import build_split
from polysense.training.train import train
from support import sentences

COLORS = ("red", "yellow")


def text_rows(count: int = 24, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences with a class, a second sentence and a value, each told by the sentence."""
    seconds = sentences(count, 4, seed + 1)
    return [
        {
            "text": text,
            "other": second,
            "label": "long" if len(text) > 12 else "short",
            "value": len(text) / 7 + 0.25,
        }
        for text, second in zip(sentences(count, 6, seed), seconds, strict=True)
    ]


def write_rows(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def hashes(folder: Path) -> dict[str, str]:
    """The digest of every file under a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class TinyTask(Task):
    """24 sentences about colours, with the splits of CoDa."""

    name = "tiny"
    label_names: ClassVar[tuple[str, ...]] = COLORS
    defaults: ClassVar[Defaults] = Defaults(epochs=1, batch_size=16, learning_rate=1e-3)

    def load(self, data_dir: Path | None = None) -> TaskData:
        splits = {}
        for seed, name in enumerate(("train", "validation", "coda_test", "memory_color")):
            texts = sentences(24 if name == "train" else 10, 5, seed)
            splits[name] = build_split([texts], [len(text) % 2 for text in texts], "classification")
        return self.task_data(splits, ["tiny: made up"])


@dataclass
class Outcome:
    status: Any
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which must be one JSON object in one line, and nothing else."""
        assert self.status == 0, self.err
        assert self.out.endswith("\n") and self.out.count("\n") == 1, self.out
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> str:
        """The message of a failed run: the last line, the only one of its kind, without a traceback."""
        assert self.status == 2, (self.status, self.out, self.err)
        assert self.out == ""
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert [line.startswith("polysense: error: ") for line in lines].count(True) == 1, self.err
        assert lines[-1].startswith("polysense: error: "), self.err
        return lines[-1].removeprefix("polysense: error: ")


class Cli:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Outcome:
        self.monkeypatch.setattr(sys, "argv", ["polysense", *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            command_line.main()
        captured = self.capsys.readouterr()
        return Outcome(end.value.code, captured.out, captured.err)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON lines with the columns "text", "other", "label" and "value"."""
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", text_rows())


@pytest.fixture(scope="session")
def tiny(rows_file: Path, bert_folder: Path, clip_folder: Path) -> dict[str, Any]:
    """Arguments of `train` for MaCSC on tiny models, one epoch."""
    return {
        "train_file": rows_file,
        "backbone": str(bert_folder),
        "towers": [f"image={clip_folder}"],
        "batch_size": 8,
        "epochs": 1,
        "progress": False,
    }


@pytest.fixture(scope="session")
def flags(rows_file: Path, bert_folder: Path, clip_folder: Path) -> list[str]:
    """The same for the command line."""
    return (
        f"--train-file {rows_file} --backbone {bert_folder} --tower image={clip_folder} --batch-size 8 --epochs 1"
    ).split()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]) -> Path:
    """A trained classifier; never write into it."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    train(folder, learning_rate=1e-3, **tiny)
    return folder


@pytest.fixture
def tiny_task() -> Iterator[Task]:
    """The task "tiny", known by that name."""
    task = TinyTask()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, task.name, task)
        yield task
