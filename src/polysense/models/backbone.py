"""Any `AutoModel` encoder as the text side of a method."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import cached_file

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.loading import hub_errors
from polysense.towers.encoder import is_causal

_LAST_TOKEN = ("xlnet",)
"""Families whose sentence token comes last though they read both ways."""


READS_PICTURES = ("cmal",)
"""Families that read a picture beside the text."""


def load_backbone(source: str) -> tuple[PreTrainedModel, str]:
    """A pretrained encoder in float32 from a name, a hub id or a folder, and how it pools.

    Returns:
        the model and "first", "mean" or "last": the mean where a sentence-transformers model says so, the last token
        of causal models and XLNet, else the first.

    Raises:
        PolysenseError: there is no such model, or it is not one text encoder.
    """
    path = resolve_model(source)
    with hub_errors("backbone", source):
        config = AutoConfig.from_pretrained(path)
        if config.model_type == "polysense":
            raise PolysenseError(f"backbone {source}: this is a trained Polysense model; name the text model under it")
        if config.model_type in READS_PICTURES:
            raise PolysenseError(
                f"backbone {source}: this model reads pictures too; fine-tune it by polysense vl train"
            )
        if config.is_encoder_decoder or not hasattr(config, "hidden_size"):
            raise PolysenseError(f"backbone {source}: a {config.model_type} model is not supported, only text encoders")
        model = AutoModel.from_pretrained(path, dtype=torch.float32)
        return model, _pooling(path, model)


def _pooling(path: str, model: PreTrainedModel) -> str:
    settings = cached_file(
        path,
        "1_Pooling/config.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if settings and json.loads(Path(settings).read_text()).get("pooling_mode_mean_tokens"):
        return "mean"
    return "last" if model.config.model_type in _LAST_TOKEN or is_causal(model) else "first"
