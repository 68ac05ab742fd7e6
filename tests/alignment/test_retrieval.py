from __future__ import annotations

import pytest
import torch

from polysense.alignment.retrieval import chance, recall, retrieval_table


def slow_recall(queries, gallery, query_concepts, gallery_concepts, k):
    hits = 0
    for q, concept in zip(queries.tolist(), query_concepts.tolist(), strict=True):
        cosines = []
        for g in gallery.tolist():
            norms = sum(x * x for x in q) ** 0.5 * sum(x * x for x in g) ** 0.5
            cosines.append(sum(x * y for x, y in zip(q, g, strict=True)) / norms)
        nearest = sorted(range(len(cosines)), key=lambda j: -cosines[j])[:k]
        hits += any(gallery_concepts[j] == concept for j in nearest)
    return hits / len(queries)


@pytest.fixture
def made() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(12, 3, generator=generator),
        torch.randn(9, 3, generator=generator) * torch.arange(1, 10)[:, None],
        torch.randint(0, 5, (12,), generator=generator),
        torch.randint(0, 5, (9,), generator=generator),
    )


@pytest.mark.parametrize("k", [1, 3, 20])
def test_recall_counts_by_cosine(made, k):
    assert recall(*made, k) == pytest.approx(slow_recall(*made, k))


def test_the_cases_differ(made):
    assert 0 < recall(*made, 1) < recall(*made, 3) < recall(*made, 20) <= 1


@pytest.mark.parametrize("k", [1, 4, 9, 30])
def test_chance_is_the_recall_of_a_random_order(made, k):
    _, _, queries, gallery = made
    generator = torch.Generator().manual_seed(0)
    trials = 4000
    hits = 0.0
    for _ in range(trials):
        shown = gallery[torch.randperm(len(gallery), generator=generator)[:k]]
        hits += float((queries[:, None] == shown[None]).any(dim=1).float().mean())
    assert chance(queries, gallery, k) == pytest.approx(hits / trials, abs=0.01)


def test_chance_of_nothing_and_of_all():
    assert chance(torch.tensor([5]), torch.tensor([1, 2]), 2) == 0
    assert chance(torch.tensor([1]), torch.tensor([1, 1]), 1) == 1
    assert chance(torch.tensor([1]), torch.arange(10), 1) == pytest.approx(0.1)


def test_the_table_goes_both_ways(made):
    text, other, text_concepts, other_concepts = made
    table = retrieval_table(*made)
    assert list(table) == ["text_to_item_R@1", "text_to_item_R@10", "item_to_text_R@1", "item_to_text_R@10"]
    assert table["text_to_item_R@1"] == pytest.approx(slow_recall(*made, 1))
    assert table["item_to_text_R@1"] == pytest.approx(slow_recall(other, text, other_concepts, text_concepts, 1))
    assert table["item_to_text_R@1"] != table["text_to_item_R@1"]
