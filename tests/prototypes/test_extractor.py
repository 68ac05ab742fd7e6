"""From texts to prototypes: against a slow reading of each text alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import support
from polysense.errors import PolysenseError
from polysense.prototypes import extractor as extractor_module
from polysense.prototypes.extractor import PrototypeExtractor, Reading, TextPrototypes
from polysense.prototypes.windows import cut_windows
from polysense.text import Text
from polysense.towers.registry import open_tower
from polysense.towers.tower import SaliencyLayers, TokenStates, Tower


class ListTower(Tower):
    """Saliency as a list says, by token; a feature is (token id, length of its sequence). Counts what it reads."""

    width, spec, max_length = 2, "list", 12

    def __init__(self, saliency: dict[str, float]) -> None:
        super().__init__()
        self.tokenizer = support.bert_tokenizer(self.max_length)
        self.scores = torch.nn.Parameter(torch.full((len(self.tokenizer),), 0.01))
        for word, value in saliency.items():
            self.scores.data[self.tokenizer.convert_tokens_to_ids(word)] = value
        self.rows_read = 0
        self.freeze()

    def encode(self, input_ids: Tensor, attention_mask: Tensor, layers: SaliencyLayers = "last") -> TokenStates:
        self.rows_read += len(input_ids)
        saliency = self.scores[input_ids] * attention_mask
        saliency = saliency / saliency.sum(dim=1, keepdim=True)
        lengths = attention_mask.sum(dim=1, keepdim=True).expand_as(input_ids)
        states = torch.stack([input_ids, lengths], dim=-1).float()
        return TokenStates(states, self.candidates(input_ids, attention_mask), saliency, states[:, 0])


SALIENT = {"banana": 9.0, "yellow": 8.0, "cat": 7.0, "bird": 6.0, "of": 5.0}


@pytest.fixture(scope="module", params=["bert", "clip"])
def tower(request: pytest.FixtureRequest, bert_folder: Path, clip_folder: Path) -> Tower:
    return open_tower({"bert": f"encoder:{bert_folder}", "clip": str(clip_folder)}[request.param])


def slow_read(tower: Tower, text: Text, k: int) -> list[tuple[tuple[int, int, int], int, np.ndarray, float]]:
    """Each window alone; the strongest reading of each token; the k strongest tokens, in the order of the text."""
    best: dict[tuple[tuple[int, int, int], int], tuple[np.ndarray, float]] = {}
    for window in cut_windows(tower.tokenizer, [text], tower.max_length, join_pairs=tower.joins_pairs):
        ids = torch.tensor([window.input_ids])
        output = tower.encode(ids, torch.ones_like(ids))
        places = [p for p in range(len(window.input_ids)) if output.candidates[0, p]]
        places = sorted(places, key=lambda p: -float(output.saliency[0, p]))[:k]
        for p in places:
            key = (window.spans[p], window.input_ids[p])
            strength = float(output.saliency[0, p]) * len(window.input_ids)
            if key not in best or strength > best[key][1]:
                best[key] = (output.states[0, p].numpy(), strength)
    strongest = sorted(best.items(), key=lambda item: -item[1][1])[:k]
    return [(*key, *value) for key, value in sorted(strongest, key=lambda item: item[0][0])]


def assert_same(one: TextPrototypes, other: TextPrototypes) -> None:
    assert (one.tokens, one.spans) == (other.tokens, other.spans)
    np.testing.assert_allclose(one.features, other.features, atol=5e-6, rtol=1e-5)
    np.testing.assert_allclose(one.saliency, other.saliency, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 4])
def test_eq1_prototypes_of_whole_and_long_texts(tower: Tower, k: int) -> None:
    texts: list[Text] = [*support.sentences(6, 4), *support.sentences(6, 60, seed=1)]
    texts += [("the cat", "a dog sits"), ("a cat sits on the red mat " * 4, "yellow bird")]
    prototypes = PrototypeExtractor(tower, Reading(k=k), batch_size=3).extract(texts)
    for text, got in zip(texts, prototypes, strict=True):
        expected = slow_read(tower, text, k)
        assert got.spans == tuple(span for span, *_ in expected)
        assert got.tokens == tuple(tower.tokenizer.convert_ids_to_tokens([i for _, i, *_ in expected]))
        np.testing.assert_allclose(got.features, np.stack([f for *_, f, _ in expected]), atol=1e-5)
        np.testing.assert_allclose(got.saliency, [s for *_, s in expected], atol=1e-5)
        assert got.features.dtype == np.float32


def test_order_and_fewer_than_k() -> None:
    extractor = PrototypeExtractor(ListTower(SALIENT), Reading(k=3))
    texts = ["a bird sits on the yellow banana cat", "the cat", "", "cat cat"]
    prototypes = extractor.extract(texts)
    assert [p.tokens for p in prototypes] == [("yellow", "banana", "cat"), ("the", "cat"), (), ("cat", "cat")]
    assert prototypes[0].spans == ((0, 19, 25), (0, 26, 32), (0, 33, 36))
    block = extractor.block(texts)
    assert block.features.shape == (4, 3, 2)
    assert block.mask.tolist() == [[True] * 3, [True, True, False], [False] * 3, [True, True, False]]
    assert block.features[~block.mask].abs().sum() == 0
    for row, item in enumerate(prototypes):
        np.testing.assert_array_equal(block.features[row, : len(item.tokens)], item.features)


def test_saliency_is_a_multiple_of_an_even_share() -> None:
    (prototypes,) = PrototypeExtractor(ListTower({"cat": 0.04}), Reading(k=1)).extract(["the cat sits"])
    assert prototypes.saliency.tolist() == pytest.approx([0.04 / 0.08 * 5])


def test_windows_are_merged() -> None:
    """Top-K over all windows, a token of the overlap once, in the order of the text."""
    tower = ListTower(SALIENT)
    words = ["the"] * 30
    words[2], words[9], words[20], words[27] = "bird", "banana", "yellow", "cat"
    text = " ".join(words)
    windows = cut_windows(tower.tokenizer, [text], tower.max_length)
    place = text.index("banana")
    assert sum((0, place, place + 6) in w.spans for w in windows) == 2
    (prototypes,) = PrototypeExtractor(tower, Reading(k=4)).extract([text])
    assert prototypes.tokens == ("bird", "banana", "yellow", "cat")
    for k in (1, 2, 3):
        (fewer,) = PrototypeExtractor(tower, Reading(k=k)).extract([text])
        assert fewer.spans == tuple(span for span, *_ in slow_read(tower, text, k))
    (start,) = PrototypeExtractor(tower, Reading(k=4, long_texts="truncate")).extract([text])
    assert set(start.tokens) == {"the", "bird", "banana"}


def test_a_text_is_read_once() -> None:
    tower = ListTower(SALIENT)
    extractor = PrototypeExtractor(tower)
    first = extractor.extract(["the cat", "a dog", "the cat", "the cat"])
    assert tower.rows_read == 2
    assert first[0] is first[2] is first[3]
    again = extractor.extract(["a dog", "a bird", "the cat", ("the cat", "a dog")])
    assert tower.rows_read == 4
    assert again[2] is first[0]
    assert extractor.extract([]) == []


def test_oldest_texts_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractor_module, "FORGET_AFTER", 3)
    tower = ListTower(SALIENT)
    extractor = PrototypeExtractor(tower)
    texts = ["cat", "dog", "bird", "mat", "red"]
    assert [p.tokens for p in extractor.extract(texts)] == [(t,) for t in texts]
    extractor.extract(texts[2:])
    assert tower.rows_read == 5
    extractor.extract(texts[:1])
    assert tower.rows_read == 6


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_batch_does_not_matter(tower: Tower, batch_size: int) -> None:
    texts: list[Text] = [*support.sentences(12, 40, seed=2), ("the cat", "a dog"), ""]
    together = PrototypeExtractor(tower, batch_size=batch_size).extract(texts)
    for text, expected in zip(texts, together, strict=True):
        (alone,) = PrototypeExtractor(tower).extract([text])
        assert_same(alone, expected)
    for got, expected in zip(PrototypeExtractor(tower).extract(texts[::-1]), together[::-1], strict=True):
        assert_same(got, expected)


def test_both_texts_of_a_pair_are_read(tower: Tower) -> None:
    (prototypes,) = PrototypeExtractor(tower, Reading(k=20)).extract([("cat", "banana")])
    assert prototypes.spans[0] == (0, 0, 3)
    assert prototypes.spans[-1] == (1, 0, 6)
    assert len(prototypes.tokens) == 2


def test_layers_reach_the_tower(tower: Tower) -> None:
    texts = support.sentences(10, 10, seed=3)
    last, both = (PrototypeExtractor(tower, Reading(layers=x)).extract(texts) for x in ("last", "all"))
    assert any(a.saliency.tolist() != b.saliency.tolist() for a, b in zip(last, both, strict=True))


def test_very_long_text(bert_folder: Path) -> None:
    tower = open_tower(f"encoder:{bert_folder}")
    text = " ".join(support.WORDS[i % len(support.WORDS)] for i in range(10_000))
    started = time.perf_counter()
    (prototypes,) = PrototypeExtractor(tower).extract([text])
    assert time.perf_counter() - started < 8
    assert len(prototypes.tokens) == 4
    assert [text[start:end] for _, start, end in prototypes.spans] == list(prototypes.tokens)


@pytest.mark.parametrize("k", [0, -3])
def test_k_is_at_least_one(k: int) -> None:
    with pytest.raises(PolysenseError, match="K must be at least 1"):
        Reading(k=k)
