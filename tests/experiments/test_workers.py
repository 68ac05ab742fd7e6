"""Several processes on the same cells. They are new processes, so the task is one that every process knows."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from polysense.durable import LOCKS
from polysense.errors import PolysenseError
from polysense.experiments import workers
from polysense.experiments.cells import claimed
from polysense.experiments.grid import Grid
from polysense.experiments.runs import Run
from polysense.experiments.workers import complete

pytest_plugins = ("tiny_runs",)


@dataclass(frozen=True)
class Note:
    """A job of no work: it adds a line to a file of its own."""

    folder: Path
    name: str
    wait: float = 0.0
    fate: str = ""

    def attempt(self, progress: bool) -> bool:
        file = self.folder / self.name
        if file.exists():
            return True
        with claimed(file) as mine:
            if not mine:
                return False
            if self.fate == "fail":
                logging.getLogger("polysense").warning("it \x1b[31m fails")
                raise PolysenseError("no luck")
            marker = self.folder / f"{self.name}.killed"
            if self.fate == "kill" or (self.fate == "kill once" and not marker.exists()):
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(self.wait)
            with (self.folder / "log").open("a") as log:
                log.write(f"{self.name} {os.getpid()}\n")
            file.touch()
        return True


def log_of(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "log").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WAIT_SECONDS", 0.05)


def test_no_job_is_done_twice_and_what_a_dead_worker_had_or_a_failure_is_not_in_the_way(tmp_path, capfd):
    jobs = [Note(tmp_path, "a", fate="kill once"), Note(tmp_path, "f", fate="fail")]
    jobs += [Note(tmp_path, f"b{i}", 0.1) for i in range(6)]
    with pytest.raises(PolysenseError, match=r"^f: no luck \(1 of 8 runs failed, the others are kept\)$"):
        complete(jobs, workers=3, progress=False)
    lines = log_of(tmp_path)
    assert sorted(name for name, _ in lines) == ["a", *(f"b{i}" for i in range(6))]
    shown = capfd.readouterr().err
    assert "it \ufffd[31m fails" in shown and "\x1b" not in shown
    assert (tmp_path / "a.killed").exists() and os.getpid() not in {int(pid) for _, pid in lines}
    assert multiprocessing.active_children() == []


def test_what_failed_does_not_command_the_terminal(tmp_path, capsys):
    with pytest.raises(PolysenseError, match="no luck"):
        complete([Note(tmp_path, "a\x1b[31m", fate="fail")], progress=False)
    assert "a\ufffd[31m failed: no luck" in capsys.readouterr().err


def test_when_all_workers_die_what_is_left_is_told(tmp_path):
    jobs = [Note(tmp_path, name, fate="kill") for name in "abc"]
    with pytest.raises(PolysenseError, match=r"ended before the work did \(3 of 3 runs are left"):
        complete(jobs, workers=2, progress=False)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program that is at work on the job "a", until it is killed or told to go on."""
    code = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]):\n    print(flush=True); sys.stdin.read()\n    open(sys.argv[2], 'w').close()\n"
    )
    (tmp_path / LOCKS).mkdir()
    command = [sys.executable, "-c", code, tmp_path / LOCKS / "a.lock", tmp_path / "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "\n"
        yield process
        process.kill()


def test_a_job_that_another_program_does_is_waited_for(tmp_path, holder):
    with claimed(tmp_path / "a") as mine:
        assert not mine
    assert holder.stdin is not None
    threading.Timer(0.3, holder.stdin.close).start()
    complete([Note(tmp_path, "a")], progress=False)
    assert (tmp_path / "a").exists() and not (tmp_path / "log").exists()


def test_a_killed_program_gives_up_what_it_claimed(tmp_path, holder):
    threading.Timer(0.3, holder.kill).start()
    complete([Note(tmp_path, "a")], progress=False)
    assert [name for name, _ in log_of(tmp_path)] == ["a"]


def test_no_workers_are_refused():
    with pytest.raises(PolysenseError, match="workers must be 1 or more"):
        complete([], workers=0)


@pytest.fixture
def grid(tmp_path: Path, tiny: dict[str, Any], clip_folder: Path) -> Iterator[Grid]:
    runs = [Run.parse("text"), Run.parse("macsc", {"image": str(clip_folder)})]
    settings = {"epochs": 1, "max_length": 16}
    return Grid(
        runs, ["coda"], [0, 1], settings, 8, tiny["backbone"], tmp_path / "cells", False, eval_rows=6, splits=[]
    )


def test_workers_give_what_one_process_gives(grid, tmp_path):
    alone = replace(grid, cells=tmp_path / "alone").rows()
    together = grid.rows(workers=2)
    assert [(row.task, row.method, row.scores) for row in together] == [
        (row.task, row.method, row.scores) for row in alone
    ]


def test_what_is_counted_is_named_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    complete([], unit="search", units="searches")
    assert capsys.readouterr().err == ""
    complete([Note(tmp_path, "one")], unit="search", units="searches")
    complete([Note(tmp_path, name) for name in ("two", "three")], unit="search", units="searches")
    shown = capsys.readouterr().err
    assert "1 search:" in shown and "2 searches:" in shown
