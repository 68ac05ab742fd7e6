"""Computing the cells of grids, in this process or in several, beside other programs that work on the same."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, cast

import torch
from tqdm.auto import tqdm

from polysense.errors import PolysenseError
from polysense.pages.wording import VisibleRecord, visible

WAIT_SECONDS = 2.0
"""Between two looks at cells that another process computes."""


class Job(Protocol):
    """A piece of work that is done once, whoever does it."""

    @property
    def name(self) -> str:
        """What a progress bar shows."""

    def attempt(self, progress: bool) -> bool:
        """Do it unless it is done; False where another process is at it now.

        Raises:
            PolysenseError: it cannot be done.
        """


@dataclass(frozen=True)
class _Told:
    """What a worker says: a job (by its place) is begun, or done, or failed with a message."""

    place: int
    state: str
    message: str = ""


def complete(
    jobs: Sequence[Job], workers: int = 1, unit: str = "run", progress: bool = True, units: str = "runs"
) -> None:
    """Do all jobs; what fails is told at the end, when all else is done.

    Args:
        jobs: may be pickled where there are several workers.
        workers: processes, each with its share of the cores. Several start anew, so a program that asks for them keeps
            its own work under `if __name__ == "__main__"`.
        unit: what the progress bar counts.
        progress: show it, with the time that is left; there is none where there are no jobs.
        units: several of what is counted.

    Raises:
        PolysenseError: jobs failed, or workers ended before the work did.
    """
    if workers < 1:
        raise PolysenseError(f"workers must be 1 or more, not {workers}")
    said = unit if len(jobs) == 1 else units
    bar = tqdm(total=len(jobs), unit=unit, desc=f"{len(jobs)} {said}", disable=not progress or not jobs)
    failed: dict[int, str] = {}
    done: set[int] = set()

    def hear(told: _Told) -> None:
        if told.state == "begun":
            bar.set_postfix_str(jobs[told.place].name)
            return
        if told.state == "failed":
            failed[told.place] = told.message
            bar.write(visible(f"{jobs[told.place].name} failed: {told.message}"), file=sys.stderr)
        else:
            failed.pop(told.place, None)  # another worker had better luck
        if told.place not in done:
            done.add(told.place)
            bar.update()

    with bar:
        if workers == 1:
            _work_through(jobs, hear, progress)
        else:
            _share_out(jobs, workers, hear)
    left = len(jobs) - len(done)
    if left:
        raise PolysenseError(
            f"the workers ended before the work did ({left} of {len(jobs)} {units} are left; out of memory?): give the "
            "same command again to go on, with fewer --workers"
        )
    if failed:
        place, message = min(failed.items())
        more = f" ({len(failed)} of {len(jobs)} {units} failed, the others are kept)" if len(jobs) > 1 else ""
        raise PolysenseError(f"{jobs[place].name}: {message}{more}")


def _work_through(jobs: Sequence[Job], tell: Callable[[_Told], None], progress: bool) -> None:
    """Attempt jobs in their order, again and again until each is done or has failed."""
    left = list(range(len(jobs)))
    while left:
        waiting = []
        for place in left:
            tell(_Told(place, "begun"))
            try:
                if jobs[place].attempt(progress):
                    tell(_Told(place, "done"))
                else:
                    waiting.append(place)
            except PolysenseError as error:
                tell(_Told(place, "failed", str(error)))
            except Exception as error:  # out of a device's memory, say: the other jobs may still be done
                tell(_Told(place, "failed", f"{type(error).__name__}: {error}"))
        if len(waiting) == len(left):
            time.sleep(WAIT_SECONDS)
        left = waiting


def _share_out(jobs: Sequence[Job], workers: int, hear: Callable[[_Told], None]) -> None:
    """Let processes work through the jobs, and hear them until the last has ended."""
    # Not forked: a copy of a process that has run threads of torch may hang.
    context = multiprocessing.get_context("spawn")
    threads = max(1, _cores() // workers)
    processes: dict[Connection, Any] = {}
    try:
        for _ in range(min(workers, len(jobs))):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_worker, args=(jobs, threads, theirs))
            process.start()
            theirs.close()
            processes[ours] = process
        listening = list(processes)
        while listening:
            for pipe in wait(listening):
                told = cast("Connection", pipe)
                try:
                    hear(told.recv())
                except (EOFError, OSError):  # it has ended, well or not
                    listening.remove(told)
    finally:
        for pipe, process in processes.items():
            pipe.close()
            process.terminate()
            process.join()


def _worker(jobs: Sequence[Job], threads: int, pipe: Connection) -> None:
    """The life of a process: its share of the cores, the jobs, and an end that the parent decides on an interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr  # standard output is for results
    logging.setLogRecordFactory(VisibleRecord)
    torch.set_num_threads(threads)

    def tell(told: _Told) -> None:
        try:
            pipe.send(told)
        except OSError:  # nobody listens any more
            sys.exit(1)

    _work_through(jobs, tell, progress=False)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
