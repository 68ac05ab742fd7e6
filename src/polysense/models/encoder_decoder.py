"""Any encoder-decoder of Hugging Face's (T5, BART, ...) as the backbone of text generation."""

from __future__ import annotations

import torch
from transformers import (
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.loading import hub_errors, load_weights, open_auto, warn_of_random
from polysense.models.backbone import pooling_of
from polysense.models.configuration import PolysenseConfig

_NEEDED = ("decoder_start_token_id", "pad_token_id", "eos_token_id")
"""What a configuration has to say for a text to be begun, padded and ended."""


def load_encoder_decoder(source: str) -> tuple[PreTrainedModel, str]:
    """A pretrained encoder-decoder in float32 from a name, a hub id or a folder, and how its encoder pools.

    Raises:
        PolysenseError: there is no such model, or it is no encoder-decoder that reads text.
    """
    path = resolve_model(source)
    with hub_errors("backbone", source):
        config = open_auto(AutoConfig, path)
        _check_family(source, config)
        model, missing = load_weights(AutoModelForSeq2SeqLM, "backbone", source, dtype=torch.float32)
        warn_of_random("backbone", source, missing, model)
        return model, pooling_of(path, model)


def build_encoder_decoder(config: PolysenseConfig) -> PreTrainedModel:
    """The same with fresh weights."""
    model = AutoModelForSeq2SeqLM.from_config(config.backbone_config(), trust_remote_code=False)
    model.generation_config = GenerationConfig.from_dict(config.generation)
    return model


def _check_family(source: str, config: PreTrainedConfig) -> None:
    """Refuse what is known not to write texts from texts before its weights are loaded.

    Raises:
        PolysenseError: it is so.
    """
    kind = config.model_type
    if kind == "polysense":
        raise PolysenseError(f"backbone {source}: this is a trained Polysense model; name the text model under it")
    if type(config) not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING or not config.is_encoder_decoder:
        raise PolysenseError(
            f"backbone {source}: a {kind} model has no decoder that writes texts; name an encoder-decoder (T5, BART, "
            "...), or make a small one with polysense new-backbone"
        )
    if not hasattr(config, "hidden_size"):
        raise PolysenseError(f"backbone {source}: a {kind} model is not supported, only models of one width")
    missing = [name for name in _NEEDED if getattr(config, name, None) is None]
    if missing:
        raise PolysenseError(f"backbone {source}: its config.json says no {missing[0]}; add it there")
