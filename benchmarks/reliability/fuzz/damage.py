"""How a file is damaged: each way takes its bytes and a random generator and gives other bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping


def cut(content: bytes, draw: random.Random) -> bytes:
    """The rest is missing."""
    return content[: draw.randrange(len(content))]


def flip(content: bytes, draw: random.Random) -> bytes:
    """One bit is another."""
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def overwrite(content: bytes, draw: random.Random) -> bytes:
    """A stretch is noise."""
    start, end = _stretch(content, draw)
    return content[:start] + draw.randbytes(end - start) + content[end:]


def duplicate(content: bytes, draw: random.Random) -> bytes:
    """A stretch is there twice."""
    start, end = _stretch(content, draw)
    return content[:end] + content[start:]


def delete(content: bytes, draw: random.Random) -> bytes:
    """A stretch is missing."""
    start, end = _stretch(content, draw)
    return content[:start] + content[end:]


def empty(_content: bytes, _draw: random.Random) -> bytes:
    """Nothing is left."""
    return b""


WAYS: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    way.__name__: way for way in (cut, flip, overwrite, duplicate, delete, empty)
}
_WEIGHTS = (4, 6, 4, 3, 3, 1)
"""How often each is drawn: there are many bits to flip, and one way to be empty."""


def damage(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """The name of a way, and what it makes of the content (which is not empty); never the same bytes."""
    while True:
        (name,) = draw.choices(list(WAYS), _WEIGHTS)
        changed = WAYS[name](content, draw)
        if changed != content:
            return name, changed


def _stretch(content: bytes, draw: random.Random) -> tuple[int, int]:
    """Start and end; short ones are as likely as long ones."""
    length = min(len(content), int(len(content) ** draw.random()))
    start = draw.randrange(len(content) - length + 1)
    return start, start + length
