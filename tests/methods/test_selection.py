"""The learnt choice among prototypes."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

import support
from polysense.methods.base import Sizes, TextStates
from polysense.methods.plain import NoInteraction
from polysense.methods.selection import LearntSelection
from polysense.modality import PrototypeBlock
from polysense.pooling import pool


def block(batch: int = 6, k: int = 5, width: int = 4, seed: int = 0) -> PrototypeBlock:
    """Row i has i candidates, the last ones all."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(k) < torch.arange(batch)[:, None]
    return PrototypeBlock(torch.randn(batch, k, width, generator=generator) * mask[..., None], mask)


def scores(module: LearntSelection, text: Tensor, given: PrototypeBlock) -> list[list[float]]:
    return [
        [float(module.score(torch.cat([given.features[b, j], text[b]]))) for j in range(given.features.shape[1])]
        for b in range(len(text))
    ]


def test_at_inference_the_best_are_kept_as_they_are() -> None:
    torch.manual_seed(0)
    module, given, text = LearntSelection(4, 2).eval(), block(), torch.randn(6, 4)
    kept = module(text, given)
    for b, row in enumerate(scores(module, text, given)):
        candidates = [j for j in range(5) if given.mask[b, j]]
        best = sorted(candidates, key=lambda j: -row[j])[:2]
        assert kept.mask[b].nonzero()[:, 0].tolist() == sorted(best)
        assert torch.equal(kept.features[b][kept.mask[b]], given.features[b][kept.mask[b]])
    assert kept.features[~kept.mask].abs().sum() == 0


def test_in_training_the_choice_is_drawn_by_the_scores() -> None:
    """Gumbel noise and an argmax draw j with the probability softmax(scores)_j."""
    torch.manual_seed(0)
    module = LearntSelection(4, 1).train()
    given = PrototypeBlock(torch.randn(1, 3, 4), torch.tensor([[True, True, True]]))
    text = torch.randn(1, 4)
    expected = torch.tensor(scores(module, text, given)[0]).softmax(dim=0)
    many = PrototypeBlock(given.features.expand(4000, -1, -1), given.mask.expand(4000, -1))
    drawn = module(text.expand(4000, -1), many).mask.float()
    assert drawn.sum(dim=1).eq(1).all()
    torch.testing.assert_close(drawn.mean(dim=0), expected, atol=0.03, rtol=0)


def test_what_is_kept_passes_unchanged_and_gradients_reach_the_scores() -> None:
    torch.manual_seed(0)
    module, given, text = LearntSelection(4, 2).train(), block(), torch.randn(6, 4)
    kept = module(text, given)
    assert torch.equal(kept.features[kept.mask], given.features[kept.mask])
    assert kept.mask.sum(dim=1).tolist() == [0, 1, 2, 2, 2, 2]
    assert not (kept.mask & ~given.mask).any()
    kept.features.sum().backward()
    for parameter in module.parameters():
        assert torch.isfinite(parameter.grad).all()
    assert module.score[0].weight.grad.abs().max() > 1e-6


def test_the_gradient_is_that_of_the_softmax_against_what_is_not_kept() -> None:
    """Place by place: d loss / d score is that of the mixture of what the place holds and what no place holds."""
    torch.manual_seed(0)
    module, given, text = LearntSelection(4, 2).train(), block(), torch.randn(6, 4)
    goal = torch.randn(6, 5, 4)
    module.score = Given(torch.randn(6, 5))
    torch.manual_seed(1)
    kept = module(text, given)
    (kept.features * goal).sum().backward()
    torch.manual_seed(1)
    noisy = module.score.scores.detach() - torch.empty(6, 5).exponential_().log()
    for b in range(6):
        places = kept.mask[b].nonzero()[:, 0].tolist()
        rest = [j for j in range(5) if given.mask[b, j] and j not in places]
        expected = torch.zeros(5)
        for place in places:
            free = noisy[b].clone().requires_grad_()
            shares = free[[place, *rest]].softmax(dim=0)
            (shares @ (given.features[b, [place, *rest]] @ goal[b, place])).backward()
            expected += free.grad
        torch.testing.assert_close(module.score.scores.grad[b], expected, **support.CLOSE)
        # What is not kept has a say, unless there is nothing to choose.
        assert all(expected[j] != 0 for j in rest) and (bool(rest) or not expected.any())


class Given(torch.nn.Module):
    """Scores as they are given, (B, K)."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = torch.nn.Parameter(scores)

    def forward(self, _: Tensor) -> Tensor:
        return self.scores[..., None]


def test_a_bad_choice_is_revised() -> None:
    """The scores begin far from the prototype that counts, which noise alone would draw about once in 150 times."""
    torch.manual_seed(0)
    module = LearntSelection(2, 1).train()
    module.score = Given(torch.tensor([[5.0, 0.0]]))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    given = PrototypeBlock(torch.eye(2)[None], torch.ones(1, 2, dtype=torch.bool))
    for _ in range(100):
        optimizer.zero_grad()
        kept = module(torch.zeros(1, 2), given)
        (-pool(kept.features, kept.mask, "mean")[0, 1]).backward()
        optimizer.step()
    assert module.eval()(torch.zeros(1, 2), given).mask.tolist() == [[False, True]]


def test_it_learns_to_find_the_prototype_that_tells() -> None:
    """The label is in the one prototype of five whose first value is high; the others are noise."""
    torch.manual_seed(0)
    sizes = Sizes(8, {"image": 4})
    module, head = NoInteraction(sizes, select=1), torch.nn.Linear(8, 1)
    optimizer = torch.optim.Adam(itertools.chain(module.parameters(), head.parameters()), lr=0.02)
    text = TextStates(torch.zeros(64, 1, 8), torch.ones(64, 1, dtype=torch.bool), "first")

    def draw() -> tuple[PrototypeBlock, Tensor, Tensor]:
        features = torch.randn(64, 5, 4)
        place, label = torch.randint(5, (64,)), torch.randint(2, (64,)).float()
        features[..., 0] = 0
        features[torch.arange(64), place, 0] = 3
        features[torch.arange(64), place, 1] = 2 * (2 * label - 1)
        return PrototypeBlock(features, torch.ones(64, 5, dtype=torch.bool)), place, label

    for _ in range(300):
        given, _, label = draw()
        logits = head(module(text, {"image": given})["image"])[:, 0]
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, label).backward()
        optimizer.step()
    module.eval()
    given, place, _ = draw()
    chosen = module.project.blocks(text, {"image": given})["image"].mask.int().argmax(dim=1)
    assert (chosen == place).float().mean() > 0.9  # 0.2 by chance


def test_off_by_default_and_without_layers() -> None:
    torch.manual_seed(0)
    plain = NoInteraction(Sizes(6, {"image": 4}))
    assert sorted(plain.state_dict()) == ["project.layers.image.bias", "project.layers.image.weight"]
    select = NoInteraction(Sizes(6, {"image": 4}), select=2).eval()
    given = block()
    text = TextStates(torch.randn(6, 3, 6), torch.ones(6, 3, dtype=torch.bool), "mean")
    kept = select.project.blocks(text, {"image": given})["image"]
    assert torch.equal(select(text, {"image": given})["image"], pool(kept.features, kept.mask, "mean"))
    remembered = select.memory(text, {"image": given})["image"]
    assert torch.equal(remembered.features, kept.features) and torch.equal(remembered.mask, kept.mask)
