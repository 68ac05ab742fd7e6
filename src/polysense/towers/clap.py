"""CLAP's text tower: a bidirectional RoBERTa, pooled at its first token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import ClapTextModelWithProjection, PreTrainedConfig, PreTrainedTokenizerBase

from polysense.towers.packed_encoder import PackedEncoder, load_text_part, usable_length
from polysense.towers.packing import PackedTokens
from polysense.towers.tower import ContrastiveTower, SaliencyLayers, TokenStates, load_tokenizer


class ClapTower(ContrastiveTower):
    """The text tower of a CLAP model.

    CLAP maps the state of the first token to the space of sounds: by its pooler, tanh(dense(h)), and a projection of
    two layers. Here the state of every token takes the same way, which makes tokens comparable to sounds. This is our
    reading: CLAP was trained with the first token alone.

    Args:
        model: loaded with `attn_implementation=ATTENTION`.
        tokenizer: RoBERTa's.
        projected: whether features take that way, or stay the raw states.
    """

    def __init__(
        self, model: ClapTextModelWithProjection, tokenizer: PreTrainedTokenizerBase, spec: str, projected: bool = True
    ) -> None:
        config: Any = model.config
        super().__init__(model, tokenizer, spec, projected, config.projection_dim)
        self.max_length = usable_length(model.text_model, tokenizer)
        self.encoder = PackedEncoder(model.text_model)

    def encode(self, tokens: PackedTokens, layers: SaliencyLayers = "last") -> TokenStates:
        states, saliency = self.encoder(tokens, torch.zeros_like(tokens.sizes), layers=layers)
        if self.projected:
            states = self._project(states)
        return TokenStates(states, self.candidates(tokens.input_ids), saliency, states[tokens.starts])

    def _project(self, states: Tensor) -> Tensor:
        # The pooler's own forward takes the first token of a batch of sequences; here is one sequence a token.
        pooler: Any = self.model.text_model.pooler
        return self.model.text_projection(pooler(states[:, None]))


def open_clap(source: str, config: PreTrainedConfig, spec: str, projected: bool) -> ClapTower:
    """The text tower of a hub id or folder of CLAP, whole or text alone."""
    text = getattr(config, "text_config", config)
    unused = () if projected else ("pooler", "text_projection")
    model = load_text_part(source, ClapTextModelWithProjection, text, unused)
    return ClapTower(model, load_tokenizer(source), spec, projected)
