"""What modalities say of the entities joins what they say of the sentence (MASE section 3.5)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polysense.entity_graph import EDGE_TYPES, EntityGraph
from polysense.errors import PolysenseError
from polysense.methods.base import Interaction, Sizes, TextStates
from polysense.methods.plain import NoInteraction
from polysense.modality import TEXT, Blocks, PrototypeBlock


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
    unread_by_memory = (f"from_node.{TEXT}",)

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
        known = _given(graph)
        return self._pooled(self.sentence(text, blocks), self.entities(text, known), known, len(text.states))

    def tokens(
        self, text: TextStates, blocks: Blocks, graph: EntityGraph | None = None, /
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What a modality says of an entity joins the states of the entity's own words."""
        known = _given(graph)
        states, pooled = self.sentence.tokens(text, blocks)
        entities = self.entities(text, known)
        node, position = known.words
        place = known.sentence[node] * text.states.shape[1] + position
        injected = {
            m: states[m].flatten(0, 1).index_add(0, place, entities[m][node].to(states[m].dtype)).view_as(states[m])
            for m in states
        }
        return injected, self._pooled(pooled, entities, known, len(text.states))

    def memory(
        self, text: TextStates, blocks: Blocks, graph: EntityGraph | None = None, /
    ) -> dict[str, PrototypeBlock]:
        """The projected prototypes, each with the mean of what its modality says of the entities.

        The text's part of the entities goes nowhere: a decoder reads the encoder's output as it was pre-trained to.
        """
        known = _given(graph)
        prototypes = self.sentence.memory(text, blocks)
        nothing = {m: block.features.new_zeros(block.features[:, 0].shape) for m, block in prototypes.items()}
        means = self._pooled(nothing, self.entities(text, known), known, len(text.states))
        return {m: PrototypeBlock(b.features + means[m][:, None], b.mask) for m, b in prototypes.items()}

    def entities(self, text: TextStates, graph: EntityGraph) -> dict[str, Tensor]:
        """What each modality says of each node, (N, d), after graph attention (Eq. 12-14)."""
        features = {TEXT: word_states(text.states, graph), **graph.features}
        nodes = torch.cat([self.to_node[m](features[m]) for m in self.modalities], dim=-1)
        enhanced = self.attention(nodes, graph.edges, graph.types).chunk(len(self.modalities), dim=-1)
        return {m: self.from_node[m](part) for m, part in zip(self.modalities, enhanced, strict=True)}

    def _pooled(
        self, sentences: Mapping[str, Tensor], entities: Mapping[str, Tensor], graph: EntityGraph, batch: int
    ) -> dict[str, Tensor]:
        """Each modality's (B, d) with the mean of its entities'."""
        counts = torch.bincount(graph.sentence, minlength=batch).clamp(min=1)[graph.sentence, None]
        return {m: h.index_add(0, graph.sentence, (entities[m] / counts).to(h.dtype)) for m, h in sentences.items()}


def _given(graph: EntityGraph | None) -> EntityGraph:
    if graph is None:
        raise ValueError("no scene graphs were given: let PolysenseProcessor make the inputs")
    return graph


def word_states(states: Tensor, graph: EntityGraph) -> Tensor:
    """e^T: (B, L, d) to (N, d), the mean state of each node's tokens; zero for words beyond the backbone's length."""
    node, position = graph.words
    sums = states.new_zeros(len(graph.sentence), states.shape[-1])
    sums = sums.index_add(0, node, states[graph.sentence[node], position])
    counts = torch.bincount(node, minlength=len(graph.sentence)).clamp(min=1)
    return sums / counts[:, None]
