"""Masked words and regions: BERT's masking of the text, and zeroed features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RANDOM_BELOW, KEPT_FROM = 0.1, 0.9
"""Of masked words, a tenth become random ones and a tenth stay; the others become the mask token (BERT, 3.1)."""


@dataclass(frozen=True)
class Masked:
    """A batch with parts hidden.

    Attributes:
        input_ids: (B, L) with masks. features: (B, R, W) with zeroed rows.
        words: (B, L) bool: masked tokens. regions: (B, R) bool: masked regions.
    """

    input_ids: Tensor
    features: Tensor
    words: Tensor
    regions: Tensor


def draw(candidates: Tensor, share: float, enough: Tensor) -> Tensor:
    """Each candidate with probability `share`; at least one of a row that has candidates and no target yet.

    Args:
        candidates: (B, N) bool.
        enough: (B,) bool: rows that have a target already. Nothing is forced where `share` is 0.
    """
    noise = torch.rand(candidates.shape, device=candidates.device).masked_fill(~candidates, 2.0)
    chosen = noise < share
    if share > 0 and candidates.shape[1]:
        needed = ~enough & ~chosen.any(dim=1) & candidates.any(dim=1)
        forced = torch.zeros_like(candidates).scatter_(1, noise.argmin(dim=1, keepdim=True), value=True)
        chosen = chosen | (forced & needed[:, None])
    return chosen


def mask_batch(
    input_ids: Tensor,
    features: Tensor,
    words: Tensor,
    regions: Tensor,
    mask_token: int,
    vocabulary: int,
) -> Masked:
    """Hide the chosen words and regions.

    Args:
        input_ids: (B, L). features: (B, R, W).
        words: (B, L) bool and regions (B, R) bool: what is hidden.
        mask_token: id of the mask token. vocabulary: number of ids to draw random words from.
    """
    fate = torch.rand(input_ids.shape, device=input_ids.device)
    random = torch.randint_like(input_ids, vocabulary)
    hidden = torch.where(fate < RANDOM_BELOW, random, torch.full_like(input_ids, mask_token))
    hidden = torch.where(fate >= KEPT_FROM, input_ids, hidden)
    return Masked(
        torch.where(words, hidden, input_ids),
        features.masked_fill(regions[..., None], 0),
        words,
        regions,
    )
