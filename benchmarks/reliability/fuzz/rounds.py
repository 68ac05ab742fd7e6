"""Rounds: damage a copy of the input, read it, and say how that ended.

A reader runs in a child process with a limit to its memory, so that a hang, a crash of a C library or a blow-up is but
one more outcome: the child is ended, and another one goes on with the next round.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from benchmarks.reliability.fuzz.damage import damage
from benchmarks.reliability.fuzz.reader import Reader, digest
from polysense.errors import PolysenseError

Outcome = Literal["same", "other", "named", "unnamed", "crash"]
OUTCOMES: tuple[Outcome, ...] = ("same", "other", "named", "unnamed", "crash")
SECONDS = 20.0
"""That a reading may take."""
_FIRST_SECONDS = 300.0
"""That writing the input, or the readings of the whole one, may take: they import what is needed."""
_MEMORY = 4 * 2**30
"""Bytes that a child may take beside what it began with."""
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Round:
    """How one reading ended.

    Attributes:
        outcome: one of `OUTCOMES`.
        told: file, way of damage, and the error, to look into.
    """

    outcome: Outcome
    told: str


def run_rounds(reader: Reader, folder: Path, rounds: int, seed: int) -> Iterator[Round]:
    """Write the reader's input into the folder, then damage and read copies of it.

    Raises:
        RuntimeError: the input cannot be written, or the whole one not read twice the same.
    """
    folder.mkdir()
    _alone(_write, reader, folder)
    number = 0
    while number < rounds:
        ours, theirs = _fork.Pipe(duplex=False)
        child = _fork.Process(target=_rounds, args=(reader, folder, range(number, rounds), seed, theirs))
        child.start()
        theirs.close()
        ready = False
        try:
            while number < rounds:
                if not ours.poll(SECONDS if ready else _FIRST_SECONDS):
                    ended = f"no end within {SECONDS:g} s"
                    break
                message = ours.recv()
                if ready:
                    number += 1
                    yield message
                ready = True
        except EOFError:
            child.join()
            ended = f"the process ended with status {child.exitcode}"
        finally:
            child.kill()
            child.join()
        if number < rounds:
            if not ready:
                raise RuntimeError(f"{reader.name}: the whole input cannot be read, {ended}")
            copy, named = _damaged(reader, folder, number, seed)
            shutil.rmtree(copy)
            number += 1
            yield Round("crash", f"{number - 1}: {named}: {ended}")


def count(found: Counter[Outcome]) -> dict[str, int]:
    """All outcomes, those that did not occur too."""
    return {outcome: found[outcome] for outcome in OUTCOMES}


def _write(reader: Reader, folder: Path) -> None:
    (folder / "whole").mkdir()
    (folder / "beside").mkdir()
    reader.write(folder / "whole")


def _alone(work: Callable[[Reader, Path], None], reader: Reader, folder: Path) -> None:
    """In a process of its own, so that no later one inherits threads or open files."""
    child = _fork.Process(target=work, args=(reader, folder))
    child.start()
    child.join(_FIRST_SECONDS)
    if child.exitcode != 0:
        child.kill()
        raise RuntimeError(f"{reader.name}: its input cannot be written (status {child.exitcode})")


def _rounds(reader: Reader, folder: Path, numbers: range, seed: int, answers: Connection) -> None:
    first, second = (_read(reader, _copy(folder, number)) for number in (numbers[0],) * 2)
    if first[0] != "read" or first != second:
        raise RuntimeError(f"{reader.name}: the whole input gives {first} and {second}")
    answers.send("ready")
    # What libraries print about damaged files, be it from C.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + _MEMORY, taken + _MEMORY))
    for number in numbers:
        copy, named = _damaged(reader, folder, number, seed)
        kind, value = _read(reader, copy)
        if kind == "read":
            outcome: Outcome = "same" if value == first[1] else "other"
            value = ""
        elif kind == "refused":
            file = Path(named.split(": ")[0])
            outcome = "named" if "\n" not in value and (file.name in value or str(copy) in value) else "unnamed"
        else:
            outcome = "crash"
        answers.send(Round(outcome, f"{number}: {named}: {value}"))
        shutil.rmtree(copy)


def _damaged(reader: Reader, folder: Path, number: int, seed: int) -> tuple[Path, str]:
    """A copy with one file damaged, and which file and how."""
    draw = random.Random(f"{seed}/{reader.name}/{number}")
    copy = _copy(folder, number)
    files = sorted(file for file in copy.rglob("*") if file.is_file() and file.stat().st_size)
    file = draw.choice(files)
    way, content = damage(file.read_bytes(), draw)
    file.write_bytes(content)
    return copy, f"{file.relative_to(copy)}: {way}"


def _copy(folder: Path, number: int) -> Path:
    """The whole input again, in the place of that round's."""
    copy = folder / str(number)
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(folder / "whole", copy))


def _read(reader: Reader, folder: Path) -> tuple[str, str]:
    """How it ended ("read", "refused", "failed"), and the digest or the error."""
    try:
        return "read", digest(reader.read(folder))
    except PolysenseError as error:
        return "refused", str(error)
    except BaseException as error:  # a panic of Rust's is no Exception
        return "failed", f"{type(error).__name__}: {error}"
