"""Any `AutoModel` encoder as the text side of a method."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.loading import hub_errors

_LAST_TOKEN = ("xlnet",)
"""Families whose sentence token comes last."""


def load_backbone(source: str) -> tuple[PreTrainedModel, str]:
    """A pretrained encoder in float32 from a name, a hub id or a folder, and how it pools.

    Returns:
        the model and "first", "mean" or "last". A folder of sentence-transformers says itself that it takes the mean.

    Raises:
        PolysenseError: there is no such model, or it is no encoder of tokens.
    """
    path = resolve_model(source)
    with hub_errors("backbone", source):
        config = AutoConfig.from_pretrained(path)
        if config.model_type == "polysense":
            raise PolysenseError(f"backbone {source}: this is a trained Polysense model; name the text model under it")
        model = AutoModel.from_pretrained(path, dtype=torch.float32)
    return model, _pooling(path, config.model_type)


def _pooling(path: str, model_type: str) -> str:
    settings = Path(path) / "1_Pooling" / "config.json"
    if settings.exists() and json.loads(settings.read_text()).get("pooling_mode_mean_tokens"):
        return "mean"
    return "last" if model_type in _LAST_TOKEN else "first"
