from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from benchmarks.reliability.kills import OUTPUT, Program, failures, run_killed, survives

from polysense.folder import working_folder

LASTS = 10.0
"""Seconds of the program that is made up here; it keeps a checkpoint after 5."""


class Machine:
    """Runs the made-up program on a clock of its own.

    Args:
        wrong: whether it comes out otherwise where it went on from a checkpoint.
        lasts: seconds that it takes when it is run again and again.
    """

    def __init__(self, wrong: bool = False, lasts: float = LASTS) -> None:
        self.now, self.wrong, self.lasts = 0.0, wrong, lasts

    def polysense(self, arguments: Sequence[str], kill_after: float | None = None) -> bool:
        output, resumes = Path(arguments[0]), "--resume" in arguments
        takes = LASTS / 2 if resumes else self.lasts if output.parent.name != "whole" else LASTS
        killed = kill_after is not None and kill_after < takes
        self.now += kill_after if killed else takes
        if killed:
            if kill_after > 5:
                (working_folder(output) / "checkpoint-1").mkdir(parents=True, exist_ok=True)
            return False
        output.mkdir(parents=True)
        (output / "weights").write_text("others" if resumes and self.wrong else "the same")
        return True


def program(resumes: bool = True) -> Program:
    def digest(output: Path) -> dict[str, Any]:
        return {"weights": (output / "weights").read_text()}

    return Program("made up", lambda folder: [str(folder / OUTPUT)], digest, resumes)


def place(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    monkeypatch.setattr("benchmarks.reliability.kills.polysense", machine.polysense)
    monkeypatch.setattr("benchmarks.reliability.kills.time.perf_counter", lambda: machine.now)


@pytest.mark.parametrize(
    ("moments", "found"),
    [([3], (1, 0)), ([7], (1, 1)), ([7, 4], (2, 2)), ([7, 6], (1, 1)), ([3, 7], (2, 1)), ([11], (0, 0))],
)
def test_kills_and_what_was_gone_on_from(
    moments: list[float], found: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(monkeypatch, Machine())
    assert run_killed(program(), tmp_path, moments) == found
    assert (tmp_path / OUTPUT / "weights").exists()


def test_every_third_run_is_killed_twice_and_all_come_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(monkeypatch, Machine())
    row = survives(program(), 9, 0, tmp_path)
    assert (row["seconds"], row["killed"], row["the_same"]) == (LASTS, 9, 9)
    assert 0 < row["killed_twice"] <= 3
    assert row["from_a_checkpoint"] > 0
    assert failures(row, resumes=True) == []


def test_what_comes_out_otherwise_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, Machine(wrong=True))
    row = survives(program(), 9, 0, tmp_path)
    others = len(row["different_at_seconds"])
    assert 0 < others < 9
    assert row["the_same"] == 9 - others
    assert failures(row, resumes=True) == [f"made up: {others} of 9 runs came out otherwise"]


def test_what_was_not_shown_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, Machine(lasts=0))
    row = survives(program(), 2, 0, tmp_path / "short")
    assert (row["killed"], row["the_same"]) == (0, 0)
    assert "no run was killed before its end" in failures(row, resumes=True)[0]
    place(monkeypatch, Machine())
    row = survives(program(resumes=False), 2, 0, tmp_path / "by itself")
    assert row["from_a_checkpoint"] == 0
    assert "no run went on from a checkpoint" in failures(row, resumes=True)[0]
    assert failures(row, resumes=False) == []
