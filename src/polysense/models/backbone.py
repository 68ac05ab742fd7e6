"""Any `AutoModel` that reads text as the text side of a method: encoders, decoders, and the encoders of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.folder import read_json
from polysense.loading import hub_errors, load_weights, open_auto, warn_of_random
from polysense.towers.encoder import is_causal

_LAST_TOKEN = ("xlnet",)
"""Families whose sentence token comes last though they read both ways."""

_FIRST_TOKEN = ("bart", "led", "mvp")
"""Encoder-decoders whose tokenizers begin a text with a token of its own; the others, like T5, have none."""

_TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
"""Inputs with a place for every token, (B, L) or (B, L, d)."""

READS_PICTURES = ("cmal",)
"""Families that read a picture beside the text."""


def load_backbone(source: str) -> tuple[PreTrainedModel, str]:
    """A pretrained text model in float32 from a name, a hub id or a folder, and how it pools.

    Of an encoder-decoder (T5, BART, ...) it is the encoder alone.

    Returns:
        the model and "first", "mean" or "last": the mean where a sentence-transformers model says so and of encoders
        without a token for the sentence (T5), the last token of causal models and XLNet, else the first.

    Raises:
        PolysenseError: there is no such model, or it is not one that reads text alone.
    """
    path = resolve_model(source)
    with hub_errors("backbone", source):
        config = open_auto(AutoConfig, path)
        _check_family(source, config)
        whole, missing = load_weights(AutoModel, "backbone", source, dtype=torch.float32)
        model = text_encoder(whole)
        if model.main_input_name != "input_ids":
            raise PolysenseError(
                f"backbone {source}: a {config.model_type} model does not read text; name one that does"
            )
        warn_of_random("backbone", source, missing, model)
        pooling = pooling_of(path, model)
        if pooling == "last":
            # The states of earlier tokens are for writing on; every text here is read once.
            model.config.use_cache = False
        return model, pooling


def build_backbone(config: PreTrainedConfig) -> PreTrainedModel:
    """The same with fresh weights, from the configuration of the text model."""
    return text_encoder(AutoModel.from_config(config, trust_remote_code=False))


def text_encoder(model: PreTrainedModel) -> PreTrainedModel:
    """The encoder of an encoder-decoder; any other model as it is."""
    return model.get_encoder() if model.config.is_encoder_decoder else model


def token_states(
    backbone: Any, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **inputs: Any
) -> Tensor:
    """(B, L, d) the states of all tokens, which do not depend on where and how much a batch is padded.

    Padding on the left is moved to the right while the backbone reads: there no real token's position counts it,
    whatever a family's way with positions, and no causal model sees it.

    Args:
        backbone: gives `last_hidden_state` (B, L, d).
        input_ids: (B, L).
        attention_mask: (B, L), 1 for real tokens; None where all are.
        inputs: the backbone's others; those of tokens are (B, L) or, `inputs_embeds`, (B, L, d).
    """
    given = {"input_ids": input_ids, "attention_mask": attention_mask, **inputs}
    first = None if attention_mask is None else attention_mask.int().argmax(dim=1, keepdim=True)
    if attention_mask is None or first is None or not first.any():
        states: Tensor = backbone(**given).last_hidden_state
        return states
    length = attention_mask.shape[1]
    places = torch.arange(length, device=attention_mask.device)
    moved = {
        name: _rows(value, (places + first) % length) if name in _TOKEN_INPUTS and value is not None else value
        for name, value in given.items()
    }
    return _rows(backbone(**moved).last_hidden_state, (places - first) % length)


def _rows(values: Tensor, order: Tensor) -> Tensor:
    """(B, L, ...) with each row's places in the order (B, L)."""
    return values[torch.arange(len(values), device=values.device)[:, None], order]


def _check_family(source: str, config: PreTrainedConfig) -> None:
    """Refuse what is known not to read text alone before its weights are loaded.

    Raises:
        PolysenseError: it is so.
    """
    kind = config.model_type
    if kind == "polysense":
        raise PolysenseError(f"backbone {source}: this is a trained Polysense model; name the text model under it")
    if kind in READS_PICTURES:
        raise PolysenseError(f"backbone {source}: this model reads pictures too; fine-tune it by polysense vl train")
    if kind.startswith("siglip") or kind.endswith("_text_model") or hasattr(config, "projection_dim"):
        raise PolysenseError(
            f"backbone {source}: a {kind} model is contrastive and reads captions; give it as a tower "
            "(--tower MODALITY=...) and name a text model as the backbone"
        )
    if not hasattr(config, "hidden_size"):
        raise PolysenseError(f"backbone {source}: a {kind} model is not supported, only models that read text alone")


def pooling_of(path: str, model: PreTrainedModel) -> str:
    """How a text model, or the encoder of an encoder-decoder, makes one vector of a text (see `load_backbone`)."""
    settings = cached_file(
        path,
        "1_Pooling/config.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if settings and read_json(Path(settings)).get("pooling_mode_mean_tokens"):
        return "mean"
    if model.config.is_encoder_decoder:
        return "first" if model.config.model_type in _FIRST_TOKEN else "mean"
    return "last" if model.config.model_type in _LAST_TOKEN or is_causal(model) else "first"
