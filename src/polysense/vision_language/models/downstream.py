"""CMAL's models of the downstream tasks: the encoders and a small head each."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.utils import ModelOutput

from polysense.vision_language.models.cmal import CmalModel, CmalPreTrainedModel
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.objectives.contrast import GlobalContrast, Temperature
from polysense.vision_language.objectives.matching import MatchingHead, mismatch

NO_REGION = -100
"""Label of an expression none of whose picture's regions is the object; nothing is learnt of it."""


@dataclass
class DownstreamOutput(ModelOutput):
    """The loss where labels were given, the logits, and the terms of the loss."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    losses: dict[str, Tensor] | None = None


class AnswerHead(nn.Sequential):
    """Linear d -> 2d, GELU, LayerNorm, Linear -> outputs."""

    def __init__(self, config: CmalConfig, outputs: int) -> None:
        d = config.hidden_size
        super().__init__(
            nn.Linear(d, 2 * d),
            nn.GELU(),
            nn.LayerNorm(2 * d, eps=config.layer_config(1).layer_norm_eps),
            nn.Linear(2 * d, outputs),
        )


class _PairClassifier(CmalPreTrainedModel, ABC):
    """A text and a picture to the logits of `config.num_labels` answers, from the state of the text's first token."""

    def __init__(self, config: CmalConfig) -> None:
        super().__init__(config)
        self.backbone = CmalModel(config)
        self.head = AnswerHead(config, int(config.num_labels or 0))
        self.post_init()

    def forward(self, labels: Tensor | None = None, **inputs: Any) -> DownstreamOutput:
        logits = self.head(self.backbone(**inputs).last_hidden_state[:, 0])
        return _output(logits, None if labels is None else self.loss(logits, labels))

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of logits (B, answers), a scalar."""


class CmalForVisualQuestionAnswering(_PairClassifier):
    """VQA: `labels` (B, A) soft scores of the answers; binary cross-entropy, summed over the answers."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits.float(), labels.float()) * logits.shape[1]


class CmalForVisualEntailment(_PairClassifier):
    """SNLI-VE: `labels` (B,) classes; cross-entropy."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)


class CmalForVisualReasoning(CmalPreTrainedModel):
    """NLVR2: is a text true of two pictures? Paired attention.

    The text is read with each picture; each of the two sequences attends to the other, is joined with what it found
    (Linear 2d -> d, ReLU), and pooled by attention; both together are classified.

    Inputs: the text's (B, ...), and the regions' (2 B, ...): left and right of the first text, then of the second, ...
    `labels` (B,): 1 where it is true.
    """

    def __init__(self, config: CmalConfig) -> None:
        super().__init__(config)
        layer = config.layer_config(1)
        d = layer.hidden_size
        self.backbone = CmalModel(config)
        self.across = nn.ModuleList(
            nn.MultiheadAttention(d, layer.num_attention_heads, layer.attention_probs_dropout_prob, batch_first=True)
            for _ in range(2)
        )
        self.join = nn.Sequential(nn.Linear(2 * d, d), nn.ReLU(), nn.Dropout(layer.hidden_dropout_prob))
        self.pool = nn.Linear(d, 1)
        self.classify = nn.Linear(2 * d, 2)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Also of the paired attention, whose projections are no `nn.Linear` and are in no pre-trained folder."""
        super()._init_weights(module)
        if isinstance(module, nn.MultiheadAttention):
            nn.init.xavier_uniform_(module.in_proj_weight)
            nn.init.zeros_(module.in_proj_bias)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        region_mask: Tensor,
        labels: Tensor | None = None,
        **regions: Any,
    ) -> DownstreamOutput:
        text = {"input_ids": input_ids, "attention_mask": attention_mask}
        twice = {name: value.repeat_interleave(2, dim=0) for name, value in text.items()}
        states = self.backbone(**twice, region_mask=region_mask, **regions)
        sequence = torch.cat([states.last_hidden_state, states.region_states], dim=1)  # (2B, L + 1 + R, d)
        picture = region_mask.new_ones(len(region_mask), 1)
        padding = ~torch.cat([twice["attention_mask"], picture, region_mask], dim=1).bool()
        sides = []
        for own, other in ((0, 1), (1, 0)):
            query, key = sequence[own::2], sequence[other::2]
            found, _ = self.across[own](query, key, key, key_padding_mask=padding[other::2], need_weights=False)
            joined = self.join(torch.cat([found, query], dim=-1))
            weights = self.pool(joined).squeeze(-1).masked_fill(padding[own::2], torch.finfo(joined.dtype).min)
            sides.append(torch.bmm(weights.softmax(dim=1)[:, None], joined)[:, 0])
        logits = self.classify(torch.cat(sides, dim=-1))
        return _output(logits, None if labels is None else F.cross_entropy(logits, labels))


