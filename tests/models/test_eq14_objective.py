"""Eq. 14: L = L_wa + lambda L_msb, through the whole model, against loops over its own representations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import support
from polysense.methods.catalog import MethodConfig


def slow_objective(model: Any, output: Any, kind: str, labels: list[float], weight: float) -> Tensor:
    target, terms = model.target, []
    names = list(output.modality_logits)
    rho = support.slow_softmax(list(model.combination.log_rho))
    for i, label in enumerate(labels):
        rows = [output.modality_logits[m][i] for m in names]
        if kind == "classification":  # Eq. 10-12
            mixed = sum(r * support.slow_softmax(list(row))[int(label)] for r, row in zip(rho, rows, strict=True))
            terms.append(-mixed.log())
        else:
            mixed = sum(r * row[0] for r, row in zip(rho, rows, strict=True))
            terms.append((mixed - (label - target.mean) / target.std) ** 2)
    class_logits = {m: target.class_logits(z) for m, z in output.modality_logits.items()}
    classes = [int(label) for label in labels] if kind == "classification" else [0, 1, 0, 2, 1]
    balance = support.slow_self_balancing(model.regulariser, output.representations, class_logits, classes)
    return sum(terms) / len(labels) + weight * balance


@pytest.mark.parametrize("weight", [0.0, 0.2, 1.0])
def test_eq14_prediction_plus_weighted_contrast(make: Any, macsc: MethodConfig, kind: str, weight: float) -> None:
    model = make.model(macsc.with_options({"weight": weight}), kind).eval()
    batch = make.batch(kind)
    # The sentence without prototypes has r[m] = 0, whose direction the loops do not define.
    batch["prototype_masks"] = {
        m: mask | torch.tensor([True, False, False, False]) for m, mask in batch["prototype_masks"].items()
    }
    output = model(**batch)
    assert set(output.losses) == {"prediction", "contrast"}
    torch.testing.assert_close(output.loss, output.losses["prediction"] + output.losses["contrast"], **support.CLOSE)
    slow = slow_objective(model, output, kind, batch["labels"].tolist(), weight)
    inputs = [p for n, p in model.named_parameters() if n.startswith(("interaction", "combination")) or "word" in n]
    if weight:
        inputs += list(model.regulariser.parameters())
    support.assert_same_gradients(output.loss, slow, inputs)


def test_eq14_default_weight(make: Any, macsc: MethodConfig) -> None:
    assert make.model(macsc).regulariser.weight == 0.2


@pytest.mark.parametrize("left_out", ["image", "text"])
def test_with_a_modality_left_out_the_loss_is_the_predictions(make: Any, macsc: MethodConfig, left_out: str) -> None:
    """The contrast compares all modalities."""
    output = make.model(macsc).eval()(**make.batch(), leave_out={left_out})
    assert set(output.losses) == {"prediction"}
    rows = torch.arange(len(output.logits))
    torch.testing.assert_close(output.loss, -output.logits[rows, make.batch()["labels"]].mean(), **support.CLOSE)
