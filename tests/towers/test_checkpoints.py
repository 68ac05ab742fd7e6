"""Reading checkpoints: which family a file is of, its sizes, what is kept, and what is said about wrong files."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection

import fake_checkpoints as fake
from polysense.errors import PolysenseError
from polysense.modality import MODALITIES
from polysense.towers.checkpoints import CHECKPOINT_FAMILIES, TextCheckpoint, read_checkpoint


def refused(source: Path, *parts: str, family: str | None = None) -> None:
    """`source` is not read, and the one line that is said holds its name and `parts`."""
    with pytest.raises(PolysenseError) as caught:
        read_checkpoint(source, family)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300
    for part in (str(source), *parts):
        assert part in message


def same_weights(checkpoint: TextCheckpoint, text: fake.State) -> None:
    """All tensors arrived, each as it was: their sums of squares agree, in the order of size."""
    assert all(value.dtype == torch.float32 and value.is_contiguous() for value in checkpoint.weights.values())
    got = sum(value.double().square().sum() for value in checkpoint.weights.values())
    expected = sum(value.double().square().sum() for value in text.values() if value.is_floating_point())
    torch.testing.assert_close(got, expected)


def test_families() -> None:
    assert [family.modality for family in CHECKPOINT_FAMILIES.values()] == list(MODALITIES)


@pytest.mark.parametrize(
    ("family", "save"),
    [("openai-clip", fake.save_openai), ("audioclip", fake.save_audioclip), ("clip-vip", fake.save_clip_vip)],
)
def test_told_from_the_file(tmp_path: Path, family: str, save: Callable[[Path, fake.State], Path]) -> None:
    sizes = fake.Sizes(width=128, layers=3, feed_forward=72, context=20, vocabulary=60, projection=24)
    text = fake.clip_vip_text(sizes) if family == "clip-vip" else fake.original_text(sizes)
    checkpoint = read_checkpoint(save(tmp_path / "any name.pt", text))
    assert (checkpoint.family, checkpoint.modality) == (family, CHECKPOINT_FAMILIES[family].modality)
    config = checkpoint.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (128, 3, 2)
    assert (config.intermediate_size, config.max_position_embeddings) == (72, 20)
    assert (config.vocab_size, config.projection_dim) == (60, 24)
    assert (config.hidden_act, config.layer_norm_eps) == ("quick_gelu", 1e-5)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (58, 59, 59)
    kept = {key: value.half() if family == "openai-clip" else value for key, value in text.items()}
    same_weights(checkpoint, {key: value for key, value in kept.items() if "position_ids" not in key})


def test_layers_are_counted_as_numbers(tmp_path: Path) -> None:
    """Ten comes after nine, not after one."""
    file = fake.save_audioclip(tmp_path / "a.pt", fake.original_text(fake.Sizes(64, 12, 8, 9, 30, 5)))
    assert read_checkpoint(file).config.num_hidden_layers == 12


def test_model(tmp_path: Path) -> None:
    model = read_checkpoint(fake.save_clip_vip(tmp_path / "v.pt", fake.clip_vip_text(fake.TINY))).model()
    assert isinstance(model, CLIPTextModelWithProjection)
    assert not model.training
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_other_formats(tmp_path: Path) -> None:
    """The old format of torch.save, and safetensors, hold the same tower."""
    text = fake.original_text(fake.TINY)
    beside = {"visual.proj": torch.randn(3, 4), "audio.conv1.weight": torch.randn(4)}
    torch.save(text | beside, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(text | beside, tmp_path / "new.safetensors")
    expected = read_checkpoint(fake.save_audioclip(tmp_path / "a.pt", text))
    for name in ("old.pth", "new.safetensors"):
        checkpoint = read_checkpoint(tmp_path / name)
        assert checkpoint.family == "audioclip"
        for key, value in expected.weights.items():
            assert torch.equal(checkpoint.weights[key], value)


def test_weights_do_not_depend_on_the_file(tmp_path: Path) -> None:
    """Files are mapped into memory; one that is written anew changes nothing that was read before."""
    file = fake.save_audioclip(tmp_path / "a.pt", fake.original_text(fake.TINY))
    checkpoint = read_checkpoint(file)
    before = {key: value.clone() for key, value in checkpoint.weights.items()}
    file.write_bytes(bytes(file.stat().st_size))
    assert all(torch.equal(checkpoint.weights[key], value) for key, value in before.items())


def test_folder(tmp_path: Path) -> None:
    text = fake.original_text(fake.TINY)
    refused(tmp_path, "holds no .pt, .pth", "give the checkpoint's file itself")
    (tmp_path / "README.md").write_text("a model")
    (tmp_path / "more.pt").mkdir()
    file = fake.save_audioclip(tmp_path / "AudioCLIP.pt", text)
    assert read_checkpoint(tmp_path).file == file
    fake.save_openai(tmp_path / "ViT.pt", text, archive=False)
    refused(tmp_path, "holds AudioCLIP.pt, ViT.pt")


def test_named_family(tmp_path: Path) -> None:
    """Without the sounds' tensors AudioCLIP's text tower looks as OpenAI's; the name says what it is."""
    torch.save(fake.original_text(fake.TINY), tmp_path / "text.pt")
    assert read_checkpoint(tmp_path / "text.pt").family == "openai-clip"
    assert read_checkpoint(tmp_path / "text.pt", "audioclip").modality == "audio"
    refused(tmp_path / "text.pt", "named as in openai-clip or audioclip, not as in clip-vip", family="clip-vip")
    with pytest.raises(PolysenseError, match="no family of towers is called 'clap'; known are openai-clip, audioclip"):
        read_checkpoint(tmp_path / "text.pt", "clap")


