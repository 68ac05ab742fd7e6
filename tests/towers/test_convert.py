"""From a checkpoint's file to a folder that is a tower at once, whole or not at all."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import fake_checkpoints as fake
import support
from polysense.errors import PolysenseError
from polysense.towers import convert as module
from polysense.towers.clip import ClipTower
from polysense.towers.convert import convert
from polysense.towers.registry import open_tower

TEXTS = ["a photo of a cat", "two dogs run on the beach, barking loudly", "", "A B C"]


@pytest.fixture(autouse=True)
def bpe() -> None:
    if importlib.util.find_spec("open_clip") is None:
        pytest.skip("no bpe_simple_vocab_16e6.txt.gz: open-clip-torch is not installed")


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("family", "modality", "save"),
    [
        ("openai-clip", "image", fake.save_openai),
        ("audioclip", "audio", fake.save_audioclip),
        ("clip-vip", "video", fake.save_clip_vip),
    ],
)
def test_tower(tmp_path: Path, family: str, modality: str, save: Callable[[Path, fake.State], Path]) -> None:
    """Converted, opened and asked, a tower gives what the original network gives for the same words."""
    sizes = fake.Sizes()
    text = (fake.clip_vip_text if family == "clip-vip" else fake.original_text)(sizes)
    file, folder = save(tmp_path / "model.pt", text), tmp_path / "towers" / "mine"
    assert convert(file, folder) == {
        "source": str(file),
        "output": str(folder),
        "family": family,
        "modality": modality,
        "layers": 2,
        "width": 64,
        "heads": 1,
        "feed_forward": 96,
        "context": 77,
        "vocabulary": 49_408,
        "projection": 40,
        "parameters": sum(v.numel() for v in text.values() if v.is_floating_point()),
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["polysense_tower"] == {"family": family, "modality": modality}
    assert (config["model_type"], config["hidden_act"], config["dtype"]) == ("clip_text_model", "quick_gelu", "float32")
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (49_406, 49_407, 49_407)
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float32}
    assert list((tmp_path / "towers").iterdir()) == [folder]

    tower = open_tower(str(folder))
    assert isinstance(tower, ClipTower)
    assert (tower.width, tower.max_length) == (40, 77)
    tokens = support.packed(tower, TEXTS)
    output = tower.encode(tokens)
    if family == "openai-clip":
        text = {key: value.half().float() for key, value in text.items()}
    forward = fake.clip_vip_forward if family == "clip-vip" else fake.original_forward
    ids = torch.zeros(len(TEXTS), 77, dtype=torch.long)
    for row, words in enumerate(tower.tokenizer(TEXTS).input_ids):
        ids[row, : len(words)] = torch.tensor(words)
    states, pooled = forward(text, ids)
    torch.testing.assert_close(output.pooled, pooled, **support.CLOSE)
    torch.testing.assert_close(output.states, states[ids > 0], **support.CLOSE)


def test_a_flipped_bit_of_a_converted_tower_is_found(tmp_path: Path) -> None:
    convert(fake.save_openai(tmp_path / "model.pt", fake.original_text(fake.Sizes())), tmp_path / "tower")
    content = bytearray((tmp_path / "tower" / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "tower" / "model.safetensors").write_bytes(content)
    with pytest.raises(PolysenseError, match=r"tower/model\.safetensors is not as it was written"):
        open_tower(str(tmp_path / "tower"))


def test_from_a_folder_with_a_named_family(tmp_path: Path) -> None:
    (tmp_path / "download").mkdir()
    torch.save(fake.original_text(fake.Sizes(layers=1)), tmp_path / "download" / "text.pt")
    report = convert(str(tmp_path / "download"), str(tmp_path / "tower"), family="audioclip")
    assert (report["family"], report["modality"]) == ("audioclip", "audio")
    assert report["source"] == str(tmp_path / "download" / "text.pt")


def test_context_of_the_tokenizer(tmp_path: Path) -> None:
    file = fake.save_audioclip(tmp_path / "a.pt", fake.original_text(fake.Sizes(layers=1, context=20)))
    convert(file, tmp_path / "tower")
    tower = open_tower(str(tmp_path / "tower"))
    assert (tower.max_length, tower.tokenizer.model_max_length) == (20, 20)


def test_overwrite(tmp_path: Path) -> None:
    """Only a converted tower is ever replaced, and only when that is asked for."""
    first = fake.save_audioclip(tmp_path / "a.pt", fake.original_text(fake.Sizes(layers=1)))
    second = fake.save_clip_vip(tmp_path / "v.pt", fake.clip_vip_text(fake.Sizes(layers=1)))
    folder = tmp_path / "tower"
    convert(first, folder)
    before = files(folder)
    with pytest.raises(PolysenseError, match=f"^{folder} already holds a result: .*overwrite"):
        convert(second, folder)
    assert files(folder) == before
    convert(second, folder, overwrite=True)
    assert json.loads((folder / "config.json").read_text())["polysense_tower"]["family"] == "clip-vip"


@pytest.mark.parametrize("overwrite", [False, True])
def test_folders_of_others(tmp_path: Path, overwrite: bool) -> None:
    file = fake.save_audioclip(tmp_path / "a.pt", fake.original_text(fake.TINY))
    other = support.save_clip(tmp_path / "other")
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "diary.txt").write_text("dear diary")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    for folder in (other, notes, broken):
        before = files(folder)
        with pytest.raises(PolysenseError, match=f"^{folder} holds "):
            convert(file, folder, overwrite=overwrite)
        assert files(folder) == before
    with pytest.raises(PolysenseError, match=f"^{file} is a file"):
        convert(file, file, overwrite=overwrite)


def test_another_vocabulary(tmp_path: Path) -> None:
    file = fake.save_audioclip(tmp_path / "a.pt", fake.original_text(fake.TINY))
    with pytest.raises(PolysenseError, match=f"^{file}: its vocabulary has 50 tokens, OpenAI's tokenizer 49,408;"):
        convert(file, tmp_path / "tower")
    assert not (tmp_path / "tower").exists()


def test_wrong_file_of_byte_pairs(tmp_path: Path) -> None:
    file = fake.save_audioclip(tmp_path / "a.pt", fake.original_text(fake.Sizes(layers=1)))
    with pytest.raises(PolysenseError, match="is not OpenAI's bpe_simple_vocab"):
        convert(file, tmp_path / "tower", bpe=file)
    assert not (tmp_path / "tower").exists()


def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing fails halfway, the tower that was there is there still."""
    file = fake.save_audioclip(tmp_path / "a.pt", fake.original_text(fake.Sizes(layers=1)))
    folder = tmp_path / "tower"
    convert(file, folder)
    before = files(folder)

    class Tokenizer:
        def save_pretrained(self, folder: Path) -> None:
            assert (folder / "model.safetensors").exists()
            raise OSError("no space left on device")

    monkeypatch.setattr(module, "clip_tokenizer", lambda bpe, context: Tokenizer())
    with pytest.raises(OSError, match="no space left"):
        convert(file, folder, overwrite=True)
    assert files(folder) == before
    with pytest.raises(OSError, match="no space left"):
        convert(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()
