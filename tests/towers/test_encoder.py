"""CLIP-like towers and unaligned encoders: pooling, freezing, lengths, fingerprints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    CLIPTextModelWithProjection,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
)

import support
from polysense.errors import PolysenseError
from polysense.towers.clip import ClipTower
from polysense.towers.encoder import EncoderTower
from polysense.towers.packed_encoder import load_encoder, usable_length
from polysense.towers.packing import PackedTokens
from polysense.towers.registry import open_tower
from polysense.towers.saliency import PackedAttention
from polysense.towers.tower import SaliencyLayers, Tower

TEXTS = ["cat", "the cat sits on a banana", "a banana is yellow!", "a b c d e f g h"]


@pytest.fixture(scope="module", params=["bert", "clip"])
def tower(request: pytest.FixtureRequest, bert_folder: Path, clip_folder: Path) -> Tower:
    return open_tower({"bert": f"encoder:{bert_folder}", "clip": str(clip_folder)}[request.param])


@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"])
@pytest.mark.parametrize("legacy", [False, True], ids=["", "end id 2"])
def test_clip_pools_the_first_end_token(tmp_path: Path, pad: str, legacy: bool) -> None:
    """As transformers' text_embeds do; what follows the first end is padding, even if the mask calls it real."""
    folder = support.save_clip(tmp_path, pad=pad, **({"eos_token_id": 2} if legacy else {}))
    tower = open_tower(str(folder))
    assert isinstance(tower, ClipTower)
    batch = tower.tokenizer(TEXTS, padding="max_length", max_length=24, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    end = tower.tokenizer.eos_token_id
    assert ((ids == end).sum(dim=1) > 1).any() == (pad != "!")
    with torch.no_grad():
        expected = CLIPTextModelWithProjection.from_pretrained(folder)(input_ids=ids, attention_mask=mask).text_embeds
    tokens = support.packed(tower, TEXTS)
    output = tower.encode(tokens)
    torch.testing.assert_close(output.pooled, expected, **support.CLOSE)
    for b, row in enumerate(ids.tolist()):
        torch.testing.assert_close(output.pooled[b], output.states[tokens.starts[b] + row.index(end)])

    padded = PackedTokens.pack(ids.tolist())
    careless = tower.encode(padded)
    torch.testing.assert_close(careless.pooled, output.pooled, **support.CLOSE)
    torch.testing.assert_close(padded.pad(careless.saliency)[mask.bool()], output.saliency, **support.CLOSE)
    assert torch.equal(padded.pad(careless.candidates)[mask.bool()], output.candidates)
    assert not padded.pad(careless.candidates)[~mask.bool()].any()


def test_clip_raw_states(clip_folder: Path) -> None:
    """Not projected: the width of the model, and projecting them gives the projected ones."""
    projected = open_tower(str(clip_folder))
    assert isinstance(projected, ClipTower)
    raw = ClipTower(projected.model, projected.tokenizer, "raw", projected=False)
    assert (raw.width, projected.width) == (16, 12)
    tokens = support.packed(projected, TEXTS[1:])
    states, expected = (t.encode(tokens).states for t in (raw, projected))
    torch.testing.assert_close(projected.model.text_projection(states), expected, **support.CLOSE)


@pytest.mark.parametrize("layers", ["last", "all"])
def test_encoders_that_number_positions_themselves(tmp_path: Path, layers: SaliencyLayers) -> None:
    """DistilBERT takes no position ids: sequences pass length by length, and give what each gives alone."""
    tokenizer = support.bert_tokenizer()
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=16,
        n_layers=2,
        n_heads=2,
        hidden_dim=24,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    model = DistilBertModel(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    tower = open_tower(f"encoder:{tmp_path}")
    tokens = support.packed(tower, [*TEXTS, "cat", "a dog sits on a banana"])
    output = tower.encode(tokens, layers)
    model.set_attn_implementation("eager")
    sequences = tokens.input_ids.split(tokens.lengths)
    rows = zip(sequences, output.states.split(tokens.lengths), output.saliency.split(tokens.lengths), strict=True)
    for ids, states, saliency in rows:
        with torch.no_grad():
            alone = model(input_ids=ids[None], output_attentions=True)
        torch.testing.assert_close(states, alone.last_hidden_state[0], **support.CLOSE)
        maps = [attention[0, :, 0].mean(dim=0) for attention in alone.attentions]
        expected = maps[-1] if layers == "last" else sum(maps) / len(maps)
        torch.testing.assert_close(saliency, expected, **support.CLOSE)


def test_a_model_whose_attention_is_more_than_ours_is_refused(
    bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of models that add a bias to their scores: packed states would differ from the model's own."""
    attend = PackedAttention.attend
    monkeypatch.setattr(PackedAttention, "attend", lambda *arguments: attend(*arguments) + 0.1)
    with pytest.raises(PolysenseError, match="a bert model reads packed texts in another way"):
        open_tower(f"encoder:{bert_folder}")


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_encoder_pooling(bert_folder: Path, pooling: str) -> None:
    opened = open_tower(f"encoder:{bert_folder}")
    assert isinstance(opened, EncoderTower)
    tower = EncoderTower(opened.model, opened.tokenizer, "", pooling=pooling)
    tokens = support.packed(tower, TEXTS)
    output = tower.encode(tokens)
    for b, rows in enumerate(output.states.split(tokens.lengths)):
        expected = rows[0] if pooling == "first" else sum(rows) / len(rows)
        torch.testing.assert_close(output.pooled[b], expected, **support.CLOSE)


def test_towers_stay_frozen(tower: Tower) -> None:
    tokens = support.packed(tower, ["the cat sits"])
    before = tower.encode(tokens)
    assert tower.train() is tower
    # A parent's train() reaches it too.
    torch.nn.ModuleList([tower]).train()
    assert not any(module.training for module in tower.modules())
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    after = tower.encode(tokens)
    for name in ("states", "saliency", "pooled"):
        value = getattr(after, name)
        assert not value.requires_grad
        assert torch.equal(value, getattr(before, name))


def test_unknown_words_are_candidates(bert_folder: Path) -> None:
    """The unknown token stands for a word; a mask or padding token does not."""
    tower = open_tower(f"encoder:{bert_folder}")
    ids = torch.tensor([tower.tokenizer("cat ☃ [MASK] dog")["input_ids"]])
    assert tower.tokenizer.convert_ids_to_tokens(ids[0].tolist())[2] == "[UNK]"
    assert tower.candidates(ids).tolist() == [[False, True, True, False, True, False]]


def test_fingerprint_is_of_weights_and_tokenizer(tmp_path: Path) -> None:
    first, again, other = (support.save_bert(tmp_path / str(i), seed=seed) for i, seed in enumerate((0, 0, 1)))
    prints = [open_tower(f"encoder:{folder}").fingerprint() for folder in (first, again, other)]
    assert prints[0] == prints[1] != prints[2]
    tower = open_tower(f"encoder:{first}")
    tower.encode(PackedTokens.pack([[2, 6, 3]]))
    assert tower.fingerprint() == prints[0]
    # Tokenizers remember how they last cut and padded.
    tower.tokenizer(["cat", "cat " * 50], truncation=True, max_length=10, padding=True)
    assert tower.fingerprint() == prints[0]
    tower.tokenizer.add_tokens(["parrot"])
    assert tower.fingerprint() != prints[0]


@pytest.mark.parametrize(
    ("name", "value"), [("hidden_act", "gelu"), ("num_attention_heads", 2), ("layer_norm_eps", 0.1)]
)
def test_fingerprint_is_of_the_configuration_too(tmp_path: Path, name: str, value: object) -> None:
    """The same weights under another activation, number of heads, ... are another tower."""
    folder = support.save_clip(tmp_path)
    before = open_tower(str(folder)).fingerprint()
    config = json.loads((folder / "config.json").read_text())
    assert config[name] != value
    (folder / "config.json").write_text(json.dumps(config | {name: value}))
    assert open_tower(str(folder)).fingerprint() != before


def test_longest_sequence(tmp_path: Path, bert_folder: Path) -> None:
    """RoBERTa numbers positions from its padding id + 1 on; a tokenizer may allow less than the model."""
    config = RobertaConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=20,
        pad_token_id=1,
    )
    roberta = RobertaModel(config)
    assert usable_length(roberta, support.bert_tokenizer(512)) == 18
    roberta(input_ids=torch.full((1, 18), 5))
    with pytest.raises((IndexError, RuntimeError)):
        roberta(input_ids=torch.full((1, 19), 5))
    bert = AutoModel.from_pretrained(bert_folder)
    assert usable_length(bert, support.bert_tokenizer(10)) == 10
    assert usable_length(bert, support.bert_tokenizer(10**30)) == 32


def test_weights_are_read_as_float32(tmp_path: Path, clip_folder: Path) -> None:
    CLIPTextModelWithProjection.from_pretrained(clip_folder, dtype=torch.float16).save_pretrained(tmp_path)
    assert {p.dtype for p in load_encoder(str(tmp_path)).parameters()} == {torch.float32}
