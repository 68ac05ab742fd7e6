from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.alignment.align import align, alignment_data, load_items, read_captions
from polysense.alignment.kinds import KINDS
from polysense.alignment.manifest import Pair
from polysense.alignment.media import MediaFeatures
from polysense.alignment.sources import SOURCES
from polysense.alignment.training import AlignmentSettings
from polysense.errors import PolysenseError
from polysense.towers.encoder import EncoderTower
from polysense.towers.packed_encoder import load_encoder
from polysense.towers.packing import PackedTokens
from polysense.towers.registry import open_tower
from polysense.towers.tower import load_tokenizer
from tiny_runs import Cli, hashes

pytest_plugins = ("tiny_runs",)
PROMPTS = ("{}", "a photo of a {}", "the color of a {}")
SETTINGS = AlignmentSettings(rank=2, components=4, steps=4, held_out=0.25)
THINGS = ("banana", "cat", "dog", "bird", "mat", "red cat", "yellow bird", "red mat", "dog is yellow", "a cat sits",
          "yellow banana", "the red bird")  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of 12 coloured pictures; their features are read off their colour, without an encoder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = ["caption,file"]
    for i, thing in enumerate(THINGS):
        Image.new("RGB", (6, 6), (20 * i, 255 - 20 * i, (97 * i) % 256)).save(folder / f"{i}.png")
        lines.append(f"{thing},{i}.png")
    (folder / "captions.csv").write_text("\n".join([*lines, "fruit,0.png"]) + "\n")

    def features(files: list[Path], **_: Any) -> MediaFeatures:
        rows = [np.asarray(Image.open(file), dtype=np.float32).mean(axis=(0, 1)) / 255 for file in files]
        colours = np.stack([row / row.sum() for row in rows])
        seen = np.concatenate([colours, np.stack(rows) ** 2], axis=1)
        return MediaFeatures({"seen": seen, "colours": colours}, np.arange(len(files)), ())

    monkeypatch.setitem(KINDS, "image", dataclasses.replace(KINDS["image"], features=features))
    return folder / "captions.csv"


