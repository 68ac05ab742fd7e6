"""Random towers of the size of CLIP ViT-B/32's text part, and the texts that they read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from polysense.errors import PolysenseError
from polysense.tasks.sources import data_roots
from polysense.towers.clip_tokenizer import clip_tokenizer


def save_tower(folder: Path, projection: int = 512, seed: int = 0) -> Path:
    """A CLIP ViT-B/32-sized text model with random weights and CLIP's own tokenizer, as a Hugging Face folder."""
    torch.manual_seed(seed)
    tokenizer = clip_tokenizer()
    config = CLIPTextConfig(
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=8,
        projection_dim=projection,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = CLIPTextModelWithProjection(config)
    for layer in model.text_model.encoder.layers:
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            # Attention that is far from even, as in a trained model: else rounding would decide between tokens.
            torch.nn.init.normal_(part.weight, std=0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sst2_sentences(part: str, count: int) -> list[str]:
    """The first distinct sentences of SST-2's "train" (the sample) or "dev"."""
    for root in data_roots():
        file = root / "sst2" / f"{part}.jsonl.gz"
        if file.exists():
            with gzip.open(file, "rt") as rows:
                return list(dict.fromkeys(json.loads(row)["sentence"] for row in rows))[:count]
    raise PolysenseError(f"the benchmark reads sst2/{part}.jsonl.gz from $POLYSENSE_DATA or ../shared/data: not there")
