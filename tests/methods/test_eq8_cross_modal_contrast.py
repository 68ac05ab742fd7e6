"""Eq. 8-9: the contrast of a sentence's representations over all ordered pairs of modalities, against loops."""

from __future__ import annotations

import torch
from torch import Tensor

import support
from polysense.methods.base import Sizes
from polysense.methods.mase.contrast import CrossModalContrast, pair_contrast
from polysense.methods.targets import ClassTarget

SIZES = Sizes(6, {"image": 4, "audio": 4})
LABELS = torch.tensor([0, 1, 0, 1, 1])


def make(weight: float = 0.5, temperature: float = 0.3) -> tuple[CrossModalContrast, dict[str, Tensor]]:
    torch.manual_seed(0)
    module = CrossModalContrast(SIZES, ClassTarget([0.5, 0.5]), weight, temperature)
    return module, {m: torch.randn(5, 6, requires_grad=True) for m in SIZES.modalities}


def slow(rows: dict[str, Tensor], weight: float, temperature: float) -> Tensor:
    losses = []
    for m in SIZES.modalities:
        for k in SIZES.modalities:
            if m == k:
                continue
            for i in range(5):
                scores = []
                for j in range(5):
                    lengths = rows[m][i].norm() * rows[k][j].norm()
                    scores.append((rows[m][i] @ rows[k][j]) / lengths / temperature)
                losses.append(-support.slow_softmax(scores)[i].log())
    return weight * sum(losses) / len(losses)


def test_eq8_with_gradients() -> None:
    module, rows = make()
    loss, expected = module(rows, {}, LABELS), slow(rows, 0.5, 0.3)
    torch.testing.assert_close(loss, expected, **support.CLOSE)
    for got, wanted in zip(
        torch.autograd.grad(loss, list(rows.values())), torch.autograd.grad(expected, list(rows.values())), strict=True
    ):
        torch.testing.assert_close(got, wanted, **support.CLOSE)


def test_it_falls_as_a_sentences_representations_come_together() -> None:
    module, rows = make()
    together = {m: rows["text"] + 0.1 * r for m, r in rows.items()}
    assert module(together, {}, LABELS) < module(rows, {}, LABELS)


def test_a_sentence_without_anything_of_a_modality_is_not_compared_in_it() -> None:
    """As if the pairs with that modality had one sentence fewer; nothing pushes the others away from nothing."""
    module, rows = make()
    silent = {**rows, "image": rows["image"] * torch.tensor([0.0, 1, 1, 1, 1])[:, None]}
    loss = module(silent, {}, LABELS)
    pairs = [(m, k) for m in SIZES.modalities for k in SIZES.modalities if m != k]
    kept = {pair: torch.arange(5) >= (1 if "image" in pair else 0) for pair in pairs}
    means = [pair_contrast(rows[m], rows[k], kept[m, k], slice(0, 5), 0.3).mean() for m, k in pairs]
    expected = torch.stack(means).mean()
    torch.testing.assert_close(loss, 0.5 * expected, **support.CLOSE)
    loss.backward()
    assert rows["image"].grad is not None
    assert not rows["image"].grad[0].any()
    assert all(row.grad is not None and row.grad.isfinite().all() for row in rows.values())
    none = module({m: torch.zeros(5, 6) for m in rows}, {}, LABELS)
    assert none == 0


def test_one_sentence_has_nothing_to_be_told_from() -> None:
    module, rows = make()
    assert module({m: r[:1] for m, r in rows.items()}, {}, LABELS[:1]) == 0