NO_CHECKPOINT = "neither a TorchScript archive nor a state dict of torch.save nor a safetensors file"


@pytest.mark.parametrize("content", [b"", b"hello", b"a text file\nof two lines\n" * 9, b"PK\x05\x06" + bytes(18)])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_no_checkpoint(tmp_path: Path, suffix: str, content: bytes) -> None:
    file = tmp_path / f"file{suffix}"
    file.write_bytes(content)
    refused(file, NO_CHECKPOINT)


def test_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pictures.pt", "w") as archive:
        archive.writestr("pictures/one.txt", "a picture")
    refused(tmp_path / "pictures.pt", NO_CHECKPOINT)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated(tmp_path: Path, share: float) -> None:
    text = fake.original_text(fake.TINY)
    files = [fake.save_openai(tmp_path / "o.pt", text), fake.save_audioclip(tmp_path / "a.pt", text)]
    save_file(text, tmp_path / "s.safetensors")
    for file in (*files, tmp_path / "s.safetensors"):
        data = file.read_bytes()
        file.write_bytes(data[: int(share * len(data))])
        refused(file, NO_CHECKPOINT, "only a part of one")


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
def test_code_is_not_run(tmp_path: Path, form: str) -> None:
    state = {**fake.original_text(fake.TINY), "config": Evil(tmp_path / "harm")}
    file = tmp_path / "model.pt"
    if form == "pickle":
        file.write_bytes(pickle.dumps(Evil(tmp_path / "harm"), protocol=2))
        refused(file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=form == "zip")
        refused(file, f"it calls '{os.name}.mkdir', which a checkpoint has no need of and which is not read")
    assert not (tmp_path / "harm").exists()


def test_whole_module(tmp_path: Path) -> None:
    """A pickled model is Python code by another name."""
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    refused(tmp_path / "module.pt", "save its state dict alone")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"conv1.weight": torch.ones(2), "layer1.0.bn1.bias": torch.ones(2)}, "; its first tensor is 'conv1.weight'"),
        ({"epoch": 3, "state_dict": {"a": torch.ones(2)}}, "; it holds no tensor at all"),
        ({}, "; it holds no tensor at all"),
    ],
)
def test_another_model(tmp_path: Path, content: dict[str, object], said: str) -> None:
    torch.save(content, tmp_path / "resnet.pt")
    refused(
        tmp_path / "resnet.pt", "no text tower of openai-clip, audioclip, clip-vip", "'token_embedding.weight' is", said
    )


