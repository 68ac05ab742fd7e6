"""Eq. 2-3: attention over [text; prototypes], against loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import support
from polysense.methods.base import Sizes, TextStates
from polysense.methods.macsc.enhancement import CrossModalAttention
from polysense.modality import TEXT, PrototypeBlock

SIZES = Sizes(16, {"image": 6, "audio": 10})
TEXT_MASKS = {
    "right": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]],
}
PROTOTYPE_MASKS = {
    "image": [[1, 1, 1], [1, 0, 0], [0, 0, 0]],
    "audio": [[1, 1, 0], [1, 1, 1], [0, 0, 0]],
}


def make_batch(side: str = "right", pooling: str = "first") -> tuple[TextStates, dict[str, PrototypeBlock]]:
    """Three sentences: full, with padding, and of one token without prototypes; padding holds noise, not zeros."""
    generator = torch.Generator().manual_seed(1)
    text = torch.randn(3, 5, SIZES.hidden, generator=generator).requires_grad_()
    blocks = {
        m: PrototypeBlock(
            torch.randn(3, 3, width, generator=generator).requires_grad_(), torch.tensor(PROTOTYPE_MASKS[m]).bool()
        )
        for m, width in SIZES.widths.items()
    }
    return TextStates(text, torch.tensor(TEXT_MASKS[side]).bool(), pooling), blocks


def slow_pool(states: Tensor, real: list[bool], pooling: str) -> Tensor:
    rows = [states[j] for j in range(len(states)) if real[j]]
    if not rows:
        return torch.zeros(states.shape[1])
    if pooling == "mean":
        return sum(rows[1:], rows[0]) / len(rows)
    return rows[0] if pooling == "first" else rows[-1]


def slow_enhancement(
    module: CrossModalAttention, text: TextStates, blocks: dict[str, PrototypeBlock]
) -> dict[str, Tensor]:
    """Sentence by sentence, stack by stack."""
    matrices = (module.query.weight, module.key.weight, module.value.weight)
    stacks = [list(blocks)] if module.stack == "joint" else [[m] for m in blocks]
    results: dict[str, list[Tensor]] = {m: [] for m in (TEXT, *blocks)}
    for b in range(len(text.states)):
        texts = []
        for stack in stacks:
            rows, real = list(text.states[b]), text.mask[b].tolist()
            for m in stack:
                layer = module.project.layers[m]
                rows += [layer.weight @ feature + layer.bias for feature in blocks[m].features[b]]
                real += blocks[m].mask[b].tolist()
            before = torch.stack(rows)
            after = support.slow_attention(before, real, *matrices, module.heads)
            after = before + after if module.residual else after
            start = len(text.states[b])
            texts.append(slow_pool(after[:start], real[:start], text.pooling))
            for m in stack:
                end = start + len(blocks[m].features[b])
                results[m].append(slow_pool(after[start:end], real[start:end], "mean"))
                start = end
        results[TEXT].append(sum(texts[1:], texts[0]) / len(texts))
    return {m: torch.stack(rows) for m, rows in results.items()}


def probe(representations: dict[str, Tensor]) -> Tensor:
    """A number that depends on every element of every r[m]."""
    generator = torch.Generator().manual_seed(2)
    return sum((r * torch.randn(r.shape, generator=generator)).sum() for _, r in sorted(representations.items()))


@pytest.mark.parametrize(
    ("stack", "heads", "residual", "pooling", "side"),
    [
        ("each", 8, False, "first", "right"),
        ("each", 2, True, "last", "left"),
        ("each", 1, False, "mean", "left"),
        ("joint", 8, False, "first", "left"),
        ("joint", 4, True, "mean", "right"),
    ],
)
def test_eq2_attention_over_text_and_prototypes(
    stack: str, heads: int, residual: bool, pooling: str, side: str
) -> None:
    torch.manual_seed(0)
    module = CrossModalAttention(SIZES, heads=heads, stack=stack, residual=residual)
    text, blocks = make_batch(side, pooling)
    fast, slow = module(text, blocks), slow_enhancement(module, text, blocks)
    assert list(fast) == [TEXT, "image", "audio"]
    for m in slow:
        torch.testing.assert_close(fast[m], slow[m], **support.CLOSE)
    inputs = [*module.parameters(), text.states, *(block.features for block in blocks.values())]
    support.assert_same_gradients(probe(fast), probe(slow), inputs)


@pytest.mark.parametrize("stack", ["each", "joint"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_eq2_padding_is_masked_on_both_sides(stack: str, side: str) -> None:
    module = CrossModalAttention(SIZES, stack=stack)
    text, blocks = make_batch(side)
    with torch.no_grad():
        before = module(text, blocks)
        text.states[~text.mask] = 50.0
        for block in blocks.values():
            block.features[~block.mask] = -50.0
        after = module(text, blocks)
    for m in before:
        assert torch.equal(before[m], after[m])


@pytest.mark.parametrize("stack", ["each", "joint"])
def test_eq2_sentence_without_prototypes(stack: str) -> None:
    """Its r[m] is zero and its text, of one word, attends to itself alone."""
    module = CrossModalAttention(SIZES, stack=stack, residual=False)
    text, blocks = make_batch()
    representations = module(text, blocks)
    for m in SIZES.widths:
        assert torch.equal(representations[m][2], torch.zeros(16))
    torch.testing.assert_close(representations[TEXT][2], module.value(text.states[2, 0]), **support.CLOSE)


def test_eq2_stacks_differ_in_what_prototypes_see() -> None:
    """Joint: image prototypes see those of audio; each: they do not, but the text sees both."""
    text, blocks = make_batch()
    seen = {}
    for stack in ("each", "joint"):
        r = CrossModalAttention(SIZES, stack=stack)(text, blocks)
        of_image = torch.autograd.grad(r["image"].sum(), blocks["audio"].features, allow_unused=True, retain_graph=True)
        of_text = torch.autograd.grad(r[TEXT].sum(), blocks["audio"].features)
        seen[stack] = [grad is not None and bool(grad.abs().max() > 0) for grad in (*of_image, *of_text)]
    assert seen == {"each": [False, True], "joint": [True, True]}


def test_eq2_defaults() -> None:
    module = CrossModalAttention(SIZES)
    assert (module.heads, module.stack, module.residual) == (8, "each", True)


def test_eq2_width_must_split_into_heads() -> None:
    with pytest.raises(ValueError, match="15 cannot be split into 8 heads"):
        CrossModalAttention(Sizes(15, {"image": 4}))


def test_eq3_block_expansion_of_the_modules_own_matrices() -> None:
    """Without softmax and scale, (Q K^T) V of the stack is Eq. 3's sum of intra- and inter-modal products."""
    module = CrossModalAttention(SIZES, residual=False)
    stack = torch.randn(8, 16)
    q, k, v = (layer(stack).tolist() for layer in (module.query, module.key, module.value))

    def product(rows: range, columns: range) -> list[list[float]]:
        """Q^rows K^columns^T V^columns."""
        return [
            [sum(sum(q[i][a] * k[j][a] for a in range(16)) * v[j][c] for j in columns) for c in range(16)] for i in rows
        ]

    t, m = range(5), range(5, 8)
    intra_then_inter = [
        (product(t, t), product(t, m)),
        (product(m, m), product(m, t)),
    ]
    expanded = [
        [a + b for a, b in zip(x, y, strict=True)]
        for one, two in intra_then_inter
        for x, y in zip(one, two, strict=True)
    ]
    whole = (module.query(stack) @ module.key(stack).T) @ module.value(stack)
    torch.testing.assert_close(whole, torch.tensor(expanded), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 8])
@torch.no_grad()
def test_eq3_attention_adds_intra_and_inter_modal_terms(heads: int) -> None:
    """With softmax: each side's numerator is a sum over its own keys plus a sum over the other's, both present."""
    torch.manual_seed(3)
    module = CrossModalAttention(SIZES, heads=heads, residual=False)
    states, length, size = torch.randn(1, 8, 16), 5, 16 // heads
    output = module.attend(states, torch.ones(1, 8, dtype=torch.bool))[0]
    q, k, v = (layer(states[0]) for layer in (module.query, module.key, module.value))
    sides = {"text": range(length), "prototypes": range(length, 8)}
    for own, rows in sides.items():
        for i in rows:
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                numerator, mass = {}, {}
                for side, keys in sides.items():
                    e = {j: math.exp(float(q[i, part] @ k[j, part]) / math.sqrt(size)) for j in keys}
                    numerator[side] = sum(e[j] * v[j, part] for j in keys)
                    mass[side] = sum(e.values())
                (other,) = set(sides) - {own}
                expected = (numerator[own] + numerator[other]) / (mass[own] + mass[other])
                torch.testing.assert_close(output[i, part], expected, **support.CLOSE)
                assert numerator[other].abs().max() > 1e-3
