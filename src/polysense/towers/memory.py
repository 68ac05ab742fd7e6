"""A memory of real things: captions as keys, features of their pictures, sounds or clips as values.

With a few thousand pairs, a tower that reads the features of what it finds beats one that has to learn the map from
words to features. It is part of the tower's weights; no picture is needed to read it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Memory(nn.Module):
    """N entries, read by softmax attention: sum_n softmax_n(beta cos(q, key_n)) value_n.

    Args:
        keys: (N, d), made unit length.
        values: (N, D).
        sharpness: beta at the start; trained.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, sharpness: float = 20.0) -> None:
        super().__init__()
        # Half precision is exact enough for features and halves what ships.
        self.register_buffer("keys", F.normalize(keys.float(), dim=-1).half())
        self.register_buffer("values", values.half())
        self.log_sharpness = nn.Parameter(torch.tensor(sharpness).log())

    def forward(self, query: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Read for unit queries (..., d): (..., D). `hidden` (..., N) bool marks entries that a query may not see."""
        scores = self.log_sharpness.exp() * (query @ self.keys.to(query.dtype).T)
        if hidden is not None:
            # Not minus infinity: where everything is hidden, nothing is read, and no gradient is NaN.
            scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        if hidden is not None:
            weights = weights.masked_fill(hidden, 0.0)
        return weights @ self.values.to(query.dtype)
