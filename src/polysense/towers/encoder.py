"""Towers made of one Hugging Face text encoder: CLIP's text tower and any unaligned encoder."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, CLIPTextModelWithProjection, PreTrainedModel, PreTrainedTokenizerBase

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.pooling import pool
from polysense.towers.saliency import ATTENTION, AttentionRow
from polysense.towers.tower import SaliencyLayers, TokenStates, Tower


def salient_states(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    pooled_position: Tensor,
    layers: SaliencyLayers,
) -> tuple[Any, Tensor]:
    """One forward pass of a model set to `ATTENTION`: its output and the saliency (B, L) seen from each position."""
    row = AttentionRow(pooled_position, attention_mask.bool())
    output = model(input_ids=input_ids, attention_mask=attention_mask, attention_row=row)
    return output, row.result(layers)


class ClipTower(Tower):
    """The text tower of a CLIP-like model, pooled at the first end-of-text token.

    Args:
        model: loaded with `attn_implementation=ATTENTION`.
        tokenizer: CLIP's.
        projected: whether features go through the text projection (the paper's widths) or stay raw.
    """

    # Its tokenizer joins a pair with end tokens, and nothing behind the first of them is seen.
    joins_pairs = False

    def __init__(
        self, model: CLIPTextModelWithProjection, tokenizer: PreTrainedTokenizerBase, spec: str, projected: bool = True
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.spec = spec
        self.projected = projected
        config: Any = model.config
        self.width = config.projection_dim if projected else config.hidden_size
        self.max_length = config.max_position_embeddings
        self.eos_token_id = config.eos_token_id
        self.freeze()

    def variant(self) -> str:
        return "projected" if self.projected else "raw"

    @torch.no_grad()
    def encode(self, input_ids: Tensor, attention_mask: Tensor, layers: SaliencyLayers = "last") -> TokenStates:
        # Old configurations give id 2 for the end of text; the tokenizer knows the real one.
        eos_id = self.tokenizer.eos_token_id if self.eos_token_id == 2 else self.eos_token_id
        end = torch.eq(input_ids, eos_id).int().argmax(dim=1)
        # Padding shares the id of the end token, so what follows the first end is never read.
        real = attention_mask.bool() & (torch.arange(input_ids.shape[1], device=input_ids.device) <= end[:, None])
        output, saliency = salient_states(self.model, input_ids, real.long(), end, layers)
        states = output.last_hidden_state
        if self.projected:
            states = self.model.text_projection(states)
        batch = torch.arange(len(end), device=end.device)
        return TokenStates(states, self.candidates(input_ids, real), saliency, states[batch, end])


class EncoderTower(Tower):
    """Any BERT-like encoder as it is: the "unaligned" source of prototypes (MaCSC Table 5).

    Saliency is seen from the first token; `pooling` only says how the sentence feature is made.

    Raises:
        PolysenseError: a model that does not show its attention.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        spec: str,
        pooling: Literal["first", "mean"] = "mean",
    ) -> None:
        super().__init__()
        if model.config.is_encoder_decoder or not _shows_attention(model):
            kind = model.config.model_type
            raise PolysenseError(f"tower {spec}: a {kind} model does not show its attention, which ranks the tokens")
        if is_causal(model):
            raise PolysenseError(f"tower {spec}: the first token of a {model.config.model_type} model sees only itself")
        self.model = model
        self.tokenizer = tokenizer
        self.spec = spec
        self.pooling = pooling
        self.width = model.config.hidden_size
        self.max_length = usable_length(model, tokenizer)
        self.freeze()

    @torch.no_grad()
    def encode(self, input_ids: Tensor, attention_mask: Tensor, layers: SaliencyLayers = "last") -> TokenStates:
        output, saliency = salient_states(
            self.model, input_ids, attention_mask, input_ids.new_zeros(len(input_ids)), layers
        )
        states = output.last_hidden_state
        pooled = pool(states, attention_mask.bool(), self.pooling)
        return TokenStates(states, self.candidates(input_ids, attention_mask), saliency, pooled)


@torch.no_grad()
def _shows_attention(model: PreTrainedModel) -> bool:
    """Whether the layers of a model use the attention function that they are given; some have one of their own."""
    ids = torch.zeros(1, 2, dtype=torch.long, device=model.device)
    row = AttentionRow(ids[:, 0], torch.ones_like(ids, dtype=torch.bool))
    model(input_ids=ids, attention_mask=torch.ones_like(ids), attention_row=row)
    return bool(row.rows)


@torch.no_grad()
def is_causal(model: PreTrainedModel) -> bool:
    """Whether a token of this model sees only what stands before it: its state does not depend on what follows."""
    training = model.training
    ids = torch.tensor([[0, 1], [0, 2]], device=model.device)
    states = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    model.train(training)
    return bool(torch.equal(states[0, 0], states[1, 0]))


def usable_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Longest sequence that an encoder reads, special tokens included."""
    positions = getattr(model.config, "max_position_embeddings", None) or 512
    if positions < 0:  # XLNet's positions are relative
        positions = tokenizer.model_max_length
    if model.config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        # These number positions from padding_idx + 1 on.
        positions -= model.config.pad_token_id + 1
    return int(min(positions, tokenizer.model_max_length))


def load_encoder(source: str) -> PreTrainedModel:
    """An encoder from a name, hub id or folder in float32, ready to give saliency."""
    path = resolve_model(source)
    is_clip = AutoConfig.from_pretrained(path).model_type in ("clip", "clip_text_model")
    cls = CLIPTextModelWithProjection if is_clip else AutoModel
    return cls.from_pretrained(path, attn_implementation=ATTENTION, dtype=torch.float32)
