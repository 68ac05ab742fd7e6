"""Zero-shot classification with a tower whose memory holds the very items."""

from __future__ import annotations

import dataclasses
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file

from polysense.alignment import kinds
from polysense.alignment.align import align
from polysense.alignment.media import MediaFeatures
from polysense.alignment.training import AlignmentSettings
from polysense.alignment.zero_shot import zero_shot
from polysense.errors import PolysenseError
from polysense.folder import CHECKSUMS
from polysense.tasks.sources import data_roots
from tiny_runs import Cli

pytest_plugins = ("tiny_runs",)
CLASSES = ("cat", "dog", "bird", "banana", "red mat", "yellow bird")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of sounds read off their spectra, without an encoder; files called bad are left out."""

    def features(files: list[Path], **_: Any) -> MediaFeatures:
        kept = [i for i, file in enumerate(files) if "bad" not in file.name]
        spectra = np.stack([np.abs(np.fft.rfft(soundfile.read(files[i])[0]))[:12] for i in kept]).astype(np.float32)
        return MediaFeatures({"heard": spectra, "spectrum": spectra**2}, np.array(kept), ())

    monkeypatch.setitem(kinds.KINDS, "audio", dataclasses.replace(kinds.KINDS["audio"], features=features))


def manifest(folder: Path, rows: list[tuple[str, int]], name: str = "sounds.csv") -> Path:
    """Each row a caption and the number of a tone, 0 to 5, or of the same tone once more, 6 to 11."""
    for _, number in rows:
        wave = np.sin(2 * np.pi * (number % 6 + 1) * np.arange(64) / 64)
        for kind in ("", "bad"):
            soundfile.write(folder / f"{kind}{number}.wav", 0.5 * wave, 16_000)
    (folder / name).write_text("\n".join(["caption,file", *(f"{caption},{number}.wav" for caption, number in rows)]))
    return folder / name


@pytest.fixture
def tower(tmp_path: Path, quick: None, bert_folder: Path) -> Path:
    """Sharp enough to read, for each class, the features of its own tone."""
    settings = AlignmentSettings(rank=2, components=6, sharpness=1e4, steps=1, learning_rate=1e-9, held_out=0.2)
    source = manifest(tmp_path, [(name, i) for i, name in enumerate(CLASSES)])
    align(tmp_path / "tower", [str(source)], str(bert_folder), settings, modality="audio", progress=False)
    return tmp_path / "tower"


def test_items_find_their_classes(tower: Path, tmp_path: Path) -> None:
    found = zero_shot(str(tower), str(tmp_path / "sounds.csv"), progress=False)
    assert found == {
        "tower": str(tower),
        "modality": "audio",
        "source": str(tmp_path / "sounds.csv"),
        "items": 6,
        "classes": 6,
        "accuracy": 1.0,
        "chance": pytest.approx(1 / 6),
        "recall": dict.fromkeys(sorted(CLASSES), 1.0),
    }


def test_mistakes_are_counted_and_bad_files_are_not(tower: Path, tmp_path: Path) -> None:
    source = manifest(tmp_path, [("cat", 0), ("A cat.", 2), ("dog", 1), ("dog", 6), ("dog", 3)], "mixed.csv")
    with source.open("a") as file:
        file.write("\ncat,bad0.wav\nbird,bad2.wav")
    found = zero_shot(str(tower), str(source), progress=False)
    # Tones 0 (also 6) and 1 are a cat and a dog; 2 and 3 are neither, and go to one of both.
    assert (found["items"], found["classes"], found["chance"]) == (5, 2, 0.5)
    assert list(found["recall"]) == ["cat", "dog"]
    assert found["recall"]["cat"] in (0.5, 1.0)
    assert found["recall"]["dog"] in (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert found["accuracy"] == pytest.approx((2 * found["recall"]["cat"] + 3 * found["recall"]["dog"]) / 5)


def test_the_centre_of_a_tower_does_not_count(tower: Path, tmp_path: Path) -> None:
    """A tower's features are centred and scaled for use in models; items are compared to what they were before."""
    weights = load_file(tower / "aligned_tower.safetensors")
    weights["centre"] = 2 * weights["memory.values"][0].float()  # a cat's features would point away from all cats
    weights["scale"] *= 7
    save_file(weights, tower / "aligned_tower.safetensors")
    (tower / CHECKSUMS).unlink()
    assert zero_shot(str(tower), str(tmp_path / "sounds.csv"), progress=False)["accuracy"] == 1.0


def test_what_cannot_be_compared(tower: Path, tmp_path: Path) -> None:
    source = manifest(tmp_path, [("cat", 0), ("A cat.", 2)], "one.csv")
    with pytest.raises(PolysenseError, match="all items are of one class, 'cat'"):
        zero_shot(str(tower), str(source), progress=False)
    with pytest.raises(PolysenseError, match=r"nowhere: no tower of polysense align"):
        zero_shot("nowhere", str(source), progress=False)
    (tower / "feature_space.safetensors").unlink()
    with pytest.raises(PolysenseError, match="align the tower anew"):
        zero_shot(str(tower), str(tmp_path / "sounds.csv"), progress=False)
    report = json.loads((tower / "report.json").read_text())
    del report["modality"]
    (tower / "report.json").write_text(json.dumps(report))
    with pytest.raises(PolysenseError, match="names its modality"):
        zero_shot(str(tower), str(tmp_path / "sounds.csv"), progress=False)


def test_the_command_line(cli: Cli, tower: Path, tmp_path: Path) -> None:
    source = tmp_path / "sounds.csv"
    assert cli("zero-shot", tower, "--source", source, "--json").json == zero_shot(
        str(tower), str(source), progress=False
    )
    shown = cli("zero-shot", tower, "--source", source)
    assert shown.status == 0 and "accuracy 100.0 percent, chance 16.7" in shown.out and "yellow bird" in shown.out
    assert "no such file or folder" in cli("zero-shot", tower, "--source", tmp_path / "none").error


@pytest.mark.network
def test_esc10_as_documented(tmp_path: Path) -> None:
    folder = next((root / "esc10" for root in data_roots() if (root / "esc10").is_dir()), None)
    if folder is None:
        pytest.skip("no folder esc10 in $POLYSENSE_DATA or ../shared/data")
    with zipfile.ZipFile(folder / "audio_16k.zip") as archive:
        archive.extractall(tmp_path)
    rows = [json.loads(line) for line in gzip.decompress((folder / "all.jsonl.gz").read_bytes()).splitlines()]
    lines = ["caption,file", *(f"{row['label']},{row['audio']}" for row in rows)]
    (tmp_path / "esc10.csv").write_text("\n".join(lines))
    found = zero_shot("audio", str(tmp_path / "esc10.csv"), progress=False)
    assert (found["items"], found["classes"]) == (400, 10)
    assert found["accuracy"] == pytest.approx(0.298, abs=0.01)
