"""Prototypes of SST-2 sentences from a CLIP ViT-B/32-sized tower, against three references in the same process."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoTokenizer, CLIPTextModelWithProjection

from benchmarks.clip_sized import save_tower, sst2_sentences
from benchmarks.timing import Benchmark, at_least, in_turn, seconds
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.reader import read_prototypes
from polysense.prototypes.reading import Reading
from polysense.towers.registry import open_tower

SENTENCES, ROUNDS = 2000, 3
K = 4
READING = Reading(k=K, precision="exact")
PRODUCTS = ((2048, 512, 512), (2048, 512, 2048), (2048, 2048, 512), (4096, 2048, 2048))
"""Sizes (rows, in, out) of matrix products; the machine's rate is that of the fastest."""


class PlainTransformers:
    """The reference: every text padded to 77 tokens, eager attention with all its maps, batches of 32."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = CLIPTextModelWithProjection.from_pretrained(folder, attn_implementation="eager").eval()

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Chosen token ids (n, K), -1 where there is none, and features (n, K, 512)."""
        ids, features = [], []
        for start in range(0, len(texts), 32):
            batch = self.tokenizer(
                texts[start : start + 32], padding="max_length", max_length=77, truncation=True, return_tensors="pt"
            )
            output = self.model(**batch, output_attentions=True)
            length = batch["attention_mask"].sum(dim=1)
            rows = torch.arange(len(length))
            saliency = output.attentions[-1].mean(dim=1)[rows, length - 1]
            place = torch.arange(77)
            words = (place > 0) & (place < length[:, None] - 1)
            ranked = saliency.masked_fill(~words, -1).topk(K).indices.sort().values
            chosen = words.gather(1, ranked)
            # Those of fewer than K words stand first, as the places without one come before or after them.
            order = (~chosen).int().argsort(dim=1, stable=True)
            ranked, chosen = ranked.gather(1, order), chosen.gather(1, order)
            states = self.model.text_projection(output.last_hidden_state)
            ids.append(batch["input_ids"].gather(1, ranked).masked_fill(~chosen, -1))
            features.append(states[rows[:, None], ranked].masked_fill(~chosen[..., None], 0))
        return torch.cat(ids).numpy(), torch.cat(features).numpy()


def benchmarks() -> list[Benchmark]:
    """All rows about reading prototypes."""
    texts = sst2_sentences("train", SENTENCES)
    with tempfile.TemporaryDirectory() as folder:
        save_tower(Path(folder))
        tower, brief = open_tower(folder), open_tower(f"bf16:{folder}")
        plain = PlainTransformers(Path(folder))
        vectors = SentenceTransformer(modules=[Transformer(folder), Pooling(512, "lasttoken")], device="cpu")
    tokens = [len(ids) for ids in tower.tokenizer(texts)["input_ids"]]
    what = f"{len(texts)} SST-2 sentences of {np.mean(tokens):.1f} tokens, CLIP ViT-B/32-sized tower"

    def ours() -> PrototypeBatch:
        return read_prototypes(tower, READING, texts)

    def half() -> PrototypeBatch:
        return read_prototypes(brief, READING, texts)

    products: list[float] = []

    def measure_product() -> None:
        products.append(matrix_product_rate())

    columns = in_turn([measure_product, ours, half, lambda: vectors.encode(texts, batch_size=32)], ROUNDS)
    _, own, own_half, encoded = columns
    work = useful_operations(tokens)
    # The last of the repetitions of each round; the first was the warm-up.
    product = products[-ROUNDS:]
    # One round of the slow reference a side: it takes minutes.
    slow = [seconds(lambda: plain(texts)) for _ in range(2)]
    own_beside = [seconds(ours) for _ in slow]
    return [
        at_least(
            f"prototypes of {what}, against plain transformers padded to 77",
            rates(len(texts), own_beside),
            rates(len(texts), slow),
            8,
            "sentences/s",
            same_as_reference(ours(), plain(texts)),
        ),
        at_least(
            "the same, against sentence-transformers, which ranks no tokens",
            rates(len(texts), own),
            rates(len(texts), encoded),
            1,
            "sentences/s",
        ),
        at_least(
            "the same, against the machine's matrix product",
            rates(work / 1e9, own),
            [rate / 1e9 for rate in product],
            0.65,
            "GFLOP/s",
            "padding is no work",
        ),
        at_least(
            "the same in bfloat16, against our float32",
            rates(len(texts), own_half),
            rates(len(texts), own),
            1,
            "sentences/s",
            f"{100 * changed_share(half(), ours()):.1f}% of prototypes are other tokens",
        ),
    ]


def rates(amount: float, times: list[float]) -> list[float]:
    """Amount a second, of each time."""
    return [amount / time for time in times]


def useful_operations(lengths: list[int], width: int = 512, inner: int = 2048, layers: int = 12) -> float:
    """Floating-point operations of the matrix products for sequences of these lengths, causal attention."""
    linear = 2 * (4 * width * width + 2 * width * inner)
    projection = 2 * width * width
    return sum(
        length * (layers * linear + projection) + layers * 2 * 2 * width * length * (length + 1) / 2
        for length in lengths
    )


def matrix_product_rate() -> float:
    """Operations a second of the fastest of `PRODUCTS`, each the best of ten."""
    best = 0.0
    for rows, d_in, d_out in PRODUCTS:
        x, w = torch.randn(rows, d_in), torch.randn(d_out, d_in)
        for _ in range(10):
            best = max(best, 2 * rows * d_in * d_out / seconds(lambda: torch.nn.functional.linear(x, w)))  # noqa: B023
    return best


def same_as_reference(ours: PrototypeBatch, reference: tuple[NDArray[np.int64], NDArray[np.float32]]) -> str:
    """How many texts have the very same tokens, and the largest difference of their features."""
    ids = np.where(np.arange(K) < ours.counts[:, None], ours.token_ids, -1)
    same = (ids == reference[0]).all(axis=1)
    difference = np.abs(ours.features - reference[1])[same].max()
    return f"same tokens in {same.sum()} of {len(same)} texts, features within {difference:.0e}"


def changed_share(one: PrototypeBatch, other: PrototypeBatch) -> float:
    """The share of prototypes of `other` that `one` did not choose."""
    places = [{tuple(span) for span in b.spans[i, : b.counts[i]]} for b in (one, other) for i in range(len(other))]
    pairs = list(zip(places[: len(other)], places[len(other) :], strict=True))
    return sum(len(b - a) for a, b in pairs) / sum(len(b) for _, b in pairs)
