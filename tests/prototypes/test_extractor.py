"""From texts to prototypes: against a slow reading of each text alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

import support
from polysense.errors import PolysenseError
from polysense.prototypes import lookup
from polysense.prototypes.extractor import PrototypeExtractor, TextPrototypes
from polysense.prototypes.lookup import ReadCounts
from polysense.prototypes.reader import VERSION, read_prototypes
from polysense.prototypes.reading import Reading
from polysense.prototypes.windows import cut_windows
from polysense.text import Text, text_keys
from polysense.towers.packing import PackedTokens
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
        self.calls: list[int] = []
        self.scale = 1.0
        self.freeze()

    def encode(self, tokens: PackedTokens, layers: SaliencyLayers = "last") -> TokenStates:
        self.rows_read += len(tokens.lengths)
        self.calls.append(len(tokens.lengths))
        scores = self.scores[tokens.input_ids]
        saliency = torch.cat([row / row.sum() for row in scores.split(tokens.lengths)])
        lengths = tokens.sizes[tokens.sequence]
        states = torch.stack([tokens.input_ids, lengths], dim=-1) * self.scale
        return TokenStates(states, self.candidates(tokens.input_ids), saliency, states[tokens.starts])


CHOSEN_BY_VERSION_1 = [
    (("yellow", "bird"), ((0, 24, 30), (0, 31, 35))),
    (("cat", "banana"), ((0, 2, 5), (1, 7, 13))),
    (("bird", "cat"), ((0, 32, 36), (0, 37, 40))),
]
SALIENT = {"banana": 9.0, "yellow": 8.0, "cat": 7.0, "bird": 6.0, "of": 5.0}


@pytest.fixture(scope="module", params=["bert", "clip"])
def tower(request: pytest.FixtureRequest, bert_folder: Path, clip_folder: Path) -> Tower:
    return open_tower({"bert": f"encoder:{bert_folder}", "clip": str(clip_folder)}[request.param])


def slow_read(tower: Tower, text: Text, k: int) -> list[tuple[tuple[int, int, int], int, np.ndarray, float]]:
    """Each window alone; the strongest reading of each token; the k strongest tokens, in the order of the text."""
    best: dict[tuple[tuple[int, int, int], int], tuple[np.ndarray, float]] = {}
    for window in cut_windows(tower.tokenizer, [text], tower.max_length, join_pairs=tower.joins_pairs):
        output = tower.encode(PackedTokens.pack([window.input_ids]))
        places = [p for p in range(len(window.input_ids)) if output.candidates[p]]
        places = sorted(places, key=lambda p: -float(output.saliency[p]))[:k]
        for p in places:
            key = (window.spans[p], window.input_ids[p])
            strength = float(output.saliency[p]) * len(window.input_ids)
            if key not in best or strength > best[key][1]:
                best[key] = (output.states[p].numpy(), strength)
    strongest = sorted(best.items(), key=lambda item: -item[1][1])[:k]
    return [(*key, *value) for key, value in sorted(strongest, key=lambda item: item[0][0])]


def assert_same(one: TextPrototypes, other: TextPrototypes, atol: float = 0.0) -> None:
    """Within one unit of half precision, where features were read among others."""
    assert (one.tokens, one.spans) == (other.tokens, other.spans)
    np.testing.assert_allclose(one.features, other.features, atol=atol, rtol=atol)
    np.testing.assert_allclose(one.saliency, other.saliency, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 4])
def test_eq1_prototypes_of_whole_and_long_texts(tower: Tower, k: int) -> None:
    texts: list[Text] = [*support.sentences(6, 4), *support.sentences(6, 60, seed=1)]
    texts += [("the cat", "a dog sits"), ("a cat sits on the red mat " * 4, "yellow bird")]
    prototypes = PrototypeExtractor(tower, Reading(k=k, precision="exact")).extract(texts)
    ties = 0
    for text, got in zip(texts, prototypes, strict=True):
        expected = slow_read(tower, text, k)
        if got.spans != tuple(span for span, *_ in expected):
            # Of two tokens that are as salient but for rounding, another processor may choose the other.
            ties += 1
            np.testing.assert_allclose(np.sort(got.saliency), np.sort([s for *_, s in expected]), atol=1e-5)
            continue
        assert got.tokens == tuple(tower.tokenizer.convert_ids_to_tokens([i for _, i, *_ in expected]))
        np.testing.assert_allclose(got.features, np.stack([f for *_, f, _ in expected]), atol=1e-5)
        np.testing.assert_allclose(got.saliency, [s for *_, s in expected], atol=1e-5)
        assert got.features.dtype == np.float32
    assert ties <= 2


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


@pytest.fixture(params=["memory", "store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Literal[False]:
    return tmp_path / "store" if request.param == "store" else False


def test_a_text_is_read_once(store: Path | Literal[False]) -> None:
    """Within a call, and by whichever call comes later."""
    tower = ListTower(SALIENT)
    extractor = PrototypeExtractor(tower, store=store)
    texts = ["the cat", "a dog", "the cat", "the cat"]
    assert extractor.prepare(texts) == ReadCounts(items=4, read=2)
    assert tower.rows_read == 2
    first = extractor.extract(texts)
    assert extractor.prepare(texts) == ReadCounts(items=4, read=0)
    assert tower.rows_read == 2
    assert_same(first[0], first[2])
    again = extractor.extract(["a dog", "a bird", "the cat", ("the cat", "a dog"), "a bird"])
    assert tower.rows_read == 4
    assert_same(again[2], first[0])
    assert_same(again[1], again[4])
    extractor.block(["a bird"])
    assert tower.rows_read == 4
    assert extractor.extract([]) == []


def test_chunks_are_read_together(monkeypatch: pytest.MonkeyPatch, store: Path | Literal[False]) -> None:
    """Of any iterator, in the order of the texts, without those that are known."""
    monkeypatch.setattr(lookup, "CHUNK", 4)
    tower = ListTower(SALIENT)
    extractor = PrototypeExtractor(tower, store=store)
    texts = [support.WORDS[i] for i in range(11)]
    repeated = [text for text in texts for _ in range(2)]
    assert extractor.prepare(iter(repeated)) == ReadCounts(items=22, read=11)
    assert [p.tokens for p in extractor.extract(texts)] == [(t,) for t in texts]
    assert tower.rows_read == 11
    if extractor.store is not None:
        sizes = [extractor.store.lookup(text_keys([text]))[0] >> 32 for text in texts]
        assert sizes == [0] * 4 + [1] * 4 + [2] * 3


def test_stored_prototypes_are_those_of_the_tower(tower: Tower, tmp_path: Path) -> None:
    """In the precision of the reading, which also holds without a store."""
    texts: list[Text] = [*support.sentences(12, 40, seed=2), ("the cat", "a dog"), ""]
    for precision, dtype in (("half", np.float16), ("exact", np.float32)):
        reading = Reading(precision=precision)
        PrototypeExtractor(tower, reading, tmp_path).prepare(texts)
        opened = PrototypeExtractor(tower, reading, tmp_path)
        assert opened.store is not None
        assert len(opened.store) == len(set(texts))
        for got, expected in zip(opened.extract(texts), PrototypeExtractor(tower, reading).extract(texts), strict=True):
            assert_same(got, expected, atol=2e-3 if precision == "half" else 5e-6)
            assert got.features.dtype == expected.features.dtype == dtype
        assert torch.equal(
            opened.block(texts).features, PrototypeExtractor(tower, reading, tmp_path).block(texts).features
        )


@pytest.mark.parametrize(
    "change", [{"k": 3}, {"layers": "all"}, {"long_texts": "truncate"}, {"precision": "exact"}, "tower", "rules"]
)
def test_another_reading_or_tower_meets_no_stored_row(tmp_path: Path, change: dict[str, Any] | str) -> None:
    PrototypeExtractor(ListTower(SALIENT), store=tmp_path).prepare(["the cat"])
    tower = ListTower({"cat": 1.0} if change == "tower" else SALIENT)
    if change == "rules":
        tower.rules = "another clean-up"
    reading = Reading(**change) if isinstance(change, dict) else Reading()
    assert PrototypeExtractor(tower, reading, tmp_path).prepare(["the cat", "the  cat"]).read == 2


def test_a_released_tower_is_opened_for_new_texts_only(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(lookup, "open_tower", lambda spec: opened.append(spec) or open_tower(spec))
    extractor = PrototypeExtractor(open_tower(str(clip_folder)), store=tmp_path)
    extractor.prepare(["the cat"])
    extractor.release()
    before = extractor.block(["the cat"]).features
    assert opened == []
    extractor.block(["the cat", "a dog"])
    assert opened == [str(clip_folder)]
    assert torch.equal(extractor.block(["the cat"]).features, before)


def test_only_prepare_writes(tmp_path: Path) -> None:
    extractor = PrototypeExtractor(ListTower(SALIENT), store=tmp_path / "store")
    extractor.block(["the cat"])
    assert not (tmp_path / "store").exists()


def test_a_damaged_row_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Found when it is looked up, and by `verify` put right for good."""
    texts = ["the cat", "a bird sits", "yellow banana"]
    expected = PrototypeExtractor(ListTower(SALIENT)).extract(texts)
    extractor = PrototypeExtractor(ListTower(SALIENT), store=tmp_path)
    extractor.prepare(texts)
    assert extractor.store is not None
    (shard,) = extractor.store.folder.glob("*.arrow")
    data = bytearray(shard.read_bytes())
    place = data.index(expected[1].features.tobytes())
    data[place] ^= 1
    shard.write_bytes(data)
    tower = ListTower(SALIENT)
    again = PrototypeExtractor(tower, store=tmp_path)
    for got, wanted in zip(again.extract(texts), expected, strict=True):
        assert_same(got, wanted)
    assert tower.rows_read == 1
    assert f"{shard}: " in caplog.text
    assert "row 1;" in caplog.text
    assert PrototypeExtractor(tower, store=tmp_path).prepare(texts, verify=True).read == 1
    caplog.clear()
    PrototypeExtractor(tower, store=tmp_path).block(texts)
    assert tower.rows_read == 2
    assert not caplog.text


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "RECENT_BYTES", 3 * 4 * 2 * 2)
    tower = ListTower(SALIENT)
    extractor = PrototypeExtractor(tower)
    for text in ("cat", "dog", "bird", "cat", "mat"):
        extractor.block([text])
    assert tower.rows_read == 4
    extractor.block(["cat"])
    assert tower.rows_read == 5


