"""Tiny models and tokenizers built in code, and slow second implementations of the papers' equations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedModel,
)

from polysense.methods.macsc.contrast import SelfBalancingContrast
from polysense.towers.packing import PackedTokens
from polysense.towers.tower import Tower

WORDS = (
    "the",
    "a",
    "cat",
    "dog",
    "banana",
    "yellow",
    "red",
    "of",
    "colour",
    "is",
    "sits",
    "on",
    "mat",
    "bird",
    "sings",
)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def sentences(count: int, longest: int, seed: int = 0) -> list[str]:
    """Random sentences of 1 to `longest` known words."""
    generator = torch.Generator().manual_seed(seed)
    texts = []
    for _ in range(count):
        length = int(torch.randint(1, longest + 1, (), generator=generator))
        texts.append(" ".join(WORDS[i] for i in torch.randint(len(WORDS), (length,), generator=generator).tolist()))
    return texts


def bert_tokenizer(max_length: int = 32) -> BertTokenizer:
    """WordPiece over `WORDS`, and over letters for all else."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *WORDS,
        *letters[1:],
        *(f"##{c}" for c in letters),
        ".",
        "!",
    ]
    return BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, model_max_length=max_length)


def clip_tokenizer(max_length: int = 24, pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """CLIP's byte-level BPE, with merges for "cat" and "banana" only; "!" has id 0, as in the real one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=lambda c: (c != "!", c))
    merges = [("c", "a"), ("ca", "t</w>"), ("b", "a"), ("n", "a</w>"), ("n", "a"), ("ba", "na"), ("bana", "na</w>")]
    pieces = [
        *alphabet,
        *(f"{c}</w>" for c in alphabet),
        *(a + b for a, b in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=pad, model_max_length=max_length)


def save_bert(folder: Path, seed: int = 0, max_length: int = 32, **settings: object) -> Path:
    torch.manual_seed(seed)
    tokenizer = bert_tokenizer(max_length)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=max_length,
        initializer_range=0.5,
        **settings,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_clip(
    folder: Path, seed: int = 0, max_length: int = 24, pad: str = "<|endoftext|>", **settings: object
) -> Path:
    torch.manual_seed(seed)
    tokenizer = clip_tokenizer(max_length, pad)
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        projection_dim=12,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=max_length,
        **{**ids, **settings},
    )
    model = CLIPTextModelWithProjection(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            # Large enough for attention that is far from even.
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def recompute_activations(model: PreTrainedModel) -> None:
    """Gradient checkpointing, which has another name in older versions of transformers."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def packed(tower: Tower, texts: Sequence[str]) -> PackedTokens:
    """Texts as the tower's tokenizer writes them, special tokens included."""
    return PackedTokens.pack(tower.tokenizer(list(texts))["input_ids"])


def assert_sequences_apart(tower: Tower, tokens: PackedTokens) -> None:
    """Each sequence alone gives what it gives among others."""
    alone = [tower.encode(PackedTokens.pack([ids.tolist()])) for ids in tokens.input_ids.split(tokens.lengths)]
    together = tower.encode(tokens)
    for name in ("states", "saliency", "pooled"):
        expected = torch.cat([getattr(output, name) for output in alone])
        torch.testing.assert_close(getattr(together, name), expected, **CLOSE)


def assert_same_gradients(loss: Tensor, reference: Tensor, inputs: Sequence[Tensor]) -> None:
    """Value and gradients of two scalars agree; each input has a gradient that is not zero throughout."""
    torch.testing.assert_close(loss, reference, **CLOSE)
    got = torch.autograd.grad(loss, inputs, retain_graph=True)
    expected = torch.autograd.grad(reference, inputs)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
        assert b.abs().max() > 1e-6


# MaCSC, slowly: lists of numbers (0-dimensional tensors, so that gradients flow) and loops over i, j, m, k and c.


def slow_softmax(logits: Sequence[Tensor]) -> list[Tensor]:
    exponentials = [z.exp() for z in logits]
    total = sum(exponentials[1:], exponentials[0])
    return [e / total for e in exponentials]


def slow_attention(
    states: Tensor, real: Sequence[bool], query: Tensor, key: Tensor, value: Tensor, heads: int
) -> Tensor:
    """Eq. 2 for one sentence: (n, d) and its mask to (n, d), each head on its own slice of the width."""
    size = states.shape[1] // heads
    rows = []
    for i in range(len(states)):
        row = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            q = query[part] @ states[i]
            seen = [j for j in range(len(states)) if real[j]]
            scores = [(q * (key[part] @ states[j])).sum() / math.sqrt(size) for j in seen]
            attention = slow_softmax(scores)
            row.append(sum(a * (value[part] @ states[j]) for a, j in zip(attention, seen, strict=True)))
        rows.append(torch.cat(row))
    return torch.stack(rows)


def slow_debiased(logits: Tensor, frequency: Sequence[float], alpha: float) -> list[list[Tensor]]:
    """Eq. 4: p_i as a list of lists."""
    return [
        slow_softmax([logits[i, c] - alpha * math.log(max(frequency[c], 1e-6)) for c in range(len(frequency))])
        for i in range(len(logits))
    ]


def slow_cosine(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a).sqrt() * sum(y * y for y in b).sqrt())


def slow_allocation(p_m: Sequence[Sequence[Tensor]], p_k: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """Eq. 5: row i divides w_ij by the sum over b of w_ib."""
    n = len(p_m)
    w = [[slow_cosine(p_m[i], p_k[j]) for j in range(n)] for i in range(n)]
    return [[w[i][j] / sum(w[i][b] for b in range(n)) for j in range(n)] for i in range(n)]


def slow_contrast(
    m: Tensor, k: Tensor, scores: Sequence[Sequence[Tensor]], classes: Sequence[int], temperature: float
) -> Tensor:
    """Eq. 7, then the mean over the batch in the place of Eq. 8's sum; `scores` enter as plain numbers."""
    n = len(m)
    losses = []
    for i in range(n):
        p = slow_softmax([(m[i] * k[a]).sum() / temperature for a in range(n)])
        losses.append(
            -sum(torch.as_tensor(scores[i][j]).detach() * p[j].log() for j in range(n) if classes[i] == classes[j])
        )
    return sum(losses[1:], losses[0]) / n


def slow_self_balancing(
    regulariser: SelfBalancingContrast,
    representations: Mapping[str, Tensor],
    class_logits: Mapping[str, Tensor],
    classes: Sequence[int],
) -> Tensor:
    """Eq. 13 from the regulariser's own projectors and z."""
    modalities = list(representations)
    total = torch.zeros(())
    for m in modalities:
        others = [k for k in modalities if k != m]
        coarse = slow_softmax([regulariser.coarse.z[m][place] for place in range(len(others))])  # Eq. 6
        for weight, k in zip(coarse, others, strict=True):
            features = {}
            for name in (m, k):
                projector = regulariser.projectors[name]
                rows = [projector.weight @ r + projector.bias for r in representations[name]]
                features[name] = torch.stack([row / (row * row).sum().sqrt() for row in rows])
            frequency = regulariser.target.frequency
            p_m = slow_debiased(class_logits[m], frequency, regulariser.alpha)
            p_k = slow_debiased(class_logits[k], frequency, regulariser.alpha)
            scores = slow_allocation(p_m, p_k)
            total = total + weight * slow_contrast(features[m], features[k], scores, classes, regulariser.temperature)
    return total / (len(modalities) * (len(modalities) - 1))
