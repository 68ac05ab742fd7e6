"""SigLIP's and SigLIP 2's text towers against transformers, and SigLIP 1's tokenizer against the slow one."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import Siglip2TextModel, SiglipTextModel

import support
import tiny_families
from polysense.errors import PolysenseError
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.prototypes.reading import Reading
from polysense.towers import siglip_tokenizer
from polysense.towers.registry import open_tower
from polysense.towers.siglip import SiglipTower
from polysense.towers.tower import SaliencyLayers
from tiny_families import CONTEXT, padded, random_tokens, save_siglip

KINDS = {"siglip": SiglipTextModel, "siglip2": Siglip2TextModel}


@pytest.fixture(scope="module", params=["siglip", "siglip2"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model: text and vision."""
    return save_siglip(tmp_path_factory.mktemp(kind), kind)


@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize("raw", [False, True], ids=["projected", "raw"])
def test_as_transformers_padded_to_the_context(kind: str, folder: Path, raw: bool, layers: SaliencyLayers) -> None:
    tower = open_tower(f"raw:{folder}" if raw else str(folder))
    assert type(tower) is SiglipTower
    assert (tower.width, tower.max_length) == (16 if raw else 12, CONTEXT)
    tokens = random_tokens(tower.tokenizer)
    assert {*range(3, CONTEXT + 1)} <= {*tokens.lengths}
    output = tower.encode(tokens, layers)
    eager = KINDS[kind].from_pretrained(folder, attn_implementation="eager").eval()
    ids, mask = padded(tokens, tower.tokenizer.pad_token_id)
    with torch.no_grad():
        # No mask: SigLIP was trained without one.
        expected = eager(input_ids=ids, output_attentions=True)
        states = expected.last_hidden_state
        if not raw:
            states = getattr(eager, "text_model", eager).head(states)
    torch.testing.assert_close(output.pooled, states[:, -1] if raw else expected.pooler_output, **support.CLOSE)
    torch.testing.assert_close(output.states, states[mask.bool()], **support.CLOSE)
    maps = torch.stack([attention[:, :, -1].mean(dim=1) for attention in expected.attentions])
    rows = maps[-1] if layers == "last" else maps.mean(dim=0)
    for b, (saliency, length) in enumerate(zip(output.saliency.split(tokens.lengths), tokens.lengths, strict=True)):
        row = rows[b, :length]
        torch.testing.assert_close(saliency, row / row.sum(), **support.CLOSE)
    # The end is no candidate, and most of attention goes to padding: the share of the text is not all of it.
    for candidates in output.candidates.split(tokens.lengths):
        assert candidates.tolist() == [True] * (len(candidates) - 1) + [False]
    assert rows[0, : tokens.lengths[0]].sum() < 0.9


def test_text_part_alone(kind: str, folder: Path, tmp_path: Path) -> None:
    """Without a vision part there are the same features."""
    save_siglip(tmp_path, kind, whole=False)
    KINDS[kind].from_pretrained(folder).save_pretrained(tmp_path)
    alone, whole = open_tower(str(tmp_path)), open_tower(str(folder))
    tokens = random_tokens(alone.tokenizer)
    assert torch.equal(alone.encode(tokens).pooled, whole.encode(tokens).pooled)


def test_sequences_do_not_see_each_other(folder: Path) -> None:
    tower = open_tower(str(folder))
    support.assert_sequences_apart(tower, random_tokens(tower.tokenizer))


def test_prototypes_of_texts_and_pairs(folder: Path) -> None:
    """Capitals do not matter, offsets point into the text, and long texts are read in windows."""
    extractor = PrototypeExtractor(open_tower(str(folder)), Reading(k=9))
    long = "the banana is yellow! " * 20
    lower, upper, pair, whole, empty = extractor.extract(["the cat sits", "THE Cat sits", ("a cat", "a dog"), long, ""])
    assert lower.tokens == upper.tokens
    torch.testing.assert_close(torch.tensor(lower.features), torch.tensor(upper.features))
    assert ["THE Cat sits"[start:end].strip() for _, start, end in upper.spans] == ["T", "H", "E", "Cat", "sits"]
    assert {text for text, *_ in pair.spans} == {0, 1}
    assert len(empty.tokens) == 0
    assert len(whole.tokens) == 9


def test_padding_is_needed(folder: Path) -> None:
    tower = open_tower(str(folder))
    tower.tokenizer.pad_token = None
    with pytest.raises(PolysenseError, match="its tokenizer has no padding token"):
        SiglipTower(tower.model, tower.tokenizer, "x")


