"""Eq. 1 and 7: the weighted sum of representations and its prediction, against loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import support
from polysense.methods.base import Sizes
from polysense.methods.mase.weighting import EvenWeighting, InformationWeighting
from polysense.methods.targets import ClassTarget

SIZES = Sizes(6, {"image": 4, "audio": 4})
Z = {"text": 0.2, "image": 0.7, "audio": 0.1}


def make() -> tuple[InformationWeighting, dict[str, Tensor]]:
    torch.manual_seed(0)
    module = InformationWeighting(SIZES, ClassTarget([0.5, 0.3, 0.2]))
    module.update({m: 3 * z for m, z in Z.items()})
    return module, {m: torch.randn(4, 6, requires_grad=True) for m in SIZES.modalities}


def slow(module: EvenWeighting, rows: dict[str, Tensor], z: dict[str, float]) -> Tensor:
    """Log-probabilities of head(sum_m z^m h^m)."""
    predictions = []
    for i in range(4):
        fused = sum(z[m] * rows[m][i] for m in z)
        logits = [module.head.weight[c] @ fused + module.head.bias[c] for c in range(3)]
        predictions.append(torch.stack(support.slow_softmax(logits)).log())
    return torch.stack(predictions)


def test_eq1_the_sum_weighted_by_z_with_gradients() -> None:
    module, rows = make()
    prediction, alone = module(rows)
    expected = slow(module, rows, Z)
    torch.testing.assert_close(prediction, expected, **support.CLOSE)
    for m in SIZES.modalities:
        torch.testing.assert_close(alone[m], rows[m] @ module.head.weight.T + module.head.bias, **support.CLOSE)
    leaves = [*rows.values(), *module.parameters()]
    for got, wanted in zip(
        torch.autograd.grad(prediction[:, 1].sum(), leaves),
        torch.autograd.grad(expected[:, 1].sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, **support.CLOSE)


def test_z_starts_even_is_saved_and_is_no_parameter() -> None:
    fresh = InformationWeighting(SIZES, ClassTarget([0.5, 0.5]))
    assert fresh.weights() == pytest.approx(dict.fromkeys(SIZES.modalities, 1 / 3))
    module, _ = make()
    assert module.weights() == pytest.approx(Z)
    assert "z" in module.state_dict()
    assert "z" not in dict(module.named_parameters())


def test_the_weight_of_what_is_left_out_falls_to_the_others() -> None:
    module, rows = make()
    for left_out in SIZES.modalities:
        kept = {m: r for m, r in rows.items() if m != left_out}
        share = {m: Z[m] / (1 - Z[left_out]) for m in kept}
        torch.testing.assert_close(module(kept)[0], slow(module, rows, share), **support.CLOSE)
    module.update({"text": 0.0, "image": 1.0, "audio": 0.0})
    kept = {m: rows[m] for m in ("text", "audio")}
    torch.testing.assert_close(module(kept)[0], slow(module, rows, {"text": 0.5, "audio": 0.5}), **support.CLOSE)
