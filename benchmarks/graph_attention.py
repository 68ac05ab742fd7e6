"""MASE's attention over scene graphs: how its time grows with the edges, and against torch_geometric's RGATConv."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.nn import RGATConv

from benchmarks.timing import Benchmark, at_most, in_turn, limit
from polysense.methods.mase.graph_attention import HeterogeneousGraphAttention

WIDTH, HEADS, RELATIONS, ROUNDS = 512, 8, 11, 7
BATCH_EDGES = 700
"""Of a batch of 32 sentences, about."""
EDGES = [500 * 2**power for power in range(8)]


def random_graph(edges: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes, edges and relations as of scene graphs: 3 nodes for 7 edges, each edge with its inverse, self loops."""
    generator = torch.Generator().manual_seed(0)
    nodes, kinds = 3 * edges // 7, RELATIONS // 2
    pairs = (edges - nodes) // 2
    ends = torch.randint(nodes, (2, pairs), generator=generator)
    kind = torch.randint(kinds, (pairs,), generator=generator)
    loops = torch.arange(nodes).expand(2, -1)
    relations = torch.cat([kind, kind + kinds, torch.full((nodes,), RELATIONS - 1)])
    return torch.randn(nodes, WIDTH, generator=generator), torch.cat([ends, ends.flip(0), loops], dim=1), relations


def work(layer: torch.nn.Module, edges: int) -> Callable[[], None]:
    """Forward and backward over one graph."""
    nodes, ends, relations = random_graph(edges)
    nodes.requires_grad_()

    def step() -> None:
        layer.zero_grad()
        nodes.grad = None
        layer(nodes, ends, relations).sum().backward()

    return step


def benchmarks() -> list[Benchmark]:
    """All rows about graph attention."""
    torch.manual_seed(0)
    ours = HeterogeneousGraphAttention(WIDTH, RELATIONS, HEADS)
    reference = RGATConv(WIDTH, WIDTH // HEADS, RELATIONS, heads=HEADS)
    times = [statistics.median(column) for column in in_turn([work(ours, edges) for edges in EDGES], ROUNDS)]
    growth = statistics.linear_regression([math.log(edges) for edges in EDGES], [math.log(t) for t in times]).slope
    each = {edges: 1e6 * t / edges for edges, t in zip(EDGES, times, strict=True)}
    beside = in_turn([work(ours, BATCH_EDGES), work(reference, BATCH_EDGES)], ROUNDS)
    what = f"graph attention, forward and backward (width {WIDTH}, {HEADS} heads, {RELATIONS} relations)"
    return [
        limit(
            f"{what}, exponent of its growth with the edges, {EDGES[0]} to {EDGES[-1]}",
            growth,
            1,
            1.1,
            "",
            f"µs an edge: {', '.join(f'{figure:.3g}' for figure in each.values())}",
        ),
        limit(
            f"the same, an edge of {EDGES[-1]} against one of {EDGES[3]}",
            each[EDGES[-1]],
            each[EDGES[3]],
            1.25,
            "µs",
            "glibc gives tensors above 32 MB back at once: new pages in each step",
        ),
        at_most(
            f"the same, {BATCH_EDGES} edges, against RGATConv",
            *([1000 * time for time in column] for column in beside),
            1,
            "ms",
            "RGATConv copies a matrix for each edge and end; its vectors are shared by the relations",
        ),
    ]
