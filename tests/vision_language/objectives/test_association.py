"""Associative mapping classification against loops."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from polysense.vision_language.objectives.association import UNKNOWN, AssociativeClassifier
from vision_language.support import CLASSES, VOCABULARY, D, tiny_config


def inputs(batch: int = 3, length: int = 5, count: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(0)
    classes = torch.randint(CLASSES, (batch, count))
    if count:
        classes[0, :2] = UNKNOWN
    return {
        "word_states": torch.randn(batch, length, D, requires_grad=True),
        "region_states": torch.randn(batch, count, D, requires_grad=True),
        "words": torch.randint(VOCABULARY, (batch, length)),
        "classes": classes,
        "word_targets": torch.rand(batch, length) < 0.5,
        "region_targets": torch.rand(batch, count) < 0.7,
        "embeddings": torch.randn(VOCABULARY, D, requires_grad=True),
    }


def slow_log_likelihood(logits: list[Tensor], label: int) -> Tensor:
    total = sum(z.exp() for z in logits)
    return logits[label] - torch.as_tensor(total).log()


def test_against_loops() -> None:
    torch.manual_seed(1)
    head = AssociativeClassifier(tiny_config())
    torch.nn.init.normal_(head.word_bias)
    given = inputs()
    given["region_targets"][0, 0] = True  # an unknown class, which is left out
    assert head.classes is not None
    words, regions = [], []
    for i in range(3):
        for t in range(5):
            if given["word_targets"][i, t]:
                state = _slow_transform(head.word_transform, given["word_states"][i, t])
                logits = [(state * given["embeddings"][v]).sum() + head.word_bias[v] for v in range(VOCABULARY)]
                words.append(-slow_log_likelihood(logits, int(given["words"][i, t])))
        for r in range(4):
            if given["region_targets"][i, r] and given["classes"][i, r] != UNKNOWN:
                state = _slow_transform(head.class_transform, given["region_states"][i, r])
                logits = [(state * head.classes.weight[c]).sum() + head.classes.bias[c] for c in range(CLASSES)]
                regions.append(-slow_log_likelihood(logits, int(given["classes"][i, r])))
    losses = head.loss(**given)
    torch.testing.assert_close(losses["words"], torch.stack(words).mean())
    torch.testing.assert_close(losses["regions"], torch.stack(regions).mean())


def _slow_transform(transform: torch.nn.Sequential, state: Tensor) -> Tensor:
    linear, _, norm = transform
    return F.layer_norm(F.gelu(linear.weight @ state + linear.bias), (D,), norm.weight, norm.bias, norm.eps)


def test_only_targets_have_a_gradient() -> None:
    head, given = AssociativeClassifier(tiny_config()), inputs()
    losses = head.loss(**given)
    (losses["words"] + losses["regions"]).backward()
    known = given["region_targets"] & (given["classes"] != UNKNOWN)
    for states, targets in ((given["word_states"], given["word_targets"]), (given["region_states"], known)):
        assert states.grad is not None
        assert torch.equal(states.grad.abs().sum(dim=2) > 0, targets)


def test_no_target_is_no_loss_and_no_gradient() -> None:
    for given in (inputs(), inputs(count=0)):
        given["word_targets"][:] = False
        given["region_targets"][:] = False
        losses = AssociativeClassifier(tiny_config()).loss(**given)
        assert losses["words"] == 0 and losses["regions"] == 0
        (losses["words"] + losses["regions"]).backward()
        assert given["word_states"].grad is not None and (given["word_states"].grad == 0).all()


def test_targets_without_a_class_alone() -> None:
    given = inputs()
    given["classes"][:] = UNKNOWN
    assert AssociativeClassifier(tiny_config()).loss(**given)["regions"] == 0


def test_without_object_classes_regions_have_no_loss() -> None:
    head = AssociativeClassifier(tiny_config(object_classes=()))
    losses = head.loss(**inputs())
    assert losses["regions"] == 0 and losses["words"] > 0


def test_the_last_class_counts() -> None:
    """No class is background: as many logits as names."""
    head, given = AssociativeClassifier(tiny_config()), inputs()
    assert head.classes is not None and head.classes.out_features == CLASSES
    given["classes"][:] = CLASSES - 1
    assert head.loss(**given)["regions"] > 0


def test_only_target_words_are_told_apart() -> None:
    targets = [9, 30, 7]
    head, given = AssociativeClassifier(tiny_config(target_words=targets)), inputs()
    torch.nn.init.normal_(head.word_bias)
    given["word_targets"][:] = False
    given["word_targets"][0, :3] = True
    given["words"][0, :3] = torch.tensor([30, 8, 7])  # 8 is none of them
    losses = []
    for place, number in ((0, 1), (2, 2)):
        state = _slow_transform(head.word_transform, given["word_states"][0, place])
        logits = [(state * given["embeddings"][v]).sum() + head.word_bias[i] for i, v in enumerate(targets)]
        losses.append(-slow_log_likelihood(logits, number))
    torch.testing.assert_close(head.loss(**given)["words"], torch.stack(losses).mean())
    given["words"][:] = 8
    assert head.loss(**given)["words"] == 0
