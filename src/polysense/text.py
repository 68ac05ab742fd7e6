"""The texts that go in: one sentence or a pair, always valid Unicode."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Text = str | tuple[str, str]
"""A sentence, or a pair of sentences that each tokenizer joins in its own way."""


_UNUSABLE = re.compile("[\ud800-\udfff\0]")


def clean(text: str) -> str:
    """The text with lone surrogates and NUL replaced by U+FFFD, character for character; tokenizers take all else."""
    return _UNUSABLE.sub("\ufffd", text)


def text_keys(texts: Sequence[Text]) -> NDArray[np.uint64]:
    """(n, 2) keys of texts: 128 bits of blake2b each. A pair never has the key of a single text."""
    digests = [hashlib.blake2b(_encoded(text), digest_size=16).digest() for text in texts]
    return np.frombuffer(b"".join(digests), np.uint64).reshape(len(texts), 2)


def read_value(text: str) -> Any:
    """The value that a person writes after NAME=: JSON (4, 0.5, true), else the text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _encoded(text: Text) -> bytes:
    parts = [part.encode("utf-8", "surrogatepass") for part in (text if isinstance(text, tuple) else (text,))]
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)
