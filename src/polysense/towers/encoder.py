"""Any BERT-like text encoder as it is: the "unaligned" source of prototypes (MaCSC Table 5)."""

from __future__ import annotations

from typing import Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from polysense.errors import PolysenseError
from polysense.towers.packed_encoder import PackedEncoder, is_causal, usable_length
from polysense.towers.packing import PackedTokens
from polysense.towers.tower import ModelTower, SaliencyLayers, TokenStates


class EncoderTower(ModelTower):
    """Saliency is seen from the first token; `pooling` only says how the sentence feature is made.

    Raises:
        PolysenseError: a model that does not show its attention.
    """

    kind = "encoder:"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        spec: str,
        pooling: Literal["first", "mean"] = "mean",
    ) -> None:
        super().__init__()
        kind = model.config.model_type
        self.model = model
        self.tokenizer = tokenizer
        self.spec = spec
        self.pooling = pooling
        self.width = model.config.hidden_size
        self.max_length = usable_length(model, tokenizer)
        self.freeze()
        unseen = PolysenseError(f"tower {spec}: a {kind} model does not show its attention, which ranks the tokens")
        if model.config.is_encoder_decoder:
            raise unseen
        self.encoder = PackedEncoder(model)
        ids = [3, 4, 5]
        try:
            packed = self.encode(PackedTokens.pack([ids], self.device)).states
        except ValueError as error:
            raise unseen from error
        with torch.no_grad():
            plain = model(input_ids=torch.tensor([ids], device=self.device)).last_hidden_state[0]
        if not torch.allclose(packed, plain, rtol=1e-2, atol=1e-3):
            # It adds to the scores of its attention what only it knows, or numbers positions in a way of its own.
            raise PolysenseError(
                f"tower {spec}: a {kind} model reads packed texts in another way than texts alone and cannot be used; "
                "choose a BERT-like encoder"
            )
        if is_causal(model):
            raise PolysenseError(
                f"tower {spec}: the first token of a {kind} model sees only itself; choose another encoder"
            )

    def encode(self, tokens: PackedTokens, layers: SaliencyLayers = "last") -> TokenStates:
        states, saliency = self.encoder(tokens, torch.zeros_like(tokens.sizes), layers=layers)
        pooled = tokens.mean(states) if self.pooling == "mean" else states[tokens.starts]
        return TokenStates(states, self.candidates(tokens.input_ids), saliency, pooled)
