"""The texts that go in: one sentence or a pair, always valid Unicode."""

from __future__ import annotations

Text = str | tuple[str, str]
"""A sentence, or a pair of sentences that each tokenizer joins in its own way."""


def clean(text: str) -> str:
    """The text with lone surrogates and NUL replaced by U+FFFD, character for character; tokenizers take all else."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
