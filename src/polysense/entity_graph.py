"""The entities of a batch of sentences and what joins them, as tensors: the multimodal-semantic scene graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

RELATION_KINDS = ("attribute", "action", "position", "possession", "other")
"""What joins two nodes. Stored graphs hold the numbers of these names, saved models a matrix for each: their order is
part of both formats."""

EDGE_TYPES = 2 * len(RELATION_KINDS) + 1
"""Every kind and its inverse, and the edge of each node to itself."""

SELF_LOOP = EDGE_TYPES - 1


def edge_type(kind: int, inverse: bool) -> int:
    """The number of a kind of relation, as it is or read backwards."""
    return 2 * kind + inverse


@dataclass(frozen=True)
class EntityGraph:
    """The scene graphs of a batch side by side, N nodes in all (MASE section 3.5: G^M).

    A node is an entity or an attribute, and has what each modality says of its words. A sentence may have none.

    Attributes:
        sentence: (N,) int64, the row of the batch that each node belongs to.
        words: (2, P) int64, pairs of a node and the position of one of its tokens in the backbone's sequence.
        features: (N, d_m) by auxiliary modality, the mean of the tower's token features over the node's words; zero
            where the tower read none of them.
        edges: (2, E) int64, source and target; each node has an edge to itself.
        types: (E,) int64, below `EDGE_TYPES`.
    """

    sentence: Tensor
    words: Tensor
    features: Mapping[str, Tensor]
    edges: Tensor
    types: Tensor
