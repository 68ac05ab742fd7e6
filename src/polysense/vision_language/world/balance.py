"""Choosing so that every answer comes equally often."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Balance(Generic[Key]):
    """Chooses among what is possible the one that has had least of its share so far; ties by chance.

    What is seldom possible is thus taken whenever it is, and what is common waits for it.
    """

    def __init__(self, shares: Mapping[Key, float]) -> None:
        self._shares = dict(shares)
        self._taken: Counter[Key] = Counter()

    def choose(self, rng: random.Random, possible: list[Key]) -> Key:
        """One of the keys of `shares` that are possible now; at least one."""
        chosen = min(possible, key=lambda key: (self._taken[key] / self._shares[key], rng.random()))
        self._taken[chosen] += 1
        return chosen
