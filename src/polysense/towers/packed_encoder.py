"""A Hugging Face text encoder run over packed sequences, with the saliency of their tokens."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from polysense.errors import PolysenseError
from polysense.loading import load_weights, warn_of_random
from polysense.towers.packing import PackedTokens
from polysense.towers.saliency import ATTENTION, PackedAttention
from polysense.towers.tower import SaliencyLayers

_COUNTED_FROM_PADDING = (
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "data2vec-text",
    "mpnet",
    "longformer",
    "luke",
    "clap_text_model",
    "clap",
)
"""Models that number positions from padding_idx + 1 on."""

_RELATIVE = ("xlnet", "t5", "mt5", "umt5", "switch_transformers", "longt5")
"""Models whose positions are relative: they read texts of any length."""


class PackedEncoder:
    """Runs an encoder, loaded with `ATTENTION`, over packed sequences.

    Where a model takes position ids, all sequences pass in one row; else those of equal length pass together. Which of
    them holds is tried out once, so that a model can never mix sequences unnoticed.

    Args:
        model: gives `last_hidden_state`.

    Raises:
        ValueError: the model has an attention of its own, which shows nothing.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._with_types = "token_type_ids" in inspect.signature(model.forward).parameters
        self._first_position = first_position(model)
        self._in_one_row = self._keeps_sequences_apart()

    def __call__(
        self,
        tokens: PackedTokens,
        query: Tensor,
        visible: Tensor | None = None,
        layers: SaliencyLayers = "last",
    ) -> tuple[Tensor, Tensor]:
        """States (N, d) and saliency (N,).

        Args:
            tokens: B sequences with N tokens.
            query: (B,) the place in its sequence of the token that saliency is seen from.
            visible: (N,) bool, what the query may see; None for its whole sequence.
            layers: "last" or "all".
        """
        attention = PackedAttention(tokens, query, visible, layers == "all")
        if self._in_one_row:
            return self._one_row(attention), attention.saliency()
        states, saliency, first = [], [], 0
        for run, part in tokens.split():
            of_run = slice(first, first + run.count)
            first += run.count
            seen = None if visible is None else visible[run.tokens]
            attention = PackedAttention(part, query[of_run], seen, layers == "all")
            ids = part.input_ids.view(run.count, run.length)
            with attention.active():
                states.append(self.model(input_ids=ids).last_hidden_state.flatten(0, 1))
            saliency.append(attention.saliency())
        return torch.cat(states), torch.cat(saliency)

    def _one_row(self, attention: PackedAttention) -> Tensor:
        ids = attention.tokens.input_ids[None]
        inputs: dict[str, Any] = {"position_ids": attention.tokens.positions[None] + self._first_position}
        if self._with_types:
            inputs["token_type_ids"] = torch.zeros_like(ids)
        with attention.active():
            return self.model(input_ids=ids, **inputs).last_hidden_state[0]

    def _keeps_sequences_apart(self) -> bool:
        first, second, device = [0, 1, 2], [2, 1], self.model.device
        with torch.no_grad():
            try:
                rows = [
                    self._one_row(PackedAttention(tokens, torch.zeros_like(tokens.sizes)))
                    for tokens in (PackedTokens.pack(s, device) for s in ([first, second], [first], [second]))
                ]
            except (TypeError, ValueError, IndexError, RuntimeError):
                return False
        return torch.allclose(rows[0], torch.cat(rows[1:]), rtol=1e-2, atol=1e-3)


def first_position(model: PreTrainedModel) -> int:
    """The position id of a text's first token."""
    counted = model.config.model_type in _COUNTED_FROM_PADDING
    return int(model.config.pad_token_id) + 1 if counted else 0


def usable_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Longest sequence that an encoder reads, special tokens included."""
    if model.config.model_type in _RELATIVE:
        return int(tokenizer.model_max_length)
    positions = getattr(model.config, "max_position_embeddings", None) or 512
    return int(min(positions - first_position(model), tokenizer.model_max_length))


@torch.no_grad()
def is_causal(model: PreTrainedModel) -> bool:
    """Whether a token of this model sees only what stands before it: its state does not depend on what follows."""
    training = model.training
    ids = torch.tensor([[0, 1], [0, 2]], device=model.device)
    states = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    model.train(training)
    return bool(torch.equal(states[0, 0], states[1, 0]))


_OPTIONS: dict[str, Any] = {"attn_implementation": ATTENTION, "dtype": torch.float32}


def load_encoder(source: str) -> Any:
    """An encoder from a name, hub id or folder, ready to give saliency."""
    model, missing = load_weights(AutoModel, "tower", source, **_OPTIONS)
    warn_of_random("tower", source, missing, model)
    return model


def load_text_part(source: str, cls: type[Any], config: PreTrainedConfig, projection: tuple[str, ...] = ()) -> Any:
    """The text part `cls` of a contrastive model, from the whole model or from its text part alone.

    Args:
        source: hub id or folder.
        cls: its class in transformers.
        config: of the text part.
        projection: parts that may be missing, since they are not used.

    Raises:
        PolysenseError: a weight is missing, which transformers would fill with random numbers.
    """
    model, missing = load_weights(cls, "tower", source, config=config, **_OPTIONS)
    for name in sorted(missing):
        if not any(part in name.split(".") for part in projection):
            raise PolysenseError(f"tower {source}: its weights hold no whole text tower: {name} is missing")
    return model
