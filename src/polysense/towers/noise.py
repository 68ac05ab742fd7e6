"""Gaussian noise in the place of knowledge: the control of MaCSC Table 5."""

from __future__ import annotations

import torch
from torch import Tensor

from polysense.towers.packing import PackedTokens
from polysense.towers.tower import SaliencyLayers, TokenStates, Tower


class NoiseTower(Tower):
    """Chooses the tokens that another tower chooses and gives them standard normal features.

    The features depend on the whole text, and are the same whenever that text comes again: they carry nothing that
    holds from one text to the next.
    """

    def __init__(self, chooser: Tower, spec: str) -> None:
        super().__init__()
        self.chooser, self.spec = chooser, spec
        self.width, self.max_length, self.tokenizer = chooser.width, chooser.max_length, chooser.tokenizer
        self.joins_pairs = chooser.joins_pairs
        self.freeze()

    @torch.no_grad()
    def encode(self, tokens: PackedTokens, layers: SaliencyLayers = "last") -> TokenStates:
        chosen = self.chooser.encode(tokens, layers)
        noise = torch.cat([self._noise(ids.tolist()) for ids in tokens.input_ids.split(tokens.lengths)])
        noise = noise.to(chosen.states)
        pooled = tokens.mean(noise) * tokens.sizes[:, None] ** 0.5
        return TokenStates(noise, chosen.candidates, chosen.saliency, pooled)

    def _noise(self, ids: list[int]) -> Tensor:
        generator = torch.Generator().manual_seed(_seed(ids))
        return torch.randn(len(ids), self.width, generator=generator)


def _seed(ids: list[int]) -> int:
    seed = len(ids)
    for token_id in ids:
        seed = (seed * 1_000_003 + token_id) % (1 << 61)
    return seed
