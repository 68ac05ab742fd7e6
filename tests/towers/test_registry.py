"""Specs of towers, and what is said about wrong ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    PreTrainedConfig,
    T5Config,
    XLNetConfig,
)

import support
import tiny_families
from polysense.errors import PolysenseError
from polysense.modality import MODALITIES
from polysense.models.processing import PolysenseProcessor
from polysense.towers import registry
from polysense.towers.clip import ClipTower
from polysense.towers.encoder import EncoderTower
from polysense.towers.registry import FAMILIES, SHIPPED, open_tower, parse_towers
from tiny_runs import Cli

pytest_plugins = ("tiny_runs",)

SAVE = {
    "clip": tiny_families.save_whole_clip,
    "siglip": lambda folder: tiny_families.save_siglip(folder, "siglip"),
    "siglip2": tiny_families.save_siglip,
    "clap": tiny_families.save_clap,
    "xclip": tiny_families.save_xclip,
}
"""What writes a tiny model of each family."""


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_HUB_OFFLINE=1: a hub that cannot be reached, without the wait."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module", params=[family.name for family in FAMILIES])
def family_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each family."""
    return SAVE[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
def image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else ships."""
    monkeypatch.setattr(registry, "SHIPPED", ("image",))


def test_shipped_towers() -> None:
    assert "image" in SHIPPED
    for name in SHIPPED:
        tower = open_tower(name)
        assert (tower.spec, name in MODALITIES) == (name, True)


@pytest.mark.usefixtures("image_alone")
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
@pytest.mark.usefixtures("image_alone")
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


def test_bf16(family_folder: Path) -> None:
    """Half the bits: nearly the same features, another fingerprint, and a spec that says so."""
    for spec in (str(family_folder), f"raw:{family_folder}"):
        whole, half = open_tower(spec), open_tower(f"bf16:{spec}")
        assert half.spec == f"bf16:{spec}"
        assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
        assert half.fingerprint() != whole.fingerprint()
        assert half.fingerprint() == open_tower(half.spec).fingerprint()
        tokens = tiny_families.random_tokens(whole.tokenizer)
        outputs = [tower.encode(tokens) for tower in (whole, half)]
        similarity = torch.cosine_similarity(outputs[0].states, outputs[1].states.float(), dim=1)
        assert similarity.mean() > 0.97
        assert not torch.equal(outputs[0].states, outputs[1].states.float())
        assert (outputs[0].saliency - outputs[1].saliency.float()).abs().mean() < 0.02


def test_bf16_of_an_encoder(bert_folder: Path) -> None:
    tower = open_tower(f"bf16:encoder:{bert_folder}")
    assert tower.spec == f"bf16:encoder:{bert_folder}"
    assert {parameter.dtype for parameter in tower.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("spec", ["noise", "image"])
def test_bf16_is_for_models(spec: str) -> None:
    with pytest.raises(PolysenseError, match=f"^tower bf16:{spec}: only encoders and models of a hub"):
        open_tower(f"bf16:{spec}")


def test_weight_that_is_missing(family_folder: Path, tmp_path: Path) -> None:
    """transformers would fill it with random numbers. What only the projection needs may be missing for raw:."""
    shutil.copytree(family_folder, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    last = "text_projection" if any("text_projection" in name for name in weights) else "text_model.head"
    for part in (last, "text_model.encoder"):
        weights = {name: value for name, value in weights.items() if not name.startswith(part)}
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(PolysenseError, match=f"{tmp_path}: its weights hold no whole text tower: .* is missing"):
            open_tower(str(tmp_path))
        if part == last:
            assert open_tower(f"raw:{tmp_path}").width == 16
    with pytest.raises(PolysenseError, match="is missing"):
        open_tower(f"raw:{tmp_path}")


def test_damaged_weights(family_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(family_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes((family_folder / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(PolysenseError, match=f"^tower {tmp_path}: the folder holds no model that can be loaded: .*"):
        open_tower(str(tmp_path))


@pytest.mark.parametrize("prefix", ["", "raw:", "encoder:", "bf16:"])
@pytest.mark.parametrize("name", ["ViT-B-32.pt", "model.safetensors", "clip.bin"])
def test_checkpoint_of_its_own_format(tmp_path: Path, prefix: str, name: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    for source in (tmp_path / name, tmp_path):
        message = f"^tower {source}: .*convert it once with polysense towers convert {source} --to FOLDER, and give"
        with pytest.raises(PolysenseError, match=message):
            open_tower(f"{prefix}{source}")


def test_another_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no tower")
    with pytest.raises(PolysenseError, match="this is a file; a tower is a folder, a hub id or a name"):
        open_tower(str(tmp_path / "notes.txt"))


def test_from_training_to_prediction(
    family_folder: Path, tmp_path: Path, rows_file: Path, bert_folder: Path, cli: Cli
) -> None:
    """A saved model finds its tower again, prefixes and all, and predicts what it predicted."""
    spec = f"bf16:raw:{family_folder}" if family_folder.name.startswith("clap") else str(family_folder)
    model, texts = tmp_path / "model", ["the cat sits", "a banana is yellow"]
    flags = f"--train-file {rows_file} --backbone {bert_folder} --batch-size 8 --epochs 1 --json".split()
    assert cli("train", *flags, "--tower", f"audio={spec}", "--output-dir", model).json["modalities"] == [
        "text",
        "audio",
    ]
    processor = PolysenseProcessor.from_pretrained(model)
    assert processor.extractors["audio"].tower.spec == spec
    with torch.no_grad():
        logits = AutoModelForSequenceClassification.from_pretrained(model)(**processor(texts)).logits
    predicted = cli("predict", model, "--text", texts[0], "--text", texts[1], "--json").json["predictions"]
    for row, probabilities in zip(predicted, logits.softmax(dim=-1).tolist(), strict=True):
        assert [*row["probabilities"].values()] == pytest.approx(probabilities, abs=1e-4)
