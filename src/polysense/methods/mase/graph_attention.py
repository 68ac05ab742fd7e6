"""Attention over a graph whose edges have types: heterogeneous graph attention (MASE Eq. 12-14)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import glorot
from torch_geometric.utils import softmax


class HeterogeneousGraphAttention(MessagePassing):
    """Each node attends to its neighbours, with a matrix and a vector for each type of edge and each head.

    Graphs of a batch are the unconnected parts of one big graph; the order of nodes and of edges is free. Edges that
    run in parallel count one by one. A node that no edge reaches comes out as zeros, so callers that want to keep it
    add an edge from each node to itself, as a relation of its own.

    Args:
        width: of the nodes, before and after.
        relations: R, how many types of edges there are.
        heads: K; each gives width / K of the output.
        slope: of the activation sigma, a leaky ReLU, where its input is negative.

    Attributes:
        weight: (R, width, width); rows k * width / K up to (k + 1) * width / K of `weight[r]` are W^[k,r].
        attention: (R, K, 2 * width / K); `attention[r, k]` is a^[k,r], its first half for the node that the edge
            reaches and its second for the node that it leaves.

    Raises:
        ValueError: width is not a multiple of the number of heads.
    """

    def __init__(self, width: int, relations: int, heads: int = 4, slope: float = 0.2) -> None:
        if width % heads:
            raise ValueError(f"a width of {width} cannot be split into {heads} heads")
        super().__init__(aggr="sum", node_dim=0)
        self.width, self.relations, self.heads, self.slope = width, relations, heads, slope
        self.weight = nn.Parameter(torch.empty(relations, width, width))
        self.attention = nn.Parameter(torch.empty(relations, heads, 2 * width // heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw each relation's parameters anew (Glorot and Bengio, 2010)."""
        super().reset_parameters()
        glorot(self.weight)
        glorot(self.attention)

    def forward(self, nodes: Tensor, edges: Tensor, relations: Tensor) -> Tensor:
        """H to H' (Eq. 14).

        Args:
            nodes: (N, width), N may be 0.
            edges: (2, E) int64, E may be 0; each column the node j that an edge leaves and the node i that it reaches.
            relations: (E,) int64, the type r of each edge.

        Returns:
            (N, width), float32 under autocast.
        """
        targets = edges[1]
        transformed, place = self.transform(nodes, edges[0], relations)
        # Eq. 13; not in half precision, which autocast would leave it in.
        scores = F.leaky_relu(self.score(nodes, edges, relations), self.slope).to(self.attention.dtype)
        alpha = softmax(scores, targets, num_nodes=len(nodes))
        summed = self.propagate(
            torch.stack([place, targets]), x=(transformed, None), alpha=alpha, size=(len(transformed), len(nodes))
        )
        return F.leaky_relu(summed.flatten(1), self.slope)

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """One edge's term of the sum in Eq. 14, (E, K, width / K)."""
        return alpha.unsqueeze(-1) * x_j

    def transform(self, nodes: Tensor, sources: Tensor, relations: Tensor) -> tuple[Tensor, Tensor]:
        """W^[k,r] H_j, once for each r and j that have an edge, however many.

        Returns:
            (P, K, width / K), and (E,) int64, each edge's row in it.
        """
        pairs, place = torch.unique(relations * len(nodes) + sources, return_inverse=True)
        counts = torch.bincount(pairs // len(nodes), minlength=self.relations).tolist()
        parts = nodes.index_select(0, pairs % len(nodes)).split(counts)
        transformed = torch.cat([part @ matrix.T for part, matrix in zip(parts, self.weight, strict=True)])
        return transformed.unflatten(1, (self.heads, -1)), place

    def score(self, nodes: Tensor, edges: Tensor, relations: Tensor) -> Tensor:
        """F(H_i, H_j) of each edge (Eq. 12), (E, K).

        a^T [W H_i || W H_j] is (a_1^T W) H_i + (a_2^T W) H_j: one small product for all nodes and relations, where
        W H_i would be as large a product as that of the messages.
        """
        vectors = self.attention.unflatten(2, (2, -1))
        matrices = self.weight.unflatten(1, (self.heads, -1))
        folded = torch.einsum("rksd,rkdw->rskw", vectors, matrices)
        # A row for each node and relation: its heads' scores as the edge's target, then as its source.
        rows = (nodes @ folded.flatten(0, 2).T).view(-1, 2, self.heads)
        source, target = (edges * self.relations + relations).unbind()
        return rows[:, 0].index_select(0, target) + rows[:, 1].index_select(0, source)
