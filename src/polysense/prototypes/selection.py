"""Conceptual prototypes of a sentence: the K most salient token features of a tower (MaCSC Eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k(saliency: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Positions of the K most salient candidate tokens, in the order of the sentence.

    Ties go to the earlier token, so the choice does not depend on the machine.

    Args:
        saliency: (B, L) attention of the pooled token to each token.
        candidates: (B, L) bool, tokens that may be chosen.
        k: how many to choose, at least 1.

    Returns:
        positions (B, k) int64 and mask (B, k) bool. A sentence with fewer than k candidates has all of them, then
        masked places whose position is 0.

    Raises:
        ValueError: k is less than 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    length = saliency.shape[1]
    scores = saliency.masked_fill(~candidates, float("-inf"))
    ranked = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    chosen = candidates.gather(1, ranked)
    # Places without a candidate sort behind every position of the sentence.
    ordered = ranked.masked_fill(~chosen, length).sort(dim=1).values
    mask = ordered < length
    positions = ordered.masked_fill(~mask, 0)
    if length < k:
        pad = (0, k - length)
        positions = torch.nn.functional.pad(positions, pad)
        mask = torch.nn.functional.pad(mask, pad)
    return positions, mask
