"""Made-up rows, where only their number and length matter."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

WORDS = ("the", "a", "red", "yellow", "cat", "dog", "banana", "bird", "sits", "sings", "on", "mat", "under", "big")


def sentences(count: int, shortest: int, longest: int, seed: int = 0) -> list[str]:
    """Texts of `shortest` to `longest` words; from six on hardly two are alike."""
    drawn = random.Random(seed)
    return [" ".join(drawn.choices(WORDS, k=drawn.randint(shortest, longest))) for _ in range(count)]


def write_rows(file: Path, texts: Sequence[str]) -> None:
    """Lines of JSON, each with a class that its words tell."""
    lines = [json.dumps({"text": text, "label": "cat" if "cat" in text else "none"}) for text in texts]
    file.write_text("\n".join(lines))