def test_from_pictures_to_a_tower(tmp_path, pictures, bert_folder):
    folder = tmp_path / "tower"
    report = align(folder, [str(pictures)], str(bert_folder), SETTINGS, command="polysense align ...", progress=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pictures", "tower"]
    assert (report["concepts"], report["captions"], report["items"], report["entries"]) == (12, 13, 12, 12)
    assert json.loads((folder / "report.json").read_text()) == report
    tower = open_tower(str(folder))
    assert tower.width == report_width(folder) == 4 + 3
    output = tower.encode(PackedTokens.pack(tower.tokenizer(["a yellow banana"])["input_ids"]))
    assert output.states.shape[-1] == 7 and output.states.isfinite().all()
    assert 0.1 < output.states.square().mean() < 10
    card = (folder / "README.md").read_text()
    for part in (
        "`polysense align ...`",
        "seed 0",
        "| chance |",
        "| aligned |",
        "the user's own",
        "3 concepts",
        "12 pictures",
        "EfficientNet-Lite0",
    ):
        assert part in card, part
    for value in report["retrieval"]["aligned"].values():
        assert f"{100 * value:.1f}" in card


def report_width(folder: Path) -> int:
    return int(json.loads((folder / "aligned_tower.json").read_text())["width"])


def test_a_seed_gives_the_same_bytes(tmp_path, pictures, bert_folder):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        settings = AlignmentSettings(rank=2, components=4, steps=4, held_out=0.25, seed=seed)
        align(tmp_path / name, [str(pictures)], str(bert_folder), settings, progress=False)
    found = {name: hashes(tmp_path / name) for name in "abc"}
    assert found["a"] == found["b"] and len(found["a"]) == 6
    assert all(found["a"][name] != found["c"][name] for name in ("aligned_tower.safetensors", "report.json"))


def test_an_old_tower_is_only_replaced_when_asked_and_by_a_whole_one(tmp_path, pictures, bert_folder, monkeypatch):
    folder = tmp_path / "tower"
    run = [folder, [str(pictures)], str(bert_folder), SETTINGS]
    align(*run, progress=False)
    before = hashes(folder)
    with pytest.raises(PolysenseError, match="--overwrite"):
        align(*run, progress=False)
    for where in ("train_head", "save_file", "tower_card"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"polysense.alignment.align.{where}", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                align(*run, overwrite=True, progress=False)
        assert hashes(folder) == before
        assert open_tower(str(folder)).width == 7
    (folder / "extra").write_text("")
    align(*run, overwrite=True, progress=False)
    assert hashes(folder) == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pictures", "tower"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_foreign_is_replaced(tmp_path, pictures, bert_folder, overwrite):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "letter").write_text("x")
    for name, message in (("file", "is a file"), ("folder", "something else")):
        with pytest.raises(PolysenseError, match=message):
            align(tmp_path / name, [str(pictures)], str(bert_folder), SETTINGS, overwrite=overwrite, progress=False)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "letter").read_text() == "x"


def test_too_few_things_to_contrast(tmp_path, pictures, bert_folder):
    pictures.write_text("caption,file\ncat,0.png\ndog,1.png\n")
    with pytest.raises(PolysenseError, match="name 2 different things"):
        align(tmp_path / "t", [str(pictures)], str(bert_folder), SETTINGS, progress=False)
    pictures.write_text("caption,file\ncat,0.png\ndog,1.png\nbird,2.png\n")
    align(tmp_path / "t", [str(pictures)], str(bert_folder), SETTINGS, progress=False)
    assert all(tensor.isfinite().all() for tensor in open_tower(str(tmp_path / "t")).state_dict().values())


def test_a_trunk_that_is_none(tmp_path, pictures):
    with pytest.raises(PolysenseError, match=r"trunk .*pictures: the folder holds no model"):
        align(tmp_path / "t", [str(pictures)], str(pictures.parent), SETTINGS, progress=False)


def test_a_tower_whose_trunk_is_gone(tmp_path, pictures, bert_folder):
    trunk = tmp_path / "trunk"
    trunk.symlink_to(bert_folder)
    align(tmp_path / "t", [str(pictures)], str(trunk), SETTINGS, progress=False)
    trunk.unlink()
    trunk.mkdir()
    with pytest.raises(PolysenseError, match=r"trunk of the tower .*/t: .*/trunk"):
        open_tower(str(tmp_path / "t"))


@pytest.fixture(scope="module")
def encoder(bert_folder: Path) -> EncoderTower:
    return EncoderTower(load_encoder(str(bert_folder)), load_tokenizer(str(bert_folder)), str(bert_folder))


def test_captions_are_read_alone_and_their_tokens_inside_prompts_too(encoder):
    captions = ["banana", "cat", "a red bird sings"]
    sentences, tokens = read_captions(captions, encoder, PROMPTS, batch_size=2)
    pooled = encoder.encode(PackedTokens.pack(encoder.tokenizer(["cat"])["input_ids"])).pooled
    assert sentences.shape == (3, 16)
    torch.testing.assert_close(sentences[1:2], pooled, rtol=1e-4, atol=1e-5)
    # At most 4 tokens each: alone 1 + 1 + 4, inside both prompts 4 of each.
    assert len(tokens) == 6 + 12 + 12


def test_captions_and_items_are_numbered_by_concept(encoder, tmp_path):
    def pair(source: str, concept: str, *captions: str) -> Pair:
        return Pair(captions, tmp_path / "x.png", concept, source)

    pairs = [
        pair("noto", "banana", "banana", "fruit"),
        pair("stamps", "banana", "a banana"),
        pair("stamps", "dog", "dog", "fruit", "pet"),
        pair("manifest", "bird", "bird", "dog", "fruit"),
    ]
    data = alignment_data(pairs, {"seen": torch.randn(4, 2)}, encoder, PROMPTS)
    # "fruit" stays with the first concept that names it so, and "dog" with the one whose main caption it is.
    assert data.text_concepts.tolist() == [0, 0, 1, 2, 0, 1]
    assert data.main.tolist() == [True, False, True, True, False, False]
    assert data.item_concepts.tolist() == [0, 0, 1, 2]
    assert data.may_ship.tolist() == [True, False, False, True]
    assert not SOURCES["stamps"].ships and SOURCES["noto"].ships


def test_the_modality_says_what_counts(tmp_path, pictures, bert_folder, monkeypatch):
    """The same pictures taken for sounds: other files are looked for, and the card says so."""
    kind = dataclasses.replace(KINDS["audio"], features=KINDS["image"].features, endings=frozenset({".png"}))
    monkeypatch.setitem(KINDS, "audio", kind)
    report = align(tmp_path / "t", [str(pictures)], str(bert_folder), SETTINGS, modality="audio", progress=False)
    assert report["modality"] == "audio"
    card = (tmp_path / "t" / "README.md").read_text()
    assert "# An aligned audio tower" in card and "12 sounds" in card and "aiSFX" in card
    for source, message in (("noto", "is image, not audio"), ("nowhere", "fluid-gm")):
        with pytest.raises(PolysenseError, match=message):
            align(tmp_path / "u", [source], str(bert_folder), SETTINGS, modality="audio", progress=False)
    with pytest.raises(PolysenseError, match=r"modality smell: .* image, audio, video"):
        align(tmp_path / "u", [str(pictures)], str(bert_folder), SETTINGS, modality="smell", progress=False)


def test_without_sources_the_registries_data_that_ships_are_read(tmp_path, pictures, bert_folder, monkeypatch):
    read: list[str] = []

    def stop(source: str, _: str) -> list[Pair]:
        read.append(source)
        return load_items(str(pictures), "image")

    monkeypatch.setattr("polysense.alignment.align.load_items", stop)
    align(tmp_path / "t", None, str(bert_folder), SETTINGS, progress=False)
    assert read == ["noto", "twemoji", "fluent"]


def test_the_command_line(cli: Cli, tmp_path, pictures, bert_folder):
    folder = tmp_path / "[t]"
    arguments = ["align", "--output-dir", folder, "--source", pictures, "--trunk", bert_folder, "--steps", 2,
                 "--rank", 2, "--held-out", 0.25, "--seed", 4]  # fmt: skip
    report = cli(*arguments, "--json").json
    assert report == json.loads((folder / "report.json").read_text())
    assert report["settings"]["seed"] == 4 and report["settings"]["steps"] == 2
    assert report["command"].startswith("polysense align --output-dir ") and report["command"] in (
        (folder / "README.md").read_text()
    )
    assert "add --overwrite" in cli(*arguments).error
    shown = cli(*arguments, "--overwrite")
    assert shown.status == 0 and "Retrieval on held-out concepts" in shown.out
    assert "aligned" in shown.out and "[t]" in shown.out