def test_what_was_prepared_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much it is: else every epoch of training would read it again."""
    monkeypatch.setattr(lookup, "RECENT_BYTES", 1)
    tower = ListTower(SALIENT)
    extractor = PrototypeExtractor(tower)
    extractor.prepare(support.WORDS)
    for _ in range(2):
        extractor.block(support.WORDS)
    assert tower.rows_read == len(support.WORDS)


def test_looking_ahead_reads_together_what_is_absent(tmp_path: Path) -> None:
    tower = ListTower(SALIENT)
    extractor = PrototypeExtractor(tower, store=tmp_path)
    extractor.prepare(["the cat"])
    extractor.look_ahead(["the cat", "a dog", "a bird", "a dog"])
    assert tower.calls == [1, 2]
    extractor.block(["a dog"])
    extractor.block(["a bird", "the cat"])
    extractor.look_ahead(["a dog", "the cat"])
    assert tower.calls == [1, 2]


def test_nothing_to_write_takes_no_lock(tmp_path: Path) -> None:
    """Training goes on beside a long extraction, and from a store that may only be read."""
    first = PrototypeExtractor(ListTower(SALIENT), store=tmp_path)
    first.prepare(["the cat", "a dog"])
    assert first.store is not None
    second = PrototypeExtractor(ListTower(SALIENT), store=tmp_path)
    with first.store.writing():
        assert second.prepare(["a dog", "the cat", "a dog"]) == ReadCounts(items=3, read=0)


def test_what_another_process_stored_meanwhile_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had looked before the other one wrote, and got the lock after."""
    other, tower = PrototypeExtractor(ListTower(SALIENT), store=tmp_path), ListTower(SALIENT)
    extractor = PrototypeExtractor(tower, store=tmp_path)
    assert extractor.store is not None
    writing = extractor.store.writing

    def after_the_other() -> Any:
        other.prepare(["the cat", "a dog"])
        return writing()

    monkeypatch.setattr(extractor.store, "writing", after_the_other)
    assert extractor.prepare(["the cat", "a bird", "a dog"]) == ReadCounts(items=3, read=1)
    assert tower.rows_read == 1


