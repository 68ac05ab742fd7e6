"""A method is three choices over the same data: interaction, combination and regulariser.

    interaction   text states and prototypes -> enhanced features -> one representation r[m] a modality
    combination   representations -> prediction
    regulariser   what else the loss asks

Each choice is a module that knows nothing of the other two, so an ablation swaps one of them and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from polysense.entity_graph import EntityGraph
from polysense.modality import TEXT, Blocks, PrototypeBlock


@dataclass(frozen=True)
class Sizes:
    """What a choice needs to know to build its weights.

    Attributes:
        hidden: d, width of the backbone.
        widths: d_m by auxiliary modality, in the papers' order.
    """

    hidden: int
    widths: Mapping[str, int]

    @property
    def modalities(self) -> list[str]:
        """All modalities, text first: the set M of the papers."""
        return [TEXT, *self.widths]


@dataclass(frozen=True)
class TextStates:
    """Token states of the backbone.

    Attributes:
        states: (B, L, d).
        mask: (B, L) bool, real tokens.
        pooling: how the backbone makes one vector of them: "first", "mean" or "last" token.
    """

    states: Tensor
    mask: Tensor
    pooling: str


class Interaction(nn.Module, ABC):
    """Choice 1: how modalities meet the text.

    A sentence, or a choice of several, is one vector a modality (`forward`); a span is looked for among the text's
    states as each modality enhanced them (`tokens`); a decoder reads what the modalities add to the encoder's output
    (`memory`).

    Attributes:
        uses_graph: whether it wants the sentences' scene graphs.
        unread_by_memory: names of the layers that `memory` has no use for, which a decoder's model freezes.
    """

    uses_graph: ClassVar[bool] = False
    unread_by_memory: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def forward(self, text: TextStates, blocks: Blocks, graph: EntityGraph | None = None, /) -> dict[str, Tensor]:
        """One representation r[m] (B, d) for the text and for each modality that the interaction offers."""

    @abstractmethod
    def tokens(
        self, text: TextStates, blocks: Blocks, graph: EntityGraph | None = None, /
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The text's states (B, L, d) as each modality enhanced them, its own under "text"; and `forward`'s."""

    @abstractmethod
    def memory(
        self, text: TextStates, blocks: Blocks, graph: EntityGraph | None = None, /
    ) -> dict[str, PrototypeBlock]:
        """The enhanced prototypes (B, K, d) of each auxiliary modality (MaCSC section 3.2)."""


class Combination(nn.Module, ABC):
    """Choice 2: from representations to a prediction.

    Attributes:
        of_text: whether the text's representation is among them.
    """

    of_text: ClassVar[bool] = True

    def weights(self) -> dict[str, float]:
        """What each modality counts for, all together 1; empty where nothing in the method says so."""
        return {}

    @abstractmethod
    def forward(
        self, representations: Mapping[str, Tensor], candidates: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The prediction as the target scores it, and the logits of each modality alone.

        A modality without a representation has no part in it, and its weight falls to the others.

        Args:
            representations: by modality; (B, d), (B, C, d) of a row's choices, or (B, 1 + L, d) of its places.
            candidates: (B, C) or (B, 1 + L), those that a row has; None: all.
        """


class Regulariser(nn.Module, ABC):
    """Choice 3: what else the loss asks."""

    name: str

    @abstractmethod
    def forward(
        self, representations: Mapping[str, Tensor], modality_logits: Mapping[str, Tensor], labels: Tensor
    ) -> Tensor:
        """A scalar, already weighted."""