def test_no_state_dict(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "it holds a list, not a state dict")


def test_hugging_face_already(clip_folder: Path) -> None:
    refused(clip_folder, "it has Hugging Face's names already: give the folder of its model as a tower")


def test_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "absent.pt", "no such file or folder")


MIDDLE = "transformer.resblocks.1.attn.in_proj_bias"


def changed(tmp_path: Path, change: Callable[[fake.State], object], vip: bool = False) -> Path:
    text = (fake.clip_vip_text if vip else fake.original_text)(fake.TINY)
    change(text)
    save = fake.save_clip_vip if vip else fake.save_openai
    return save(tmp_path / "model.pt", text)


@pytest.mark.parametrize("key", [MIDDLE, "positional_embedding", "ln_final.bias", "text_projection"])
def test_missing_tensor(tmp_path: Path, key: str) -> None:
    refused(changed(tmp_path, lambda s: s.pop(key)), f"the text tower is not whole: '{key}' is missing")


def test_first_missing_tensor(tmp_path: Path) -> None:
    """Of several, the first in the order of the network is named; a whole layer that is missing shows, too."""
    file = changed(tmp_path, lambda s: [s.pop(key) for key in list(s) if "ln_" in key])
    refused(file, "'transformer.resblocks.0.ln_1.weight' is missing")
    file = changed(tmp_path, lambda s: [s.pop(key) for key in list(s) if ".layers.0." in key], vip=True)
    refused(file, "'clipmodel.text_model.encoder.layers.0.self_attn.q_proj.weight' is missing")


def test_huge_number_of_a_layer(tmp_path: Path) -> None:
    file = changed(tmp_path, lambda s: s.update({"transformer.resblocks.999999.ln_1.weight": torch.ones(2)}))
    refused(file, "'transformer.resblocks.2.attn.in_proj_weight' is missing")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (MIDDLE, torch.zeros(191), f"'{MIDDLE}' is (191,) of torch.float16, not (192,)"),
        (MIDDLE, torch.zeros(192, 1), f"'{MIDDLE}' is (192, 1)"),
        ("ln_final.weight", torch.zeros(()), "'ln_final.weight' is () of"),
        ("transformer.resblocks.1.mlp.c_fc.weight", torch.zeros(97, 64), "is (97, 64) of torch.float16, not (96, 64)"),
        ("positional_embedding", torch.zeros(64), "'positional_embedding' has the shape (64,), which is no matrix"),
        ("text_projection", torch.zeros(63, 40), "'text_projection' is (63, 40) of torch.float16, not (64, 40)"),
        ("token_embedding.weight", torch.zeros(50, 32), "a text tower 32 wide; the attention heads of CLIP are 64"),
        ("token_embedding.weight", torch.zeros(50, 0), "a text tower 0 wide"),
    ],
)
def test_wrong_shape(tmp_path: Path, key: str, value: Tensor, said: str) -> None:
    refused(changed(tmp_path, lambda s: s.update({key: value})), said)


def test_whole_numbers(tmp_path: Path) -> None:
    """Weights of a quantised model are no weights without their scales."""
    key = "clipmodel.text_model.encoder.layers.1.mlp.fc1.weight"
    file = changed(tmp_path, lambda s: s.update({key: torch.zeros(96, 64, dtype=torch.int8)}), vip=True)
    refused(file, f"'{key}' is (96, 64) of torch.int8, not (96, 64) of floating-point numbers")


@pytest.mark.parametrize(
    ("key", "vip"),
    [("transformer.resblocks.0.ls_1.gamma", False), ("clipmodel.text_model.encoder.layers.1.adapter.weight", True)],
)
def test_another_architecture(tmp_path: Path, key: str, vip: bool) -> None:
    """A tensor that the network has no place for would be lost without a word."""
    refused(
        changed(tmp_path, lambda s: s.update({key: torch.ones(64)}), vip), f"'{key}' is no part of CLIP's text tower"
    )