class CmalForReferringExpression(CmalPreTrainedModel):
    """Referring expressions: a score for each region, softmax over a picture's regions.

    `labels` (B,): the region, or `NO_REGION`. The logits (B, R) are the lowest number for padding.
    """

    def __init__(self, config: CmalConfig) -> None:
        super().__init__(config)
        self.backbone = CmalModel(config)
        self.head = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def forward(self, region_mask: Tensor, labels: Tensor | None = None, **inputs: Any) -> DownstreamOutput:
        states = self.backbone(region_mask=region_mask, **inputs).region_states[:, 1:]
        scores = self.head(states).squeeze(-1)
        logits = scores.masked_fill(~region_mask.bool(), torch.finfo(scores.dtype).min)
        loss = None
        if labels is not None:
            learnt = labels != NO_REGION
            loss = F.cross_entropy(logits[learnt], labels[learnt]) if learnt.any() else scores.sum() * 0.0
        return _output(logits, loss)


class CmalForRetrieval(CmalPreTrainedModel):
    """Retrieval: whole texts and pictures as unit vectors, and a score for a pair that is read together.

    In training, the contrast of `GlobalContrast` and image-text matching, added. `pictures` (B,) says which
    picture an example shows.
    """

    def __init__(self, config: CmalConfig) -> None:
        super().__init__(config)
        self.backbone = CmalModel(config)
        self.contrast = GlobalContrast(config.hidden_size, config.projection, config.contrast_temperature)
        self.matching = MatchingHead(config.hidden_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Also of the temperature, which the folder of another task's model has none of."""
        super()._init_weights(module)
        if isinstance(module, Temperature):
            nn.init.constant_(module.log, math.log(self.config.contrast_temperature))

    def forward(self, pictures: Tensor, **inputs: Any) -> DownstreamOutput:
        texts, shown = self.embed(**inputs)
        contrast = self.contrast.loss(texts, shown, pictures)
        source, labels = mismatch(pictures)
        regions = {name: value[source] for name, value in inputs.items() if name.startswith("region_")}
        matching = self.matching.loss(self.read_together(**{**inputs, **regions}), labels)
        losses = {"contrast": contrast, "matching": matching}
        return DownstreamOutput(loss=contrast + matching, losses={name: loss.detach() for name, loss in losses.items()})

    def embed(self, **inputs: Any) -> tuple[Tensor, Tensor]:
        """Unit vectors (B, projection) of the texts and of the pictures; neither looks at the other."""
        return self.contrast.embed(*self.backbone.alone(self.backbone.sides(**inputs)))

    def read_together(self, **inputs: Any) -> Tensor:
        """(B, d) states of pairs."""
        states: Tensor = self.backbone(**inputs).last_hidden_state
        return states[:, 0]

    def match(self, **inputs: Any) -> Tensor:
        """(B,) log-odds that a text and a picture belong together."""
        logits = self.matching(self.read_together(**inputs))
        return logits[:, 1] - logits[:, 0]


def _output(logits: Tensor, loss: Tensor | None) -> DownstreamOutput:
    return DownstreamOutput(loss=loss, logits=logits)
