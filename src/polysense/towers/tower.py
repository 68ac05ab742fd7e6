"""The contract of a frozen text tower, and what all towers share."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError

SaliencyLayers = Literal["last", "all"]


@dataclass(frozen=True)
class TokenStates:
    """What one call of a tower gives for a batch of token sequences.

    Attributes:
        states: (B, L, d_m) token features in the tower's shared space.
        candidates: (B, L) bool; start, end and padding tokens are no candidates for prototypes.
        saliency: (B, L) attention that the pooled token pays to each token, averaged over heads; rows sum to 1 over
            the real tokens (MaCSC section 2.2).
        pooled: (B, d_m) the sentence feature.
    """

    states: Tensor
    candidates: Tensor
    saliency: Tensor
    pooled: Tensor


class Tower(nn.Module, ABC):
    """A frozen text encoder that was trained beside another modality (MaCSC Eq. 1: TextEncoder_m).

    A tower stays in eval mode and without gradients whatever is asked of it: its features can be computed once.

    Attributes:
        spec: the text that opens the same tower again (a name, a hub id or a folder).
        width: d_m.
        tokenizer: a fast tokenizer (character offsets are needed to say which words were chosen).
        max_length: longest sequence, special tokens included.
        joins_pairs: whether it reads both texts of a pair in one sequence.
    """

    spec: str
    width: int
    max_length: int
    tokenizer: PreTrainedTokenizerBase
    joins_pairs: bool = True

    @abstractmethod
    def encode(self, input_ids: Tensor, attention_mask: Tensor, layers: SaliencyLayers = "last") -> TokenStates:
        """Encode (B, L) token ids; `layers` says which attention layers make the saliency."""

    def freeze(self) -> Self:
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        return super().train(False)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def candidates(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L) bool: real tokens that are not special tokens of the tokenizer."""
        special = torch.tensor(self.tokenizer.all_special_ids, device=input_ids.device)
        # The unknown token stands for a word of the text.
        if self.tokenizer.unk_token_id is not None and self.tokenizer.unk_token_id != self.tokenizer.eos_token_id:
            special = special[special != self.tokenizer.unk_token_id]
        return attention_mask.bool() & ~torch.isin(input_ids, special)

    def variant(self) -> str:
        """What changes the features and is no weight, for the fingerprint."""
        return ""

    def fingerprint(self) -> str:
        """A digest of weights and tokenizer: the same text and fingerprint always give the same features."""
        digest = hashlib.sha256(f"{type(self).__name__} {self.max_length} {self.variant()}".encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        # How the last texts were cut and padded is part of a tokenizer's state, not of the tower.
        settings = json.loads(self.tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
        digest.update(json.dumps(settings, sort_keys=True).encode())
        return digest.hexdigest()[:16]


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a name, hub id or folder.

    Raises:
        PolysenseError: there is only a slow one, which gives no character offsets.
    """
    tokenizer = AutoTokenizer.from_pretrained(resolve_model(source))
    if not tokenizer.is_fast:
        raise PolysenseError(f"{source}: its tokenizer gives no character offsets (it is not a fast one)")
    return tokenizer
