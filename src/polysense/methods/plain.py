"""The plain choices: what is left of a method when a part is taken away, and what the baselines are made of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polysense.entity_graph import EntityGraph
from polysense.methods.base import Combination, Interaction, Sizes, TextStates
from polysense.methods.selection import LearntSelection
from polysense.methods.targets import Target
from polysense.modality import TEXT, Blocks, PrototypeBlock
from polysense.pooling import pool


class Projection(nn.Module):
    """Maps the prototypes of each modality to the backbone's width, one linear layer a modality.

    Args:
        sizes: d and the widths d_m.
        select: prototypes a text and modality that are kept by a learnt choice (`LearntSelection`); 0: all.
    """

    def __init__(self, sizes: Sizes, select: int = 0) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({m: nn.Linear(width, sizes.hidden) for m, width in sizes.widths.items()})
        self.selection = LearntSelection(sizes.hidden, select) if select else None

    def forward(self, modality: str, features: Tensor) -> Tensor:
        """(B, K, d_m) to (B, K, d)."""
        return self.layers[modality](features)

    def blocks(self, text: TextStates, blocks: Blocks) -> dict[str, PrototypeBlock]:
        """The projected prototypes (B, K, d) of each modality, those that are not selected zero and masked."""
        projected = {m: PrototypeBlock(self(m, block.features), block.mask) for m, block in blocks.items()}
        if self.selection is None:
            return projected
        pooled = pool(text.states, text.mask, text.pooling)
        return {m: self.selection(pooled, block) for m, block in projected.items()}


class NoInteraction(Interaction):
    """Modalities do not meet: the pooled text, and the mean of each modality's projected prototypes.

    Args:
        sizes: d and the widths d_m.
        select: as in `Projection`.
    """

    def __init__(self, sizes: Sizes, select: int = 0) -> None:
        super().__init__()
        self.project = Projection(sizes, select)

    def forward(self, text: TextStates, blocks: Blocks, _graph: EntityGraph | None = None, /) -> dict[str, Tensor]:
        representations = {TEXT: pool(text.states, text.mask, text.pooling)}
        for modality, block in self.project.blocks(text, blocks).items():
            representations[modality] = pool(block.features, block.mask, "mean")
        return representations

    def tokens(
        self, text: TextStates, blocks: Blocks, _graph: EntityGraph | None = None, /
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """A modality's states are tanh(H^t + r[m]).

        Beside a text's states as they are, r[m] would add the same to the score of every token, which changes nothing.
        """
        pooled = self(text, blocks)
        states = {m: torch.tanh(text.states + pooled[m][:, None]) for m in blocks}
        return {TEXT: text.states, **states}, pooled

    def memory(
        self, text: TextStates, blocks: Blocks, _graph: EntityGraph | None = None, /
    ) -> dict[str, PrototypeBlock]:
        return self.project.blocks(text, blocks)


class TextOnly(Combination):
    """The text's representation through one linear layer; other modalities are ignored ("+None" in the papers)."""

    def __init__(self, sizes: Sizes, target: Target) -> None:
        super().__init__()
        self.target = target
        self.head = nn.Linear(sizes.hidden, target.outputs)

    def forward(
        self, representations: Mapping[str, Tensor], candidates: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.target.restrict(self.head(representations[TEXT]), candidates)
        return self.target.mix(logits[:, None], logits.new_zeros(1)), {TEXT: logits}


class Concatenation(Combination):
    """All representations side by side through one linear layer (MASE section 3.1: the proxy baseline, MPB).

    A modality alone is what the layer says of it with the others at zero.
    """

    def __init__(self, sizes: Sizes, target: Target) -> None:
        super().__init__()
        self.target = target
        self.modalities = sizes.modalities if self.of_text else list(sizes.widths)
        self.width = sizes.hidden
        self.head = nn.Linear(len(self.modalities) * sizes.hidden, target.outputs)

    def forward(
        self, representations: Mapping[str, Tensor], candidates: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        columns = self.head.weight.split(self.width, dim=1)
        present = {m: column for m, column in zip(self.modalities, columns, strict=True) if m in representations}
        if present:
            side_by_side = torch.cat([representations[m] for m in present], dim=-1)
            logits = F.linear(side_by_side, torch.cat(list(present.values()), dim=1), self.head.bias)
        else:  # all that counts is left out
            logits = self.head.bias.expand(*next(iter(representations.values())).shape[:-1], -1)
        logits = self.target.restrict(logits, candidates)
        alone = {
            m: self.target.restrict(F.linear(representations[m], column, self.head.bias), candidates)
            for m, column in present.items()
        }
        return self.target.mix(logits[:, None], logits.new_zeros(1)), alone


class TowersOnly(Concatenation):
    """The towers alone with a linear layer: what the text's own model says is ignored.

    With the reading's selection "pooled" it is the row "+None" of CLIP, AudioCLIP and CLIP-ViP in MaCSC Table 4 and
    MASE Table 6: "utilizing the text encoder of MC-PTMs combined with a classifier for prediction". The backbone gets
    no gradient. A part of a text has to be pointed to among the backbone's states, so spans are not without it.
    """

    of_text = False
