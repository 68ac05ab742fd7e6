"""Retrieval on held-out pairs: does a caption find its picture, and a picture its caption?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def recall(queries: Tensor, gallery: Tensor, query_concepts: Tensor, gallery_concepts: Tensor, k: int) -> float:
    """R@k: share of queries (n, D) with an item of their concept among the k nearest (cosine) of the gallery (m, D)."""
    scores = F.normalize(queries, dim=-1) @ F.normalize(gallery, dim=-1).T
    nearest = scores.topk(min(k, len(gallery)), dim=1).indices
    return float((gallery_concepts[nearest] == query_concepts[:, None]).any(dim=1).float().mean())


def chance(query_concepts: Tensor, gallery_concepts: Tensor, k: int) -> float:
    """R@k of a random order: 1 - C(m - p, k) / C(m, k), p positives among m items, averaged over the queries."""
    m = len(gallery_concepts)
    positives = (query_concepts[:, None] == gallery_concepts[None, :]).sum(dim=1).double()
    misses = torch.ones_like(positives)
    for i in range(min(k, m)):
        misses = misses * ((m - positives - i) / (m - i)).clamp(min=0)
    return float((1 - misses).mean())


def retrieval_table(text: Tensor, other: Tensor, text_concepts: Tensor, other_concepts: Tensor) -> dict[str, float]:
    """R@1 and R@10, caption to item and item to caption, as shares."""
    both = {
        "text_to_item": (text, other, text_concepts, other_concepts),
        "item_to_text": (other, text, other_concepts, text_concepts),
    }
    return {f"{way}_R@{k}": recall(*arguments, k) for way, arguments in both.items() for k in (1, 10)}
