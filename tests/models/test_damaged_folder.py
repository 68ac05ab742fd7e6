"""A saved model whose files are not as they were written: which one is said, and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from polysense.errors import PolysenseError
from polysense.folder import CHECKSUMS, check_files
from polysense.models import PolysenseForSequenceClassification, PolysenseProcessor
from polysense.models.backbone import load_backbone
from polysense.models.new_backbone import small_encoder_decoder
from polysense.models.processing import PROCESSOR_FILE
from polysense.training import train
from polysense.training.predict import Predictor

pytest_plugins = ("tiny_runs",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    train(folder, **{**tiny, "towers": [tiny["towers"][0].replace("image=", "image=train:")]})
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def test_every_file_is_in_the_list(trained: Path) -> None:
    known = json.loads((trained / CHECKSUMS).read_text())
    assert set(known) == {f.relative_to(trained).as_posix() for f in trained.rglob("*") if f.is_file()} - {CHECKSUMS}
    assert any(name.startswith("towers/image/") for name in known)
    check_files(trained)
    Predictor.load(trained)


def test_a_flipped_bit_or_a_cut_is_found_in_every_file_that_is_read(trained: Path, tmp_path: Path) -> None:
    names = list(json.loads((trained / CHECKSUMS).read_text()))
    told = ("results.json", "training_log.json")
    read = [name for name in names if name not in told and not name.endswith((".html", ".png"))]
    assert len(read) >= 6
    for number, name in enumerate(read):
        for damage in (flip, lambda file: file.write_bytes(file.read_bytes()[:-1]), Path.unlink):
            copy = Path(shutil.copytree(trained, tmp_path / str(number), dirs_exist_ok=True))
            damage(copy / name)
            with pytest.raises(PolysenseError) as caught:
                Predictor.load(copy)
            assert Path(name).name in str(caught.value) and str(copy) in str(caught.value)
            assert "\n" not in str(caught.value)
            shutil.rmtree(copy)


def test_what_nothing_reads_may_change(folder: Path) -> None:
    flip(folder / "results.json")
    Predictor.load(folder)


def test_a_change_that_was_meant(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dropout": 0.5}))
    with pytest.raises(PolysenseError, match=rf"config.json is not as it was written: .*delete {CHECKSUMS} in it"):
        PolysenseForSequenceClassification.from_pretrained(folder)
    (folder / CHECKSUMS).unlink()
    assert PolysenseForSequenceClassification.from_pretrained(folder).config.dropout == 0.5


def test_saving_into_the_folder_again_is_no_damage(folder: Path) -> None:
    model = PolysenseForSequenceClassification.from_pretrained(folder)
    model.config.dropout = 0.4
    model.save_pretrained(folder)
    assert Predictor.load(folder).model.config.dropout == 0.4


@pytest.mark.parametrize("text", ["{", "[]", '{"config.json": 1}', pytest.param("[" * 200_000, id="deep")])
def test_a_damaged_list(folder: Path, text: str) -> None:
    (folder / CHECKSUMS).write_text(text)
    with pytest.raises(PolysenseError, match=f"{CHECKSUMS} is damaged: copy the folder again"):
        PolysenseProcessor.from_pretrained(folder)


@pytest.mark.parametrize("name", ["a\\u0000b", "a\\ud800b", "circle"])
def test_a_list_with_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / CHECKSUMS).write_text(f'{{"{name}": "0"}}')
    with pytest.raises(PolysenseError, match="is missing: copy the folder again"):
        check_files(tmp_path)


def test_a_list_does_not_lead_out_of_the_folder(folder: Path) -> None:
    outside = folder.parent / "secret"
    outside.write_text("x")
    known = json.loads((folder / CHECKSUMS).read_text())
    (folder / CHECKSUMS).write_text(json.dumps({**known, "../secret": "0", str(outside): "0"}))
    Predictor.load(folder)


def test_a_tower_of_its_own_lies_in_the_folder(folder: Path) -> None:
    (folder / CHECKSUMS).unlink()
    settings = json.loads((folder / PROCESSOR_FILE).read_text())
    place = settings["towers"]["image"]["spec"]
    (folder / "towers").rename(folder.parent / "elsewhere")
    for other in (
        f"../elsewhere/{place.rpartition('/')[2]}",
        str(folder.parent / "elsewhere" / "image"),
        str(folder.parent / "elsewhere" / place),
    ):
        settings["towers"]["image"]["spec"] = other
        (folder / PROCESSOR_FILE).write_text(json.dumps(settings))
        with pytest.raises(PolysenseError, match=f"{PROCESSOR_FILE}: .* is no tower of its own for 'image'"):
            PolysenseProcessor.from_pretrained(folder)


@pytest.mark.parametrize("linked", ["towers", "towers/image"])
def test_a_tower_of_its_own_is_no_link_to_elsewhere(folder: Path, linked: str) -> None:
    (folder / CHECKSUMS).unlink()
    (folder / linked).rename(folder.parent / "elsewhere")
    (folder / linked).symlink_to(folder.parent / "elsewhere")
    with pytest.raises(PolysenseError, match=f"{PROCESSOR_FILE}: .* is no tower of its own for 'image'"):
        PolysenseProcessor.from_pretrained(folder)
    (folder / linked).unlink()
    (folder.parent / "elsewhere").rename(folder / "inside")
    (folder / linked).symlink_to("inside" if linked == "towers" else "../inside")
    PolysenseProcessor.from_pretrained(folder)


def of_tower(**values: Any) -> dict[str, Any]:
    tower = {"spec": "image", "fingerprint": "", "reading": {}, **values}
    return {"max_length": 8, "towers": {"image": tower}}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param("[" * 200_000, "no readable", id="deep"),
        ('{"max_length": 1e999, "towers": {}}', "max_length is inf"),
        ({"max_length": -1, "towers": {}}, "max_length is -1"),
        ({"max_length": 10**30, "towers": {}}, "max_length is 10"),
        (of_tower(spec=5), "no readable"),
        (of_tower(spec="pictures:a\0b"), "names nothing"),
        (of_tower(spec="pictures:a\ud800b"), "no readable"),
        (of_tower(fingerprint=["x"]), "no readable"),
        (of_tower(spec="a" * 5000), "no such folder"),
        pytest.param(of_tower(spec="bf16:" * 5000 + "image"), "write bf16: once", id="bf16"),
    ],
)
def test_settings_that_cannot_be(settings: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / PROCESSOR_FILE).write_text(settings if isinstance(settings, str) else json.dumps(settings))
    with pytest.raises(PolysenseError, match=reason) as caught:
        PolysenseProcessor.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no/such", "x" * 5000, "a\0b"])
def test_what_is_no_folder_has_no_checksums(name: str) -> None:
    check_files(Path(name))


def test_a_backbone_of_ours_is_checked(tmp_path: Path, rows_file: Path) -> None:
    small_encoder_decoder(
        tmp_path / "t5", rows_file.read_text().splitlines(), vocabulary=300, width=16, layers=1, heads=2
    )
    load_backbone(str(tmp_path / "t5"))
    flip(tmp_path / "t5" / "model.safetensors")
    with pytest.raises(PolysenseError, match=r"t5/model\.safetensors is not as it was written"):
        load_backbone(str(tmp_path / "t5"))
