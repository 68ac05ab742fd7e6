from __future__ import annotations

import torch
from torch.nn import functional as F

from polysense.alignment.contrast import symmetric_contrast
from support import assert_same_gradients


def slow(text, other, text_concepts, other_concepts, scale):
    """Loops over i and j: each way, the mean over rows with a positive of the mean of -log p over the positives."""
    ways = []
    for queries, gallery, mine, theirs in (
        (text, other, text_concepts, other_concepts),
        (other, text, other_concepts, text_concepts),
    ):
        rows = []
        for i in range(len(queries)):
            positives = [j for j in range(len(gallery)) if mine[i] == theirs[j]]
            if not positives:
                continue
            logits = [scale * sum(a * b for a, b in zip(queries[i], gallery[j], strict=True))
                      for j in range(len(gallery))]  # fmt: skip
            total = sum(z.exp() for z in logits)
            rows.append(sum(-(logits[j].exp() / total).log() for j in positives) / len(positives))
        ways.append(sum(rows) / len(rows))
    return sum(ways) / 2


def test_loops_agree_with_several_positives_and_rows_without_any():
    generator = torch.Generator().manual_seed(0)
    raw = [torch.randn(n, 4, generator=generator, requires_grad=True) for n in (6, 5)]
    scale = torch.tensor(3.0, requires_grad=True)
    text_concepts, other_concepts = torch.tensor([0, 0, 1, 2, 5, 1]), torch.tensor([1, 0, 2, 0, 7])
    text, other = (F.normalize(x, dim=-1) for x in raw)
    loss = symmetric_contrast(text, other, text_concepts, other_concepts, scale)
    assert_same_gradients(loss, slow(text, other, text_concepts, other_concepts, scale), [*raw, scale])


def test_pairs_that_match_cost_less():
    eye, concepts = torch.eye(4), torch.arange(4)
    right = symmetric_contrast(eye, eye, concepts, concepts, torch.tensor(5.0))
    wrong = symmetric_contrast(eye, eye.roll(1, 0), concepts, concepts, torch.tensor(5.0))
    assert right < 0.1 < wrong