def test_a_tower_that_changed_is_not_opened_again(tmp_path: Path) -> None:
    folder = support.save_clip(tmp_path / "clip", seed=1)
    extractor = PrototypeExtractor(open_tower(str(folder)), store=tmp_path / "store")
    extractor.prepare(["the cat"])
    extractor.release()
    support.save_clip(folder, seed=2)
    extractor.block(["the cat"])
    with pytest.raises(PolysenseError, match=r"has changed since it was opened first"):
        extractor.block(["a dog"])


def test_rules_of_reading_have_a_version() -> None:
    """What is chosen of these texts, by version: raise `reader.VERSION` with any change, or stores are stale."""
    texts: list[Text] = [
        "the banana, the cat & a yellow bird of Ärger",
        ("a cat", "of red banana"),
        "the " * 8 + "bird cat of yellow",
    ]
    chosen = [(p.tokens, p.spans) for p in PrototypeExtractor(ListTower(SALIENT), Reading(k=2)).extract(texts)]
    assert {VERSION: chosen} == {1: CHOSEN_BY_VERSION_1}


@pytest.mark.parametrize("batch_tokens", [1, 50, 2048])
def test_batch_does_not_matter(tower: Tower, batch_tokens: int) -> None:
    texts: list[Text] = [*support.sentences(12, 40, seed=2), ("the cat", "a dog"), ""]
    reading = Reading(precision="exact")
    read = []
    together = read_prototypes(tower, reading, texts, batch_tokens, read.append)
    assert sum(read) == len(texts)
    for order in (range(len(texts)), range(len(texts) - 1, -1, -1)):
        expected = together.rows(list(order))
        got = read_prototypes(tower, reading, [texts[i] for i in order], 64)
        for name in ("counts", "token_ids", "spans"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
        for name in ("features", "saliency"):
            np.testing.assert_allclose(getattr(got, name), getattr(expected, name), atol=5e-6, rtol=1e-5)


def test_features_too_large_for_half_precision() -> None:
    tower = ListTower(SALIENT)
    tower.scale = 1e5
    with pytest.raises(
        PolysenseError, match=r"^tower list: a feature is too large for half precision.*--precision exact"
    ):
        PrototypeExtractor(tower).block(["the cat"])
    assert PrototypeExtractor(tower, Reading(precision="exact")).block(["the cat"]).features.max() > 1e5


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
    with pytest.raises(PolysenseError, match="k must be a whole number and at least 1"):
        Reading(k=k)
