"""A small BERT for studies on a few cores: random layers over the commonest words of a larger one, reduced."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.folder import whole_folder
from polysense.loading import hub_errors, load_weights, open_auto
from polysense.training.train import versions

HEAD_WIDTH = 32
WORDS = 8_000
"""Ids that are kept: BERT's vocabulary is in the order of frequency, after its special tokens and characters."""
SMALL = "small:"
"""Begins the name of a backbone that is made, e.g. "small:128"."""


def open_backbone(spec: str, folder: Path) -> str:
    """A backbone by name: "small:WIDTH" is made in `folder` once a recipe, any other name is given back.

    Raises:
        PolysenseError: see `small_bert`.
    """
    if not spec.startswith(SMALL):
        return spec
    width = spec.removeprefix(SMALL)
    if not width.isdecimal():
        raise PolysenseError(f"backbone {spec}: give {SMALL}WIDTH, e.g. {SMALL}128")
    made = folder / f"backbone-{width}-{_recipe()}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{made}.lock"):
        if not made.exists():
            with whole_folder(made) as staged:
                small_bert(staged, int(width))
    return str(made)


def _recipe() -> str:
    """Of what `small_bert` writes: this module and the libraries."""
    text = Path(__file__).read_text() + json.dumps(versions(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def small_bert(folder: Path, width: int, layers: int = 1, source: str = "minilm") -> None:
    """Write a BERT whose word embeddings are the first principal components of another's, and nothing else of it.

    Words that mean alike stay near each other, so that what is learnt of the things in training says something of new
    ones; all else has to be learnt. Embeddings are scaled to BERT's usual deviation of 0.02. Of the vocabulary the
    first `WORDS` stay, and the characters after them; rarer words are read in pieces.

    Args:
        folder: of the model and its tokenizer.
        width: of its states, a multiple of 32, the width of a head.
        layers: how many.
        source: of the tokenizer and the embeddings: a name, a hub id or a folder.

    Raises:
        PolysenseError: the width is no multiple of 32, or more than the source's.
    """
    with hub_errors("backbone", source):
        path = resolve_model(source)
        tokenizer, kept = _fewer_words(open_auto(AutoTokenizer, path))
        model, _ = load_weights(AutoModel, "backbone", source, dtype=torch.float32)
        words = model.get_input_embeddings().weight.detach()[kept]
    if width % HEAD_WIDTH or not HEAD_WIDTH <= width <= words.shape[1]:
        raise PolysenseError(f"width {width}: give a multiple of {HEAD_WIDTH} up to {words.shape[1]}")
    set_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD_WIDTH,
        intermediate_size=4 * width,
        # So small a model, trained so briefly, fits too little rather than too much.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertModel(config)
    centred = words - words.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    reduced = centred @ directions[:width].T
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.copy_(reduced * (config.initializer_range / reduced.std()))
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def _fewer_words(tokenizer: Any) -> tuple[PreTrainedTokenizerFast, list[int]]:
    """A WordPiece tokenizer that knows fewer pieces, and the old ids of those, in order."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    pieces = sorted(state["model"]["vocab"].items(), key=lambda item: item[1])
    kept = [(piece, i) for piece, i in pieces if i < WORDS or len(piece.removeprefix("##")) == 1]
    state["model"]["vocab"] = {piece: number for number, (piece, _) in enumerate(kept)}
    names = {name: value for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    smaller = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)), model_max_length=tokenizer.model_max_length, **names
    )
    return smaller, [i for _, i in kept]
