"""Made-up rows and a tiny backbone, where only their number and size matter."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, BertTokenizer

WORDS = ("the", "a", "red", "yellow", "cat", "dog", "banana", "bird", "sits", "sings", "on", "mat", "under", "big")
TINY: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
_LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]


def sentences(count: int, shortest: int, longest: int, seed: int = 0) -> list[str]:
    """Texts of `shortest` to `longest` words; from six on hardly two are alike."""
    drawn = random.Random(seed)
    return [" ".join(drawn.choices(WORDS, k=drawn.randint(shortest, longest))) for _ in range(count)]


def write_rows(file: Path, texts: Sequence[str]) -> None:
    """Lines of JSON, each with a class that its words tell."""
    lines = [json.dumps({"text": text, "label": "cat" if "cat" in text else "none"}) for text in texts]
    file.write_text("\n".join(lines))


def write_bert(folder: Path, positions: int = 32) -> Path:
    """A tiny random BERT that reads letter by letter."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(pieces), max_position_embeddings=positions, **TINY)).save_pretrained(folder)
    BertTokenizer(vocab={p: i for i, p in enumerate(pieces)}, model_max_length=positions).save_pretrained(folder)
    return folder
