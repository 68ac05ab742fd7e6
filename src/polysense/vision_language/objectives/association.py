"""Associative mapping classification (AMC; CMAL, part 5): at each anchor, tell what stood there."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from polysense.vision_language.models.configuration import CmalConfig

UNKNOWN = -100
"""Of a region: its class has no number; of a word: it is no target."""


class _Transform(nn.Sequential):
    """Linear, activation, LayerNorm, as before BERT's vocabulary."""

    def __init__(self, config: CmalConfig) -> None:
        layer = config.layer_config(1)
        d = layer.hidden_size
        super().__init__(nn.Linear(d, d), ACT2FN[layer.hidden_act], nn.LayerNorm(d, eps=layer.layer_norm_eps))


class AssociativeClassifier(nn.Module):
    """Tells the word from the state of a text's place, and the object class from the state of a region's place.

    The words are those of `config.target_words`, the ones that the pre-training corpus has: over the whole vocabulary
    the logits would be most of a step, and what they learnt of other words is only that those do not occur. A word's
    weights are its embedding.
    """

    targets: Tensor
    numbers: Tensor

    def __init__(self, config: CmalConfig) -> None:
        super().__init__()
        self.word_transform = _Transform(config)
        targets = len(config.target_words) or config.vocab_size
        self.register_buffer("targets", torch.empty(targets, dtype=torch.long))
        self.register_buffer("numbers", torch.empty(config.vocab_size, dtype=torch.long))
        self.word_bias = nn.Parameter(torch.empty(targets))
        self.class_transform = _Transform(config)
        self.classes = nn.Linear(config.hidden_size, len(config.object_classes)) if config.object_classes else None
        self.start(config)

    @torch.no_grad()
    def start(self, config: CmalConfig) -> None:
        """Number the target words, and start from no bias; also where a folder has none of this head's tensors."""
        self.targets.copy_(torch.tensor(config.target_words or range(config.vocab_size)))
        self.numbers.fill_(UNKNOWN)[self.targets] = torch.arange(len(self.targets), device=self.targets.device)
        nn.init.zeros_(self.word_bias)

    def words(self, states: Tensor, embeddings: Tensor) -> Tensor:
        """(N, d) to logits (N, T) of the target words; `embeddings` (V, d) of all."""
        return F.linear(self.word_transform(states), embeddings[self.targets], self.word_bias)

    def loss(
        self,
        word_states: Tensor,
        region_states: Tensor,
        words: Tensor,
        classes: Tensor,
        word_targets: Tensor,
        region_targets: Tensor,
        embeddings: Tensor,
    ) -> dict[str, Tensor]:
        """Cross-entropy over the target words at the text's targets, and over object classes at the regions'.

        Args:
            word_states: (B, L, d). region_states: (B, R, d).
            words: (B, L) what stood there. classes: (B, R), `UNKNOWN` where a region has no class.
            word_targets: (B, L) bool. region_targets: (B, R) bool.
            embeddings: (V, d) of the words.

        Returns:
            "words" and "regions", each a mean over its targets; 0 where there is none.
        """
        losses = {"words": word_states.sum() * 0.0, "regions": region_states.sum() * 0.0}
        stood = self.numbers[words]
        word_targets = word_targets & (stood != UNKNOWN)
        if word_targets.any():
            losses["words"] = F.cross_entropy(self.words(word_states[word_targets], embeddings), stood[word_targets])
        known = region_targets & (classes != UNKNOWN)
        if self.classes is not None and known.any():
            losses["regions"] = F.cross_entropy(
                self.classes(self.class_transform(region_states[known])), classes[known]
            )
        return losses