# SigLIP 1's tokenizer


@pytest.fixture(scope="module", params=["nmt_nfkc", "identity"])
def siglip1(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SigLIP with a SentencePiece model of its own, trained here."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="SigLIP 1's tokenizer needs sentencepiece")
    pytest.importorskip("google.protobuf", reason="SigLIP 1's tokenizer needs protobuf")
    folder = tmp_path_factory.mktemp("siglip1")
    save_siglip(folder, "siglip", vocab_size=200, pad_token_id=1)
    for file in (*folder.glob("tokenizer*"), *folder.glob("special_tokens*")):
        file.unlink()
    corpus = folder / "corpus.txt"
    extra = "café naïve über 3d tv can't e.g. straße"
    corpus.write_text("\n".join(f"{text} {extra}" for text in support.sentences(300, 8)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "spiece"),
        vocab_size=70,
        hard_vocab_limit=False,
        model_type="unigram",
        normalization_rule_name=request.param,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    from transformers import SiglipTokenizer

    SiglipTokenizer(str(folder / "spiece.model"), model_max_length=CONTEXT).save_pretrained(folder)
    return folder


ODD_TEXTS = ["", "   ", "...", "▁", "▁▁ cat", "a ▁ b", "The Café, naïve.\u3000Über", "don't  do\tthat\n", "x\u200bcat"]
ODD_TEXTS += [
    "( cat )",
    "cat - dog",
    "x\x1ccat",
    "😀 cat 😀😀",
    "\u200b",
    "cat\x85",
    "1,000.5",
    "_cat_",
    "“quoted” a…b",
]


def test_ids_are_those_of_the_slow_tokenizer(siglip1: Path) -> None:
    from transformers import SiglipTokenizer

    slow, fast = SiglipTokenizer.from_pretrained(siglip1), siglip_tokenizer.load_siglip_tokenizer(str(siglip1))
    assert fast.is_fast and not slow.is_fast
    letters = "abcdeotny ▁.,-'!ÀéßΣ\t\n\u00a0\u200b\u3000ﬁ①😀…日½\x1c\u2028"
    draw = random.Random(0)
    texts = ODD_TEXTS + ["".join(draw.choices(letters, k=draw.randint(1, 20))) for _ in range(500)]
    for text in texts:
        assert fast(text)["input_ids"] == slow(text)["input_ids"], text
    assert fast("a cat", "the dog")["input_ids"] == slow("a cat", "the dog")["input_ids"]
    names = ("pad_token_id", "eos_token_id", "unk_token_id", "model_max_length")
    assert [getattr(fast, name) for name in names] == [getattr(slow, name) for name in names] == [1, 1, 2, CONTEXT]


def test_siglip_1_from_text_to_prototypes(siglip1: Path) -> None:
    tower = open_tower(str(siglip1))
    text = "The banana, (yellow!)"
    (found,) = PrototypeExtractor(tower).extract([text])
    words = [text[start:end].strip(" ,(") for _, start, end in found.spans]
    assert [token.strip("▁") for token in found.tokens] == [word.lower() for word in words]
    assert len(words) == min(4, len(tower.tokenizer(text)["input_ids"]) - 1)


def test_siglip_1_needs_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without sentencepiece the error says what to install."""
    save_siglip(tmp_path, "siglip")
    settings = (tmp_path / "tokenizer_config.json").read_text()
    (tmp_path / "tokenizer_config.json").write_text(settings.replace("Siglip2Tokenizer", "SiglipTokenizer"))
    monkeypatch.setattr(siglip_tokenizer, "NEEDED", {"no_such_module": "sentencepiece", "no_such.child": "protobuf"})
    with pytest.raises(PolysenseError, match=r"SigLIP's tokenizer needs .*: pip install sentencepiece protobuf$"):
        open_tower(str(tmp_path))


@pytest.mark.parametrize("cls", ["GemmaTokenizer", "Siglip2Tokenizer"])
def test_lower_cases_whatever_the_class(tmp_path: Path, cls: str) -> None:
    """SigLIP 2's first repositories name Gemma's tokenizer, which keeps capitals."""
    save_siglip(tmp_path, "siglip")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        settings = json.loads((tmp_path / name).read_text())
        if name == "tokenizer.json":
            settings["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        else:
            settings["tokenizer_class"] = cls
        (tmp_path / name).write_text(json.dumps(settings))
    tokenizer = siglip_tokenizer.load_siglip_tokenizer(str(tmp_path))
    assert tokenizer("The CAT")["input_ids"] == tiny_families.siglip2_tokenizer()("the cat")["input_ids"]
