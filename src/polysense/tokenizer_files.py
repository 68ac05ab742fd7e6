"""What a tokenizer is read from: files of its own folder alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers.tokenization_utils_base import SPECIAL_TOKENS_MAP_FILE, TOKENIZER_CONFIG_FILE
from transformers.utils import cached_file, extract_commit_hash

from polysense.errors import PolysenseError
from polysense.folder import leads_out, read_json

_ENDS = ("_file", "_spm")
_NAMES = ("vocab", "merges")  # a few tokenizers' names for files, else the tokens themselves
_UNREAD = "special_tokens_map_file"  # old versions of transformers saved it, with a place in their cache


def check_tokenizer_files(source: str | Path) -> None:
    """Before a tokenizer is opened: versions of transformers read whatever files its settings name.

    Their lines would become tokens, and be saved with a model that is trained. A name of a file that is not there is
    often left from the machine that the tokenizer was made on.

    Args:
        source: a folder or a hub id.

    Raises:
        PolysenseError: a setting names a file outside the folder.
        Exception: as `from_pretrained`, which `hub_errors` makes a `PolysenseError`.
    """
    missing = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors")}
    commit = None
    for name in (TOKENIZER_CONFIG_FILE, SPECIAL_TOKENS_MAP_FILE):
        if (found := cached_file(str(source), name, _commit_hash=commit, **missing)) is None:
            continue
        commit = extract_commit_hash(found, commit)  # so that the hub is asked once
        file = Path(found)
        for key, place in _named(read_json(file)):
            if _is_outside(file.parent, place):
                raise PolysenseError(
                    f"{file}: its {key!r} is {place[:200]!r}, a file outside the folder, which could end up in a "
                    "trained model; take that entry out, or get the tokenizer again"
                )


def _named(settings: Any) -> Iterator[tuple[str, str]]:
    """What may be names of files, each behind its key."""
    for key, value in settings.items() if isinstance(settings, dict) else ():
        if (key.endswith(_ENDS) and key != _UNREAD) or key in _NAMES:
            values = [value]
        else:
            values = value if key == "init_inputs" and isinstance(value, list) else []
        yield from ((key, place) for place in values if isinstance(place, str))


def _is_outside(folder: Path, place: str) -> bool:
    """Whether there is such a file, as it is opened: from where the program runs; links in the folder are files of it,
    as the hub's cache has them."""
    if not os.path.exists(place) or os.path.isdir(place):
        return False
    file = os.path.abspath(place)
    return not Path(file).is_relative_to(os.path.abspath(folder)) and leads_out(folder, file)
