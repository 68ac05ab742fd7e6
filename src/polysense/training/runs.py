"""A run's folder: begun or gone on with, and written whole at its end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from polysense.errors import PolysenseError
from polysense.folder import (
    RESULTS_FILE,
    check_files,
    check_free,
    only_writer,
    read_json,
    whole_folder,
    working_folder,
    write_json,
)
from polysense.processes import is_main
from polysense.training.trackers import clear_logs

RUN_FILE = "run.json"
LOG_FILE = "training_log.json"

SEARCH_FOLDER = "search"
"""In a run's folder: the trials of the search for its settings."""

_ANEW = "begin anew with --overwrite instead of --resume"


class NotResumableError(PolysenseError):
    """What is left of a run cannot be gone on with."""


@contextmanager
def run_folder(folder: Path, run: Mapping[str, Any], *, overwrite: bool, resume: bool) -> Iterator[Path]:
    """Note what a run that ends in `folder` was told, and give the folder of its checkpoints.

    Until the block ends no other run may end in `folder`. Of several processes the first one writes.

    Args:
        run: all that `resume` must find the same again, as plain JSON.

    Raises:
        PolysenseError: nothing to go on from, checkpoints of another run, or some, or a result, that nobody asked to
            replace; another run is at it.
    """
    if not is_main():
        yield working_folder(folder)
        return
    with only_writer(folder):
        if not overwrite:  # another run may have ended there since it was looked at
            check_free(folder, overwrite, marker=RESULTS_FILE)
        yield _begin(working_folder(folder), run, overwrite=overwrite, resume=resume)


def _begin(partial: Path, run: Mapping[str, Any], *, overwrite: bool, resume: bool) -> Path:
    if resume:
        _check_resumable(partial, run)
    elif newest_checkpoint(partial) and not overwrite:
        raise PolysenseError(
            f"{partial} holds the checkpoints of a run that was interrupted: add --resume to go on, or --overwrite"
        )
    else:
        # Before the new note, so that no later `resume` takes them for this run's.
        for stale in partial.glob("checkpoint-*"):
            shutil.rmtree(stale)
        clear_logs(partial)
    write_json(partial / RUN_FILE, run)
    return partial


def newest_checkpoint(partial: Path) -> Path | None:
    """The checkpoint that the Trainer goes on from."""
    found = get_last_checkpoint(str(partial)) if partial.is_dir() else None
    return Path(found) if found else None


def _check_resumable(partial: Path, run: Mapping[str, Any]) -> None:
    """Refuse to go on from checkpoints that are not there, or are those of another run.

    Raises:
        NotResumableError: either is so, or a file of theirs is not as it was written.
    """
    newest = newest_checkpoint(partial)
    if newest is None:
        raise NotResumableError(f"nothing to resume: {partial} holds no checkpoint; leave --resume out")
    try:
        before = {"processes": 1, **read_json(partial / RUN_FILE)}
    except FileNotFoundError:
        before = {}
    except (OSError, ValueError, TypeError):
        raise NotResumableError(f"{partial / RUN_FILE} is damaged: {_ANEW}") from None
    changed = [name for name, value in json.loads(json.dumps(run)).items() if before.get(name) != value]
    if changed:
        raise NotResumableError(
            f"the run in {partial} had other {', '.join(changed)}: give the same as then, or {_ANEW}"
        )
    try:
        check_files(newest)  # an older one may be there in part, where a kill met its deletion
    except PolysenseError as error:
        raise NotResumableError(f"the checkpoint is damaged: {_ANEW} ({error})") from None


def what_is_kept(folder: Path) -> str:
    """What there is of a run that was to end in `folder` and was interrupted, and what to type to go on."""
    partial = working_folder(folder)
    if newest_checkpoint(partial):
        return f"{partial} holds a checkpoint, from which its command goes on with --resume"
    if (partial / SEARCH_FOLDER).exists():
        return f"{partial} holds the finished trials of a search, with which the same command goes on"
    if (folder / RESULTS_FILE).exists():
        return f"{folder} holds a whole result"
    return "there was no checkpoint yet; the same command begins anew"


def finish_run(
    folder: Path,
    parts: Sequence[Any],
    results: Mapping[str, Any],
    log: list[dict[str, Any]],
    draw: Callable[[Path], None] | None = None,
) -> None:
    """Write a run's result to `folder`, whole or not at all; of several processes the first one does.

    Args:
        parts: the model and its processor; each has `save_pretrained`.
        log: the Trainer's.
        draw: writes figures to the folder that it is given.
    """
    if not is_main():
        return
    with whole_folder(folder) as staged:
        for part in parts:
            part.save_pretrained(str(staged))
        if draw is not None:
            draw(staged)
        write_json(staged / LOG_FILE, {"log": log})
        write_json(staged / RESULTS_FILE, results)
