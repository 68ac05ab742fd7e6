"""SigLIP's text tower, and SigLIP 2's: bidirectional, always as long as its context, pooled at the last position."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase, Siglip2TextModel, SiglipTextModel

from polysense.errors import PolysenseError
from polysense.towers.clip_layers import pack_layers
from polysense.towers.packed_encoder import PackedEncoder, load_text_part
from polysense.towers.packing import PackedTokens
from polysense.towers.siglip_tokenizer import load_siglip_tokenizer
from polysense.towers.tower import ContrastiveTower, SaliencyLayers, TokenStates


class SiglipTower(ContrastiveTower):
    """The text tower of a SigLIP model.

    It was trained on sequences padded on the right to its context, without an attention mask, and pools from the last
    position, which is padding as a rule. So each sequence is padded here, and padding takes part in attention. Saliency
    is what the last position pays to the tokens of the text: the mean over heads of its attention, as a share of what
    all of them together get.

    Args:
        model: loaded with `attn_implementation=ATTENTION`.
        tokenizer: of `load_siglip_tokenizer`.
        projected: whether features go through the head or stay raw.

    Raises:
        PolysenseError: the tokenizer has no padding token.
    """

    def __init__(
        self,
        model: SiglipTextModel | Siglip2TextModel,
        tokenizer: PreTrainedTokenizerBase,
        spec: str,
        projected: bool = True,
    ) -> None:
        config: Any = model.config
        if tokenizer.pad_token_id is None:
            raise PolysenseError(f"tower {spec}: its tokenizer has no padding token, and SigLIP reads padded texts")
        pack_layers(model, causal=False)
        super().__init__(model, tokenizer, spec, projected, config.projection_size)
        self.max_length = config.max_position_embeddings
        self.encoder = PackedEncoder(model)

    @property
    def head(self) -> nn.Module:
        text: Any = getattr(self.model, "text_model", self.model)  # transformers before 5.6 has one level more
        return text.head

    def encode(self, tokens: PackedTokens, layers: SaliencyLayers = "last") -> TokenStates:
        count, last = len(tokens.lengths), self.max_length - 1
        ids = tokens.input_ids.new_full((count * self.max_length,), self.tokenizer.pad_token_id)
        real = tokens.sequence * self.max_length + tokens.positions
        ids[real] = tokens.input_ids
        padded = PackedTokens(ids, (self.max_length,) * count)
        states, attention = self.encoder(padded, torch.full_like(tokens.sizes, last), layers=layers)
        attention = attention[real]
        total = attention.new_zeros(count).index_add_(0, tokens.sequence, attention)
        saliency = attention / total.clamp(min=torch.finfo(total.dtype).tiny)[tokens.sequence]
        pooled, states = states[last :: self.max_length], states[real]
        if self.projected:
            pooled, states = self.head(pooled), self.head(states)
        return TokenStates(states, self.candidates(tokens.input_ids), saliency, pooled)


def open_siglip(source: str, config: PreTrainedConfig, spec: str, projected: bool) -> SiglipTower:
    """The text tower of a hub id or folder of SigLIP or SigLIP 2, whole or text alone."""
    text = getattr(config, "text_config", config)
    cls = Siglip2TextModel if text.model_type == "siglip2_text_model" else SiglipTextModel
    model = load_text_part(source, cls, text, () if projected else ("head",))
    return SiglipTower(model, load_siglip_tokenizer(source), spec, projected)
