"""The order of training rows."""

from __future__ import annotations

import torch
from accelerate.data_loader import SeedableRandomSampler

from polysense.training.order import EpochGroupedSampler, EpochSampler


def test_the_order_is_that_of_accelerate_in_every_epoch() -> None:
    expected = SeedableRandomSampler(range(11), data_seed=5, generator=torch.Generator())
    now = 0
    ours = EpochSampler(11, 5, lambda: now)
    for now in range(3):
        expected.set_epoch(now)
        assert list(ours) == list(expected) == list(ours)
    assert len(ours) == 11


def test_rows_of_like_length_come_together_in_an_order_of_the_epoch() -> None:
    lengths = torch.arange(800) % 40
    now = 0
    ours = EpochGroupedSampler(8, lengths.tolist(), 5, lambda: now)
    orders = []
    for now in range(3):  # noqa: B007 - asked by the sampler
        orders.append(list(ours))
        assert list(ours) == orders[-1] and sorted(orders[-1]) == list(range(800))
        batches = lengths[orders[-1]].view(-1, 8)
        assert (batches.amax(1) - batches.amin(1)).float().mean() < 3  # some 31 in batches by chance
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert list(EpochGroupedSampler(8, lengths.tolist(), 6, lambda: 2)) != orders[2]
