"""Eq. 12-14 of MASE: attention over a graph with types of edges, against loops over nodes, heads and edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import support

pytest.importorskip("torch_geometric", reason="MASE's graphs need torch_geometric")

from polysense.methods.mase.graph_attention import HeterogeneousGraphAttention

WIDTH, RELATIONS = 12, 4
# From, to, type: edges both ways, edges from a node to itself, parallel ones of the same and of different types; node 3
# is only left and node 5 neither left nor reached.
EDGES = [
    (0, 1, 0),
    (1, 0, 1),
    (2, 1, 0),
    (2, 1, 2),
    (2, 1, 2),
    (1, 2, 1),
    (3, 1, 0),
    (3, 4, 2),
    (0, 0, 3),
    (1, 1, 3),
    (4, 4, 3),
]


def as_tensors(edges: list[tuple[int, int, int]]) -> tuple[Tensor, Tensor]:
    columns = torch.tensor(edges, dtype=torch.long).view(-1, 3).T
    return columns[:2], columns[2]


def make_nodes(count: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def make_module(heads: int = 3, slope: float = 0.2, seed: int = 0) -> HeterogeneousGraphAttention:
    torch.manual_seed(seed)
    module = HeterogeneousGraphAttention(WIDTH, RELATIONS, heads=heads, slope=slope)
    with torch.no_grad():
        module.attention.mul_(3)  # for attention that is far from even
    return module


def random_graph(nodes: int, edges: int, seed: int) -> list[tuple[int, int, int]]:
    generator = torch.Generator().manual_seed(seed)
    highest = torch.tensor([nodes, nodes, RELATIONS])
    return [tuple((row * highest).long().tolist()) for row in torch.rand(edges, 3, generator=generator)]


def slow_graph_attention(
    module: HeterogeneousGraphAttention, nodes: Tensor, edges: list[tuple[int, int, int]]
) -> Tensor:
    """Node by node, head by head, edge by edge."""
    size = WIDTH // module.heads

    def sigma(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, module.slope * x)

    rows = []
    for i in range(len(nodes)):
        incoming = [(j, r) for j, target, r in edges if target == i]
        row = []
        for k in range(module.heads):
            total = nodes.new_zeros(size)
            scores, values = [], []
            for j, r in incoming:
                w, a = module.weight[r, k * size : (k + 1) * size], module.attention[r, k]
                scores.append(sigma(a @ torch.cat([w @ nodes[i], w @ nodes[j]])))  # Eq. 12
                values.append(w @ nodes[j])
            for alpha, value in zip(support.slow_softmax(scores) if scores else [], values, strict=True):  # Eq. 13
                total = total + alpha * value
            row.append(sigma(total))
        rows.append(torch.cat(row))  # Eq. 14
    return torch.stack(rows)


def probe(output: Tensor) -> Tensor:
    """A number that depends on every element."""
    return (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(output)).sum()


@pytest.mark.parametrize(("heads", "slope"), [(1, 0.2), (3, 0.2), (4, 0.5), (12, 0.01)])
@pytest.mark.parametrize("edges", [EDGES, random_graph(6, 40, seed=1)], ids=["by hand", "random"])
def test_eq14_attention_over_typed_edges(heads: int, slope: float, edges: list[tuple[int, int, int]]) -> None:
    module, nodes = make_module(heads, slope), make_nodes()
    fast, slow = module(nodes, *as_tensors(edges)), slow_graph_attention(module, nodes, edges)
    torch.testing.assert_close(fast, slow, **support.CLOSE)
    support.assert_same_gradients(probe(fast), probe(slow), [nodes, module.weight, module.attention])


def test_eq14_in_double_precision() -> None:
    module, nodes = make_module().double(), make_nodes().double()
    fast, slow = module(nodes, *as_tensors(EDGES)), slow_graph_attention(module, nodes, EDGES)
    assert fast.dtype == torch.float64
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)


def test_eq14_under_autocast() -> None:
    """Float32 out, near to what full precision gives; gradients too."""
    module, nodes = make_module(), make_nodes()
    full = module(nodes, *as_tensors(EDGES))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module(nodes, *as_tensors(EDGES))
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    inputs = [nodes, module.weight, module.attention]
    gradients = zip(torch.autograd.grad(probe(half), inputs), torch.autograd.grad(probe(full), inputs), strict=True)
    for a, b in [(half, full), *gradients]:
        assert a.dtype == torch.float32
        assert F.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.999


@torch.no_grad()
def test_eq13_sums_to_one_over_all_relations() -> None:
    """With one W for all types and all neighbours alike, any weights that sum to one give sigma(W h)."""
    module = make_module()
    module.weight.copy_(module.weight[:1].expand_as(module.weight))
    h = torch.randn(WIDTH)
    nodes = torch.cat([torch.randn(1, WIDTH), h.expand(5, WIDTH)])
    output = module(nodes, *as_tensors([(j, 0, j % RELATIONS) for j in range(1, 6)]))
    torch.testing.assert_close(output[0], F.leaky_relu(module.weight[0] @ h, 0.2), **support.CLOSE)


@torch.no_grad()
def test_eq13_parallel_edges_count_one_by_one() -> None:
    """Two from node 1 and one from node 2, all scores equal: two thirds and one third. W H_j is computed once."""
    module, nodes = make_module(), make_nodes()
    module.attention.zero_()
    edges, relations = as_tensors([(1, 0, 0), (1, 0, 0), (2, 0, 1)])
    expected = F.leaky_relu((2 * module.weight[0] @ nodes[1] + module.weight[1] @ nodes[2]) / 3, 0.2)
    torch.testing.assert_close(module(nodes, edges, relations)[0], expected, **support.CLOSE)
    assert len(module.transform(nodes, edges[0], relations)[0]) == 2


@torch.no_grad()
def test_graphs_of_a_batch_do_not_meet() -> None:
    module = make_module()
    graphs = [(make_nodes(n, seed=n), random_graph(n, e, seed=n)) for n, e in [(6, 20), (1, 2), (3, 0), (9, 12)]]
    batch, first = [], 0
    for nodes, edges in graphs:
        batch += [(j + first, i + first, r) for j, i, r in edges]
        first += len(nodes)
    together = module(torch.cat([nodes for nodes, _ in graphs]), *as_tensors(batch))
    alone = torch.cat([module(nodes, *as_tensors(edges)) for nodes, edges in graphs])
    torch.testing.assert_close(together, alone, **support.CLOSE)


@torch.no_grad()
def test_order_of_nodes_and_edges_is_free() -> None:
    module, nodes = make_module(), make_nodes()
    edges, relations = as_tensors(EDGES)
    expected = module(nodes, edges, relations)
    order, names = torch.randperm(len(EDGES)), torch.randperm(len(nodes))
    renamed = torch.empty_like(nodes)
    renamed[names] = nodes
    output = module(renamed, names[edges[:, order]], relations[order])
    torch.testing.assert_close(output[names], expected, **support.CLOSE)


def test_node_that_no_edge_reaches() -> None:
    """It comes out as zeros, exactly; left by no edge either, it has no part in the others."""
    module, nodes = make_module(), make_nodes()
    output = module(nodes, *as_tensors(EDGES))
    assert torch.equal(output[[3, 5]], torch.zeros(2, WIDTH))
    (gradient,) = torch.autograd.grad(probe(output), nodes)
    assert [bool(row.any()) for row in gradient] == [True, True, True, True, True, False]


@pytest.mark.parametrize("count", [0, 3])
def test_graph_without_edges(count: int) -> None:
    module, nodes = make_module(), make_nodes(count)
    output = module(nodes, *as_tensors([]))
    assert torch.equal(output, torch.zeros(count, WIDTH))
    output.sum().backward()
    for tensor in (nodes, *module.parameters()):
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))


@pytest.mark.parametrize("edge", [(6, 0, 0), (0, 6, 0), (0, 0, RELATIONS), (-1, 0, 1), (0, -1, 1), (0, 1, -1)])
def test_edge_beyond_the_nodes_or_relations_is_refused(edge: tuple[int, int, int]) -> None:
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        make_module()(make_nodes(), *as_tensors([*EDGES, edge]))


def test_defaults_and_initial_parameters() -> None:
    """Each relation's parameters are drawn for the widths of one relation, whatever their number."""
    module = HeterogeneousGraphAttention(64, 5)
    assert (module.heads, module.slope) == (4, 0.2)
    for parameter, widths in [(module.weight, 64 + 64), (module.attention, 4 + 2 * 16)]:
        bound = (6 / widths) ** 0.5
        largest = parameter.detach().abs().flatten(1).amax(dim=1)
        assert bool(((largest > 0.9 * bound) & (largest <= bound)).all())
    before = module.weight.detach().clone()
    module.reset_parameters()
    assert not torch.equal(before, module.weight)


def test_width_must_split_into_heads() -> None:
    with pytest.raises(ValueError, match="15 cannot be split into 4 heads"):
        HeterogeneousGraphAttention(15, RELATIONS)
