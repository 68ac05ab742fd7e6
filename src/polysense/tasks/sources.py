"""Where a task's files lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from polysense.errors import PolysenseError

DATA_VARIABLE = "POLYSENSE_DATA"
"""Environment variable that names the folder of the tasks' folders."""


def data_roots() -> list[Path]:
    """Existing folders that may hold one folder a task, best first.

    `$POLYSENSE_DATA`, then `../shared/data` beside the working directory, then the same beside the source checkout.
    """
    roots = [Path(os.environ[DATA_VARIABLE]).expanduser()] if os.environ.get(DATA_VARIABLE) else []
    roots.append(Path.cwd().parent / "shared" / "data")
    source = Path(__file__).resolve().parents[2]
    if source.name == "src":  # a checkout, not an installed package
        roots.append(source.parent.parent / "shared" / "data")
    return [root for root in dict.fromkeys(roots) if root.is_dir()]


def find_folder(names: Sequence[str], data_dir: Path | None, holds_task: Callable[[Path], bool]) -> Path | None:
    """The first folder that holds a task, or None.

    Args:
        names: the folder's possible names, e.g. ("sst2", "SST-2").
        data_dir: the folder itself or its parent, and then the only place that is looked at; None: `data_roots()`.
        holds_task: whether a folder has the task's files.

    Raises:
        PolysenseError: `data_dir` is given and is no folder.
    """
    if data_dir is None:
        places = [root / name for root in data_roots() for name in names]
    else:
        data_dir = Path(data_dir).expanduser()
        if not data_dir.is_dir():
            raise PolysenseError(f"{data_dir}: no such folder; give the folder that holds {names[0]} (or its files)")
        places = [data_dir / name for name in names] + [data_dir]
    return next((place for place in places if place.is_dir() and holds_task(place)), None)
