"""What modalities say of the entities joins what they say of the sentence (MASE section 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polysense.entity_graph import EDGE_TYPES, EntityGraph
from polysense.errors import PolysenseError
from polysense.methods.base import Interaction, Sizes, TextStates
from polysense.methods.plain import NoInteraction
from polysense.modality import TEXT, Blocks


class EntityInjection(Interaction):
    """r[m] = the sentence's own h^m + the mean over its entities of m's part after graph attention (Eq. 12-14).

    A node of the multimodal-semantic scene graph, entity or attribute, is [n^m of its words for each auxiliary modality
    || e^T], each mapped to `node_width`: the towers' features, already scaled by the modality's weight (the "balanced
    features"), and the mean of the backbone's states over its tokens. After attention the node is split again, and each
    part mapped to d. A sentence without entities keeps its h^m.

    Args:
        sizes: d and the widths d_m.
        heads: K of Eq. 12-14.
        node_width: of each modality's part of a node.

    Raises:
        PolysenseError: PyTorch Geometric is not installed.
        ValueError: a node's width is not a multiple of the number of heads.
    """

    uses_graph = True

    def __init__(self, sizes: Sizes, heads: int = 8, node_width: int = 128) -> None:
        super().__init__()
        try:
            from polysense.methods.mase.graph_attention import HeterogeneousGraphAttention
        except ImportError as error:
            raise PolysenseError(f"method mase needs {error.name}: pip install 'polysense[mase]'") from error
        self.modalities = sizes.modalities
        self.sentence = NoInteraction(sizes)
        inputs = {TEXT: sizes.hidden, **sizes.widths}
        self.to_node = nn.ModuleDict({m: nn.Linear(inputs[m], node_width) for m in self.modalities})
        self.attention = HeterogeneousGraphAttention(node_width * len(self.modalities), EDGE_TYPES, heads)
        self.from_node = nn.ModuleDict({m: nn.Linear(node_width, sizes.hidden, bias=False) for m in self.modalities})

    def forward(self, text: TextStates, blocks: Blocks, graph: EntityGraph | None = None, /) -> dict[str, Tensor]:
        if graph is None:
            raise ValueError("no scene graphs were given: let PolysenseProcessor make the inputs")
        representations = self.sentence(text, blocks)
        features = {TEXT: word_states(text.states, graph), **graph.features}
        nodes = torch.cat([self.to_node[m](features[m]) for m in self.modalities], dim=-1)
        enhanced = self.attention(nodes, graph.edges, graph.types).chunk(len(self.modalities), dim=-1)
        counts = torch.bincount(graph.sentence, minlength=len(text.states)).clamp(min=1)
        injected = {}
        for m, part in zip(self.modalities, enhanced, strict=True):
            entities = self.from_node[m](part) / counts[graph.sentence, None]
            injected[m] = representations[m].index_add(0, graph.sentence, entities.to(representations[m].dtype))
        return injected


def word_states(states: Tensor, graph: EntityGraph) -> Tensor:
    """e^T: (B, L, d) to (N, d), the mean state of each node's tokens; zero for words beyond the backbone's length."""
    node, position = graph.words
    sums = states.new_zeros(len(graph.sentence), states.shape[-1])
    sums = sums.index_add(0, node, states[graph.sentence[node], position])
    counts = torch.bincount(node, minlength=len(graph.sentence)).clamp(min=1)
    return sums / counts[:, None]
