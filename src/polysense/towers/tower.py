"""The contract of a text tower, and what all towers share."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.loading import open_auto
from polysense.towers.openai_text import CleanText
from polysense.towers.packing import PackedTokens

SaliencyLayers = Literal["last", "all"]

KINDS = ("", "encoder:", "raw:")
"""What a tower's `kind` may be."""

_IN_CONFIGURATION = (
    "model_type",
    "hidden_act",
    "activation",
    "projection_hidden_act",
    "num_attention_heads",
    "n_heads",
    "layer_norm_eps",
    "norm_eps",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
"""What changes a model's states and is no weight; not all of its configuration, which grows with transformers."""


@dataclass(frozen=True)
class TokenStates:
    """What one call of a tower gives for B sequences with N tokens in all, packed one after another.

    Attributes:
        states: (N, d_m) token features in the tower's shared space.
        candidates: (N,) bool; start and end tokens are no candidates for prototypes.
        saliency: (N,) attention that the pooled token pays to each token of its sequence, averaged over heads; sums
            to 1 over a sequence (MaCSC section 2.2).
        pooled: (B, d_m) the sentence feature.
    """

    states: Tensor
    candidates: Tensor
    saliency: Tensor
    pooled: Tensor


class Tower(nn.Module, ABC):
    """A text encoder that was trained beside another modality (MaCSC Eq. 1: TextEncoder_m).

    A tower is frozen until `thaw` is called: its features can be computed once. It stays in eval mode whatever is
    asked of it, so that a thawed one reads as it did before.

    Attributes:
        trainable: whether there are weights that its features depend on smoothly, and `save` writes them.
        kind: what stands in a spec before the folder that `save` wrote, one of `KINDS`.
        spec: the text that opens the same tower again (a name, a hub id or a folder).
        width: d_m.
        tokenizer: a fast tokenizer (character offsets are needed to say which words were chosen).
        max_length: longest sequence, special tokens included.
        joins_pairs: whether it reads both texts of a pair in one sequence.
        clean_up: what a text goes through before the tokenizer, None for nothing.
        rules: the version of `clean_up`; with another one, other features may come out of the same weights.
    """

    trainable: ClassVar[bool] = False
    kind: str = ""
    spec: str
    width: int
    max_length: int
    tokenizer: PreTrainedTokenizerBase
    joins_pairs: bool = True
    clean_up: Callable[[str], CleanText] | None = None
    rules: str = ""

    @abstractmethod
    def encode(self, tokens: PackedTokens, layers: SaliencyLayers = "last") -> TokenStates:
        """Encode packed sequences; `layers` says which attention layers make the saliency."""

    def freeze(self) -> Self:
        self.requires_grad_(False)
        return self.eval()

    def thaw(self) -> Self:
        """Let gradients reach the weights of a `trainable` tower."""
        return self.requires_grad_(True)

    def save(self, folder: Path) -> None:
        """Write a `trainable` tower as a folder that `open_tower` opens, with `kind` before its name."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        return super().train(False)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def candidates(self, input_ids: Tensor) -> Tensor:
        """(N,) bool: tokens that are not special tokens of the tokenizer."""
        special = torch.tensor(self.tokenizer.all_special_ids, device=input_ids.device)
        # The unknown token stands for a word of the text.
        if self.tokenizer.unk_token_id is not None and self.tokenizer.unk_token_id != self.tokenizer.eos_token_id:
            special = special[special != self.tokenizer.unk_token_id]
        return ~torch.isin(input_ids, special)

    def variant(self) -> str:
        """What changes the features and is no weight, for the fingerprint."""
        return ""

    def fingerprint(self) -> str:
        """A digest of weights, configuration and tokenizer: what says which features a text gets.

        The rules by which this package reads them are not in it (`rules`, `reader.VERSION`).
        """
        digest = hashlib.sha256(f"{type(self).__name__} {self.max_length} {self.variant()}".encode())
        for module in self.modules():
            if isinstance(module, PreTrainedModel):
                settings = {name: getattr(module.config, name, None) for name in _IN_CONFIGURATION}
                digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        # How the last texts were cut and padded is part of a tokenizer's state, not of the tower.
        written = json.loads(self.tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
        digest.update(json.dumps(written, sort_keys=True).encode())
        return digest.hexdigest()[:16]


class ModelTower(Tower):
    """A tower that is a model of Hugging Face's and nothing else."""

    trainable = True
    model: Any

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(str(folder))
        self.tokenizer.save_pretrained(str(folder))


class ContrastiveTower(ModelTower):
    """The text part of a contrastive model; its features are projected to the shared space, or raw.

    Args:
        model: the text part.
        tokenizer: its own.
        spec: as in `Tower`.
        projected: whether features go through the model's projection (the paper's widths) or stay raw states.
        projected_width: of the shared space.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        spec: str,
        projected: bool,
        projected_width: int,
    ) -> None:
        super().__init__()
        self.tokenizer, self.spec, self.projected = tokenizer, spec, projected
        self.width = projected_width if projected else model.config.hidden_size
        self.kind = "" if projected else "raw:"
        self.model = model
        self.freeze()

    def variant(self) -> str:
        return "projected" if self.projected else "raw"


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a name, hub id or folder.

    Raises:
        PolysenseError: there is only a slow one, which gives no character offsets.
    """
    tokenizer = open_auto(AutoTokenizer, resolve_model(source))
    if not tokenizer.is_fast:
        raise PolysenseError(
            f"{source}: its tokenizer gives no character offsets; choose a model with a fast tokenizer"
        )
    return tokenizer
