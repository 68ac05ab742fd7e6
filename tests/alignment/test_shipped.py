"""The towers that ship: they open, their report is the card's, and their spaces fit what is read of files."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
import torch

from polysense.alignment.align import REPORT_FILE, SPACE_FILE
from polysense.alignment.card import tower_card
from polysense.alignment.kinds import KINDS
from polysense.alignment.sources import SOURCES
from polysense.alignment.space import FeatureSpace
from polysense.towers.aligned import AlignedTower
from polysense.towers.packing import PackedTokens
from polysense.towers.registry import SHIPPED, open_tower

PARTS = {
    "image": {"seen": 1280, "colours": 64},
    "audio": {"heard": 512, "spectrum": 288},
    "video": {"seen": 1280, "motion": 1280, "colours": 64},
}


def folder_of(name: str) -> Path:
    return Path(str(resources.files("polysense.towers") / "shipped" / name))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_is_what_the_report_says(name: str) -> None:
    report = json.loads((folder_of(name) / REPORT_FILE).read_text())
    assert report["modality"] == name
    assert (folder_of(name) / "README.md").read_text() == tower_card(report, report["sources"])
    assert set(report["sources"]) <= {source.name for source in SOURCES.values() if source.modality == name}
    aligned, chance = report["retrieval"]["aligned"], report["retrieval"]["chance"]
    assert all(aligned[score] > 2 * chance[score] for score in aligned)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_tower_opens_and_tells_words_apart(name: str) -> None:
    tower = open_tower(name)
    assert isinstance(tower, AlignedTower)
    report = json.loads((folder_of(name) / REPORT_FILE).read_text())
    assert tower.config.entries == report["entries"] == len(tower.head.memory.keys)
    assert tower.config.rank == report["settings"]["rank"]
    texts = ["a dog barks", "the dog", "a violin concert", "a car"]
    pooled = tower.encode(PackedTokens.pack(tower.tokenizer(texts)["input_ids"])).pooled
    assert pooled.shape == (4, tower.width)
    alike = torch.nn.functional.cosine_similarity(pooled[:1], pooled[1:])
    assert alike.argmax() == 0
    assert pooled.square().mean().sqrt().item() == pytest.approx(1, abs=0.7)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_space_reads_the_features_of_its_modality(name: str) -> None:
    space = FeatureSpace.load(folder_of(name) / SPACE_FILE, PARTS[name])
    assert {part: len(getattr(space, f"{part}_mean")) for part in PARTS[name]} == PARTS[name]
    assert space.width == json.loads((folder_of(name) / "aligned_tower.json").read_text())["width"]
    assert name in KINDS


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_of_what_may_not_ship_is_in_the_memory(name: str) -> None:
    report = json.loads((folder_of(name) / REPORT_FILE).read_text())
    if all(SOURCES[source].ships for source in report["sources"]):
        assert report["entries"] == report["concepts"]
    else:
        assert report["entries"] < report["concepts"]
