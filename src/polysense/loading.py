"""Errors of Hugging Face's loaders, said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polysense.errors import PolysenseError


@contextmanager
def hub_errors(what: str, source: str) -> Iterator[None]:
    """Turns a loader's failure into a `PolysenseError` that names `what` ("backbone", "tower", ...) and `source`."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if Path(source).exists():
            reason = " ".join(str(error).split())[:200]
            raise PolysenseError(f"{what} {source}: the folder holds no model that can be loaded: {reason}") from error
        raise PolysenseError(
            f"{what} {source}: no such folder, and the hub has no such model or cannot be reached; "
            "give a local folder or check the name and the network"
        ) from error
