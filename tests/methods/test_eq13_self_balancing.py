"""Eq. 13: the whole self-balancing contrast of 2, 3 and 4 modalities, against loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import support
from polysense.methods.base import Sizes
from polysense.methods.macsc.contrast import SelfBalancingContrast
from polysense.methods.targets import ClassTarget, Target, ValueTarget

CLASSES = ClassTarget([0.6, 0.3, 0.1])
VALUES = ValueTarget(mean=2.0, std=1.5, edges=[1.0, 3.0], centres=[0.5, 2.0, 4.0], frequency=[0.3, 0.4, 0.3])
AUXILIARY = ("image", "audio", "video")


def make(
    modalities: int, target: Target = CLASSES, **options: float
) -> tuple[SelfBalancingContrast, dict[str, Tensor], dict[str, Tensor]]:
    """The regulariser with uneven z, and r[m] and logits of five sentences."""
    torch.manual_seed(modalities)
    sizes = Sizes(6, dict.fromkeys(AUXILIARY[: modalities - 1], 4))
    module = SelfBalancingContrast(sizes, target, width=5, **options)
    with torch.no_grad():
        for z in module.coarse.z.values():
            z.normal_()
    representations = {m: torch.randn(5, 6, requires_grad=True) for m in sizes.modalities}
    logits = {m: (2 * torch.randn(5, target.outputs)).requires_grad_() for m in sizes.modalities}
    return module, representations, logits


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("options", [{}, {"weight": 1.0, "temperature": 0.5, "alpha": 0.5}], ids=["defaults", "set"])
def test_eq13_sum_over_ordered_pairs(modalities: int, options: dict[str, float]) -> None:
    module, representations, logits = make(modalities, **options)
    classes = [0, 1, 0, 2, 0]
    fast = module(representations, logits, torch.tensor(classes))
    slow = options.get("weight", 0.2) * support.slow_self_balancing(module, representations, logits, classes)
    inputs = [*module.projectors.parameters(), *representations.values()]
    if modalities > 2:
        inputs += list(module.coarse.parameters())
    support.assert_same_gradients(fast, slow, inputs)


def test_eq13_defaults_are_the_papers() -> None:
    module, _, _ = make(2)
    assert (module.weight, module.temperature, module.alpha) == (0.2, 0.07, 1.0)


def test_eq13_of_values_uses_bins() -> None:
    """Labels 0.2 and 0.9 share the first bin; heads give values, bins their densities."""
    module, representations, logits = make(3, VALUES)
    labels, classes = torch.tensor([0.2, 0.9, 1.0, 2.9, 3.0]), [0, 0, 1, 1, 2]
    densities = {}
    for m, values in logits.items():
        rows = []
        for i in range(5):
            standard = [(centre - 2.0) / 1.5 for centre in VALUES.centres]
            rows.append(torch.stack([-((values[i, 0] - c) ** 2) / (2 * VALUES.spread**2) for c in standard]))
        densities[m] = torch.stack(rows)
    fast = module(representations, logits, labels)
    slow = 0.2 * support.slow_self_balancing(module, representations, densities, classes)
    support.assert_same_gradients(fast, slow, [*module.parameters(), *representations.values()])


@pytest.mark.parametrize("target", [CLASSES, VALUES], ids=["classes", "values"])
def test_eq13_no_gradient_reaches_the_predictions(target: Target) -> None:
    module, representations, logits = make(3, target)
    loss = module(representations, logits, torch.tensor([0, 1, 0, 1, 0]))
    gradients = torch.autograd.grad(loss, list(logits.values()), allow_unused=True)
    assert gradients == (None, None, None)


def test_eq13_sentence_without_prototypes_does_not_shout() -> None:
    """Its r[m] is zero and has no direction; with the projectors' biases still at zero its gradient would be 1e12."""
    module, representations, logits = make(3)
    for projector in module.projectors.values():
        torch.nn.init.zeros_(projector.bias)
    with torch.no_grad():
        representations["image"][1] = 0.0
    loss = module(representations, logits, torch.tensor([0, 1, 0, 1, 0]))
    assert loss.isfinite()
    for gradient in torch.autograd.grad(loss, [*module.parameters(), *representations.values()]):
        assert gradient.abs().max() < 10


def test_eq13_predictions_matter_through_the_scores() -> None:
    module, representations, logits = make(3)
    labels = torch.zeros(5, dtype=torch.long)
    even = {m: torch.zeros_like(z) for m, z in logits.items()}
    assert not torch.allclose(module(representations, logits, labels), module(representations, even, labels), atol=1e-3)
