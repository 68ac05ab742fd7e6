"""The texts that go in: one sentence or a pair, always valid Unicode."""

from __future__ import annotations

import json
import re
from typing import Any

Text = str | tuple[str, str]
"""A sentence, or a pair of sentences that each tokenizer joins in its own way."""


_UNUSABLE = re.compile("[\ud800-\udfff\0]")


def clean(text: str) -> str:
    """The text with lone surrogates and NUL replaced by U+FFFD, character for character; tokenizers take all else."""
    return _UNUSABLE.sub("\ufffd", text)


def read_value(text: str) -> Any:
    """The value that a person writes after NAME=: JSON (4, 0.5, true), else the text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
