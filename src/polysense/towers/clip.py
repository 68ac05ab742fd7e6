"""CLIP's text tower, which is also AudioCLIP's, CLIP-ViP's and X-CLIP's: causal, pooled at the end of text."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedConfig, PreTrainedTokenizerBase

from polysense.towers.clip_layers import pack_layers
from polysense.towers.openai_text import RULES, clean_up
from polysense.towers.packed_encoder import PackedEncoder, load_text_part
from polysense.towers.packing import PackedTokens
from polysense.towers.tower import ContrastiveTower, SaliencyLayers, TokenStates, load_tokenizer


class ClipTower(ContrastiveTower):
    """The text tower of a CLIP-like model, pooled at the first end-of-text token.

    Args:
        model: loaded with `attn_implementation=ATTENTION`.
        tokenizer: CLIP's.
        projected: whether features go through the text projection (the paper's widths) or stay raw.
    """

    # Its tokenizer joins a pair with end tokens, and nothing behind the first of them is seen.
    joins_pairs = False
    # As OpenAI's own tokenizer does, and Hugging Face's does not.
    clean_up = staticmethod(clean_up)
    rules = RULES

    def __init__(
        self, model: CLIPTextModelWithProjection, tokenizer: PreTrainedTokenizerBase, spec: str, projected: bool = True
    ) -> None:
        config: Any = model.config
        pack_layers(model, causal=True)
        super().__init__(model, tokenizer, spec, projected, config.projection_dim)
        self.max_length = config.max_position_embeddings
        # Old configurations give id 2 for the end of text; the tokenizer knows the real one.
        self.end = tokenizer.eos_token_id if config.eos_token_id == 2 else config.eos_token_id
        self.encoder = PackedEncoder(model)

    def variant(self) -> str:
        return super().variant() + ", OpenAI's clean-up"

    def encode(self, tokens: PackedTokens, layers: SaliencyLayers = "last") -> TokenStates:
        # A sequence without an end is read to its last token.
        ends_here = torch.where(tokens.input_ids == self.end, tokens.positions, tokens.sizes[tokens.sequence] - 1)
        end = torch.full_like(tokens.sizes, self.max_length).scatter_reduce_(0, tokens.sequence, ends_here, "amin")
        # Padding shares the id of the end token, and a text may spell it: what follows the first end is never read.
        visible = tokens.positions <= end[tokens.sequence]
        states, saliency = self.encoder(tokens, end, visible, layers)
        if self.projected:
            states = self.model.text_projection(states)
        candidates = self.candidates(tokens.input_ids) & visible
        return TokenStates(states, candidates, saliency, states[tokens.starts + end])


def open_clip(source: str, config: PreTrainedConfig, spec: str, projected: bool) -> ClipTower:
    """The text tower of a hub id or folder of CLIP or X-CLIP, whole, or of CLIP's text part alone.

    X-CLIP names the tensors of its text part as CLIP does, so they are read as CLIP's; the rest is never made.
    """
    whole, text = config.to_dict(), getattr(config, "text_config", config).to_dict()
    text |= {"model_type": CLIPTextConfig.model_type, "projection_dim": whole["projection_dim"]}
    unused = () if projected else ("text_projection",)
    model = load_text_part(source, CLIPTextModelWithProjection, CLIPTextConfig.from_dict(text), unused)
    return ClipTower(model, load_tokenizer(source), spec, projected)
