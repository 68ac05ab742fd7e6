"""A tiny CMAL: its configuration and batches, built in code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.prompt import Anchors

PAD, CLS, SEP, MASK = 0, 2, 3, 4
VOCABULARY, CLASSES, WIDTH, D = 60, 8, 6, 16

LAYER: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": D,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    # Large enough for attention that is far from even.
    "initializer_range": 0.4,
}

Phrases = Mapping[tuple[int, ...], tuple[int, ...]]
"""Tokens of a phrase to the regions that it names."""

PHRASES: tuple[Phrases, ...] = (
    {(1, 2): (0, 2), (4,): (2, 3)},  # several regions a phrase; region 2 has two phrases
    {(2,): (1,)},
    {},
)


def tiny_config(**changes: Any) -> CmalConfig:
    """Layers' sizes are `LAYER`; a change of one of them goes there, all others to `CmalConfig`."""
    layer = {**LAYER, **{name: changes.pop(name) for name in list(changes) if name in LAYER}}
    settings: dict[str, Any] = {
        "layer": layer,
        "region_width": WIDTH,
        "text_layers": 2,
        "visual_layers": 2,
        "unified_layers": 2,
        "projection": 8,
        "object_classes": [f"class {i}" for i in range(CLASSES)],
        "mask_token_id": MASK,
        "special_token_ids": (PAD, 1, CLS, SEP, MASK),
    }
    return CmalConfig(**{**settings, **changes})


def tiny_anchors(phrases: Sequence[Phrases], length: int, count: int) -> Anchors:
    """Of a batch of `length` tokens and `count` regions."""
    spans = torch.zeros(len(phrases), length, dtype=torch.long)
    links = torch.zeros(len(phrases), length, count, dtype=torch.bool)
    for example, named in enumerate(phrases):
        for number, (tokens, regions) in enumerate(named.items(), start=1):
            for token in tokens:
                spans[example, token] = number
                links[example, token, list(regions)] = True
    return Anchors(spans, links)


def tiny_batch(
    phrases: Sequence[Phrases] = PHRASES,
    lengths: Sequence[int] = (9, 7, 6),
    counts: Sequence[int] = (5, 3, 2),
    seed: int = 0,
    width: int = WIDTH,
) -> dict[str, Tensor]:
    """All inputs of `CmalForPreTraining`, of random words and regions; as many examples as `phrases` has.

    Args:
        phrases: of each example; tokens count from 0, which is [CLS].
        lengths: tokens of each example with [CLS] and [SEP]. counts: regions of each.
        width: of the features.
    """
    draw = torch.Generator().manual_seed(seed)
    batch, length, count = len(phrases), max(lengths), max(counts)
    ids = torch.randint(MASK + 1, VOCABULARY, (batch, length), generator=draw)
    word_mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    ids[:, 0] = CLS
    ids[torch.arange(batch), torch.tensor(lengths) - 1] = SEP
    corners = torch.rand(batch, count, 4, generator=draw) * 0.5
    near, far = corners[..., :2], corners[..., :2] + corners[..., 2:]
    sides = far - near
    locations = torch.cat([near, far, sides, sides.prod(dim=-1, keepdim=True)], dim=-1)
    region_mask = torch.arange(count) < torch.tensor(counts)[:, None]
    classes = torch.randint(CLASSES, (batch, count), generator=draw)
    features = torch.randn(batch, count, width, generator=draw)
    anchors = tiny_anchors(phrases, length, count)
    return {
        "input_ids": ids.masked_fill(~word_mask, PAD),
        "attention_mask": word_mask.long(),
        "region_features": features.masked_fill(~region_mask[..., None], 0),
        "region_locations": locations.masked_fill(~region_mask[..., None], 0),
        "region_mask": region_mask,
        "anchor_spans": anchors.spans,
        "anchor_links": anchors.links,
        "region_classes": classes.masked_fill(~region_mask, -100),
        "pictures": torch.arange(batch),
    }


def anchors_of(batch: Mapping[str, Tensor]) -> Anchors:
    """The anchors of a batch's fields."""
    return Anchors(batch["anchor_spans"], batch["anchor_links"])


def encoder_inputs(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `CmalModel` takes of a batch."""
    names = ("input_ids", "attention_mask", "region_features", "region_locations", "region_mask")
    return {name: batch[name] for name in names}
