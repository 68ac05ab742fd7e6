"""Specs of towers, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
from transformers import AutoModel, BertConfig, PreTrainedConfig, T5Config, XLNetConfig

import support
from polysense.errors import PolysenseError
from polysense.towers.encoder import ClipTower, EncoderTower
from polysense.towers.registry import open_tower, parse_towers


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_HUB_OFFLINE=1: a hub that cannot be reached, without the wait."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_parse_towers() -> None:
    assert parse_towers(["image", "audio=noise", "video=/a=b"]) == {"image": "image", "audio": "noise", "video": "/a=b"}
    assert parse_towers([]) == {}


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["smell=noise"], "--tower smell=noise: write MODALITY=TOWER, MODALITY one of image, audio, video"),
        (["text=noise"], "write MODALITY=TOWER"),
        (["noise"], "write MODALITY=TOWER"),
        (["audio"], "write MODALITY=TOWER"),
        (["image="], None),
        (["image=noise", "image"], "image already has the tower noise"),
    ],
)
def test_parse_towers_mistakes(assignments: list[str], message: str | None) -> None:
    if message is None:
        assert parse_towers(assignments) == {"image": "image"}
        return
    with pytest.raises(PolysenseError, match=message):
        parse_towers(assignments)


def test_open_by_spec(bert_folder: Path, clip_folder: Path) -> None:
    clip, bert = open_tower(str(clip_folder)), open_tower(f"encoder:{bert_folder}")
    assert type(clip) is ClipTower
    assert type(bert) is EncoderTower
    assert (clip.spec, bert.spec) == (str(clip_folder), f"encoder:{bert_folder}")
    assert (clip.max_length, bert.max_length) == (24, 32)
    assert (clip.width, bert.width) == (12, 16)


def test_plain_encoder_is_no_clip(bert_folder: Path) -> None:
    message = f"a bert model is not supported as a contrastive tower; write encoder:{bert_folder}"
    with pytest.raises(PolysenseError, match=message):
        open_tower(str(bert_folder))


@pytest.mark.parametrize("prefix", ["", "encoder:"])
@pytest.mark.parametrize("content", ["empty", "configuration alone", "damaged configuration", "damaged weights"])
def test_folder_that_holds_no_model(tmp_path: Path, prefix: str, content: str) -> None:
    if content == "damaged weights":
        save = support.save_bert if prefix else support.save_clip
        (save(tmp_path) / "model.safetensors").write_bytes(b"no weights at all")
    elif content == "configuration alone":
        BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2).save_pretrained(tmp_path)
    elif content == "damaged configuration":
        (tmp_path / "config.json").write_text("{")
    with pytest.raises(PolysenseError) as caught:
        open_tower(f"{prefix}{tmp_path}")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["no/such-model", "encoder:no/such-model", "/no/such/folder"])
@pytest.mark.usefixtures("no_hub")
def test_hub_without_the_model(spec: str) -> None:
    with pytest.raises(
        PolysenseError, match=f"^tower {spec.removeprefix('encoder:')}: no such folder, and .* cannot be reached; give"
    ):
        open_tower(spec)


@pytest.mark.parametrize(
    "config", [XLNetConfig(d_model=16, n_layer=1, n_head=2, d_inner=16), T5Config(d_model=16, d_kv=8)]
)
def test_encoder_without_attention_to_rank_by(tmp_path: Path, config: PreTrainedConfig) -> None:
    """Said when the tower is opened, not when the first batch fails."""
    config.vocab_size, config.num_layers = 60, 1
    AutoModel.from_config(config).save_pretrained(tmp_path)
    support.bert_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(PolysenseError, match=f"a {config.model_type} model does not show its attention"):
        open_tower(f"encoder:{tmp_path}")
