from __future__ import annotations

import pytest
import torch

from polysense.pooling import pool

STATES = torch.tensor([[[1.0], [2.0], [4.0], [8.0]]]).expand(5, -1, -1)
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]]).bool()


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("first", [1, 1, 4, 2, 0]), ("last", [8, 2, 8, 4, 0]), ("mean", [3.75, 1.5, 6, 3, 0])],
)
def test_pool_sees_real_tokens_only(pooling: str, expected: list[float]) -> None:
    assert pool(STATES, MASK, pooling)[:, 0].tolist() == expected


def test_pool_unknown() -> None:
    with pytest.raises(ValueError, match="unknown pooling 'max': one of first, mean, last"):
        pool(STATES, MASK, "max")
