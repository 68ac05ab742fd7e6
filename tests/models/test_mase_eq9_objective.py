"""MASE Eq. 6-9: L = CE(h*) + alpha L_cc, through the whole model, against loops over its own representations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import support
from polysense.methods.catalog import method_config

Z = {"text": 0.1, "image": 0.4, "audio": 0.3, "video": 0.2}


def slow_objective(model: Any, output: Any, kind: str, labels: list[float], weight: float, tau: float) -> Tensor:
    r, target, head = output.representations, model.target, model.combination.head
    terms, contrasts = [], []
    for i, label in enumerate(labels):
        fused = sum(Z[m] * r[m][i] for m in Z)  # Eq. 1
        logits = head.weight @ fused + head.bias
        if kind == "classification":  # Eq. 7
            terms.append(-support.slow_softmax(list(logits))[int(label)].log())
        else:
            terms.append((logits[0] - (label - target.mean) / target.std) ** 2)
        for m in Z:  # Eq. 8
            for k in Z:
                if m != k:
                    near = [(r[m][i] @ r[k][j]) / (r[m][i].norm() * r[k][j].norm()) / tau for j in range(len(labels))]
                    contrasts.append(-support.slow_softmax(near)[i].log())
    return sum(terms) / len(labels) + weight * sum(contrasts) / len(contrasts)


@pytest.mark.parametrize("weight", [0.0, 0.2, 1.0])
def test_eq9_prediction_plus_weighted_contrast(make: Any, kind: str, weight: float) -> None:
    options = {"weight": weight, "temperature": 0.5}
    model = make.model(method_config("mase").with_options(options), kind).eval()
    model.combination.update(Z)
    batch = make.batch(kind)
    # The sentence without prototypes has r[m] = 0, whose direction the loops do not define.
    batch["prototype_masks"] = {
        m: mask | torch.tensor([True, False, False, False]) for m, mask in batch["prototype_masks"].items()
    }
    output = model(**batch)
    assert set(output.losses) == {"prediction", "contrast"}
    slow = slow_objective(model, output, kind, batch["labels"].tolist(), weight, 0.5)
    inputs = [p for n, p in model.named_parameters() if n.startswith(("interaction", "combination")) or "word" in n]
    support.assert_same_gradients(output.loss, slow, inputs)


def test_defaults(make: Any) -> None:
    model = make.model(method_config("mase"))
    assert (model.regulariser.weight, model.regulariser.temperature) == (0.2, 0.07)
    assert (model.combination.iterations, model.combination.tempered) == (10, True)
