"""The folder that keeps what was fetched or computed once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

CACHE_VARIABLE = "POLYSENSE_CACHE"
"""Environment variable that names the cache folder; without it, ~/.cache/polysense."""


def cache_folder() -> Path:
    """Where fetched and computed things are kept: `$POLYSENSE_CACHE`, else `~/.cache/polysense`; it may not exist."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/polysense").expanduser()


Store = str | Path | Literal[False] | None
"""Where prototypes are stored: a folder, None for the cache folder's, False for memory alone."""


def store_folder(store: Store) -> Path | None:
    """The root folder of stored prototypes, or None where nothing is stored."""
    if store is False:
        return None
    return cache_folder() / "prototypes" if store is None else Path(store).expanduser()
