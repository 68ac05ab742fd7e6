"""A tiny folder of data for every task, whose texts tell what regions show, and tiny models trained on it.

A plugin: a test module that needs it says `pytest_plugins = ("vision_language.data_folder",)`. It is imported by name
too, before pytest could rewrite its assertions: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, equal

from polysense.vision_language.annotations import (
    write_captions,
    write_nlvr2,
    write_refcoco,
    write_snli_ve,
    write_vqa,
)
from polysense.vision_language.captions import read_caption_folder
from polysense.vision_language.examples import Caption, Entailment, Expression, Question, Statement
from polysense.vision_language.fine_tuning import train
from polysense.vision_language.models.cmal import special_tokens
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.pretraining import pretrain
from polysense.vision_language.processing import CmalProcessor, ProcessorSettings
from polysense.vision_language.region_files import write_regions
from polysense.vision_language.regions import Box, Regions
from polysense.vision_language.training import CmalTrainer
from support import bert_tokenizer

NAMES, COLOURS = ("cat", "dog", "banana", "bird", "mat"), ("red", "yellow")
WIDTH = 8
SIZE = (64, 48)
SIZES = {"train": 24, "validation": 8, "test": 8}
OPTIONS = {"text_layers": 1, "visual_layers": 1, "unified_layers": 1, "projection": 8}
QUICK = {"steps": 4, "batch_size": 4, "learning_rate": 1e-3, "progress": False}

Thing = tuple[str, str]
"""Colour and name."""


def feature(thing: Thing) -> list[float]:
    """One-hot name, one-hot colour, and 1."""
    return [float(thing[1] == n) for n in NAMES] + [float(thing[0] == c) for c in COLOURS] + [1.0]


def box_of(place: int) -> Box:
    return 12.0 * place + 1, 4.0 * place + 2, 12.0 * place + 11, 4.0 * place + 12


def regions_of(things: Sequence[Thing]) -> Regions:
    boxes = np.array([box_of(i) for i in range(len(things))], dtype=np.float32).reshape(-1, 4)
    features = np.array([feature(t) for t in things], dtype=np.float16).reshape(-1, WIDTH)
    return Regions(features, boxes, *SIZE, [name for _, name in things], np.ones(len(things), dtype=np.float32))


def scenes(split: str, count: int) -> dict[str, list[Thing]]:
    """Two to four different things a picture."""
    draw = random.Random(split)
    return {
        f"{split}{i}": [(draw.choice(COLOURS), name) for name in draw.sample(NAMES, draw.randint(2, 4))]
        for i in range(count)
    }


def write_split(folder: Path, split: str, count: int) -> Path:
    """One split: captions, questions, statements, hypotheses, expressions and regions."""
    folder.mkdir(parents=True)
    shown = scenes(split, count)
    draw = random.Random(split + "texts")
    captions, questions, statements, entailments, expressions = [], [], [], [], []
    for i, (picture, things) in enumerate(shown.items()):
        (colour, name), (_, other) = things[0], things[1]
        captions += [Caption(picture, f"the {colour} {name} sits on the {other}"), Caption(picture, f"a {other}")]
        questions.append(Question(f"{i}0", picture, f"the colour of the {name}", [colour] * 10, "other"))
        asked = draw.choice(NAMES)
        there = any(asked == n for _, n in things)
        answer = "yes" if there else "no"
        questions.append(Question(f"{i}1", picture, f"is a {asked} on the mat", [answer] * 7 + ["maybe"] * 3, "yes/no"))
        entailments.append(Entailment(f"{i}", picture, f"a {asked}", "entailment" if there else "contradiction"))
        right = f"{split}{(i + 1) % count}"
        statements.append(Statement(f"{split}-{i // 2}-{i % 2}-0", picture, right, f"a {asked} is left", there))
        expressions += [Expression(f"{i}{k}", picture, f"the {c} {n}", box_of(k)) for k, (c, n) in enumerate(things)]
    write_captions(folder / "captions.json", captions)
    write_vqa(folder / "questions.json", questions, folder / "annotations.json")
    write_nlvr2(folder / "statements.jsonl", statements)
    write_snli_ve(folder / "entailments.jsonl", entailments)
    boxes = {p: [(box_of(k), n) for k, (_, n) in enumerate(things)] for p, things in shown.items()}
    write_refcoco(folder / "references.json", folder / "instances.json", expressions, dict.fromkeys(shown, SIZE), boxes)
    write_regions(folder / "regions.h5", ((p, regions_of(things)) for p, things in shown.items()))
    return folder


class StubDetector:
    """Finds a thing a stripe of the picture: red or yellow, named after its place."""

    identity = "stub"

    def __init__(self, width: int = WIDTH, count: int = 3) -> None:
        self.width, self.count = width, count

    def detect(self, picture: Image.Image) -> Regions:
        things: list[Thing] = []
        boxes = []
        for i in range(self.count):
            left, right = picture.width * i / self.count, picture.width * (i + 1) / self.count
            pixel = picture.getpixel((min(int(left), picture.width - 1), 0))
            things.append(("red" if pixel[1] < 128 else "yellow", NAMES[i % len(NAMES)]))
            boxes.append((left, 0, right, picture.height))
        features = np.array([feature(t) for t in things], dtype=np.float32).reshape(-1, WIDTH)
        features = np.resize(features, (len(things), self.width)).astype(np.float32)
        where = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        return Regions(features, where, picture.width, picture.height, [name for _, name in things])


def processor_of(**settings: Any) -> CmalProcessor:
    return CmalProcessor(bert_tokenizer(), ProcessorSettings(**{"region_width": WIDTH, **settings}))


def model_config(**changes: Any) -> CmalConfig:
    """Of a model for `processor_of()`; a change of a layer's size goes there."""
    tokenizer = bert_tokenizer()
    layer = {
        "vocab_size": len(tokenizer), "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24,
        "max_position_embeddings": 32, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.2,
    }  # fmt: skip
    layer |= {name: changes.pop(name) for name in list(changes) if name in layer}
    return CmalConfig(
        **{"layer": layer, "region_width": WIDTH, **special_tokens(tokenizer), **OPTIONS, **changes},
    )


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="session")
def vl_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train/, validation/ and test/; never write into it."""
    folder = tmp_path_factory.mktemp("vl") / "data"
    for split, count in SIZES.items():
        write_split(folder / split, split, count)
    return folder


@pytest.fixture(scope="session")
def vl_start(tmp_path_factory: pytest.TempPathFactory, vl_data: Path, bert_folder: Path) -> Path:
    """A pre-trained model; never write into it."""
    folder = tmp_path_factory.mktemp("start") / "model"
    captions, regions, _ = read_caption_folder(vl_data / "train")
    pretrain(folder, captions, regions, backbone=str(bert_folder), config=OPTIONS, detector="segments", **QUICK)
    return folder


@pytest.fixture(scope="session")
def vl_models(tmp_path_factory: pytest.TempPathFactory, vl_data: Path, vl_start: Path) -> dict[str, Path]:
    """A model of each task; never write into one."""
    folder = tmp_path_factory.mktemp("trained")
    for task in ("vqa", "nlvr2", "snli-ve", "rec", "retrieval"):
        train(folder / task, task, vl_data, vl_start, **QUICK)
    return {path.name: path for path in folder.iterdir()}


class Stopped(Exception):  # noqa: N818
    """A run was broken off."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Break the run off when that step begins."""
    compute_loss = CmalTrainer.compute_loss

    def compute(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == step:
            raise Stopped
        return compute_loss(self, *args, **kwargs)

    monkeypatch.setattr(CmalTrainer, "compute_loss", compute)
