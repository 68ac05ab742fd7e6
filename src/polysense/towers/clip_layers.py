"""Embeddings and layers of CLIP-like text models, for rows of packed sequences and sparing with memory.

The weights stay where they are; only what is done with them is written anew. On a CPU, what is not a matrix product is
memory traffic, which these layers spare.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from polysense.towers.saliency import current_attention

SHARPNESS = 1.702
"""Of QuickGELU(x) = x sigmoid(1.702 x), which is SiLU(1.702 x) / 1.702."""


class PackedEmbeddings(nn.Module):
    """Token and position embeddings of CLIP-like models for a row of packed sequences, longer than any one of them."""

    def __init__(self, embeddings: Any) -> None:
        super().__init__()
        self.token_embedding = embeddings.token_embedding
        self.position_embedding = embeddings.position_embedding

    def forward(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        return self.token_embedding(input_ids) + self.position_embedding(position_ids)


class PackedLayer(nn.Module):
    """A pre-norm layer of CLIP or SigLIP: adds in place where it is frozen, and scales within the matrix products.

    Args:
        layer: Hugging Face's, whose parts it takes over.
        causal: whether a token sees only what stands before it.
        quick: whether the activation is QuickGELU.
    """

    def __init__(self, layer: Any, causal: bool, quick: bool) -> None:
        super().__init__()
        self.layer_norm1, self.self_attn = layer.layer_norm1, layer.self_attn
        self.layer_norm2, self.mlp = layer.layer_norm2, layer.mlp
        self.causal, self.quick = causal, quick

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """(1, N, d) to the same; a frozen layer changes what it is given."""
        states, attention = hidden_states[0], self.self_attn
        normed = self.layer_norm1(states)
        heads = (len(states), -1, attention.head_dim)
        q, k, v = (part(normed).view(heads) for part in (attention.q_proj, attention.k_proj, attention.v_proj))
        seen = current_attention().attend(q, k, v, attention.scale, self.causal)
        states = _add(states, seen.flatten(1), attention.out_proj)
        inner, outer = self.mlp.fc1, self.mlp.fc2
        normed = self.layer_norm2(states)
        if self.quick:
            hidden = torch.addmm(inner.bias, normed, inner.weight.T, beta=SHARPNESS, alpha=SHARPNESS)
            hidden = nn.functional.silu(hidden, inplace=not hidden.requires_grad)
            states = _add(states, hidden, outer, 1 / SHARPNESS)
        else:
            states = _add(states, self.mlp.activation_fn(inner(normed)), outer)
        return states[None]


def _add(states: Tensor, values: Tensor, linear: nn.Linear, scale: float = 1.0) -> Tensor:
    """states + scale W values + b, in place unless a gradient has to find what was there."""
    if states.requires_grad or values.requires_grad:
        return torch.addmm(states + linear.bias, values, linear.weight.T, alpha=scale)
    return states.add_(linear.bias).addmm_(values, linear.weight.T, alpha=scale)


def pack_layers(model: PreTrainedModel, causal: bool) -> None:
    """Put these in the place of the embeddings and layers of a text model (CLIP, SigLIP)."""
    text: Any = getattr(model, "text_model", model)
    text.embeddings = PackedEmbeddings(text.embeddings)
    quick = model.config.hidden_act == "quick_gelu"
    layers = text.encoder.layers
    for i, layer in enumerate(layers):
        layers[i] = PackedLayer(layer, causal, quick)
