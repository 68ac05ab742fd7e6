"""Models and processors that are saved and opened again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

import support
from polysense.errors import PolysenseError
from polysense.methods.catalog import MethodConfig
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.models.processing import PROCESSOR_FILE, as_texts
from polysense.prototypes.reading import Reading
from polysense.text import Text

OPENERS: dict[str, Callable[[Path], Any]] = {
    "own class": PolysenseForSequenceClassification.from_pretrained,
    "auto class": AutoModelForSequenceClassification.from_pretrained,
}
TEXTS = ["the cat sits on the mat", "banana", "", "a yellow bird sings 😀 " * 10]


@pytest.mark.parametrize("opener", OPENERS)
def test_model_round_trip_is_exact(tmp_path: Path, make: Any, method: MethodConfig, kind: str, opener: str) -> None:
    model = make.model(method, kind, id2label={0: "x", 1: "y", 2: "z"}).eval()
    model.save_pretrained(tmp_path)
    loaded = OPENERS[opener](tmp_path)
    assert type(loaded) is PolysenseForSequenceClassification
    assert not loaded.training
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    expected, got = model(**make.batch(kind)), loaded(**make.batch(kind))
    for name in ("logits", "loss"):
        # Weights that lie elsewhere in memory may be added up in another order.
        torch.testing.assert_close(got[name], expected[name], rtol=1e-6, atol=1e-6)
    assert loaded.config.id2label == {0: "x", 1: "y", 2: "z"}
    if method.combination == "late_fusion":
        # By name: the order of modalities must outlive a file whose keys are sorted.
        assert loaded.combination.weights() == model.combination.weights()


def test_config_round_trip(tmp_path: Path, make: Any, method: MethodConfig, kind: str) -> None:
    config = make.model(method, kind).config
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is PolysenseConfig
    assert loaded.backbone == json.loads(json.dumps(config.backbone))
    for name in ("pooling", "method", "target", "dropout"):
        assert getattr(loaded, name) == getattr(config, name)
    assert list(loaded.widths.items()) == list(config.widths.items())
    assert loaded.method_config() == method


@pytest.fixture
def towers(tmp_path: Path, clip_folder: Path) -> dict[str, str]:
    return {"image": str(clip_folder), "audio": f"encoder:{support.save_bert(tmp_path / 'tower', seed=5)}"}


@pytest.fixture
def processor(bert_folder: Path, towers: dict[str, str]) -> PolysenseProcessor:
    return PolysenseProcessor.from_backbone(str(bert_folder), towers, Reading(k=3, layers="all"), max_length=20)


def test_processor_makes_what_the_model_reads(processor: PolysenseProcessor, make: Any, macsc: MethodConfig) -> None:
    assert processor.widths == {"image": 12, "audio": 16}
    inputs = processor(TEXTS)
    assert inputs["input_ids"].shape == (4, 20)
    assert inputs["prototypes"]["image"].shape == (4, 3, 12)
    assert inputs["prototype_masks"]["audio"].sum(dim=1).tolist() == [3, 1, 0, 3]
    output = make.model(macsc, widths=processor.widths).eval()(**inputs)
    assert output.logits.isfinite().all()


def test_processor_tokenises_as_the_backbone_does(processor: PolysenseProcessor) -> None:
    for text in ("the cat", ("the cat", "a dog"), "cat " * 50):
        parts = text if isinstance(text, tuple) else (text,)
        expected = processor.tokenizer(*parts, truncation=True, max_length=20)["input_ids"]
        assert processor.tokenize(text)["input_ids"] == expected
    assert processor("cat \ud800")["input_ids"].tolist() == processor("cat \ufffd")["input_ids"].tolist()
    pair = processor("the cat", "a dog")
    assert pair["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1]]
    expected = processor.extractors["image"].block([("the cat", "a dog")]).features
    assert torch.equal(pair["prototypes"]["image"], expected)


@pytest.mark.parametrize("text_pair", [None, ["dog", "a red mat", "", "bird"]], ids=["texts", "pairs"])
def test_predictions_from_raw_text_survive_saving(
    tmp_path: Path, processor: PolysenseProcessor, make: Any, macsc: MethodConfig, text_pair: list[str] | None
) -> None:
    model = make.model(macsc, widths=processor.widths).eval()
    before = model(**processor(TEXTS, text_pair)).logits
    folder = tmp_path / "saved"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    loaded = PolysenseProcessor.from_pretrained(folder)
    assert list(loaded.extractors) == ["image", "audio"]
    assert loaded.max_length == 20
    assert loaded.extractors["audio"].reading == Reading(k=3, layers="all")
    after = PolysenseForSequenceClassification.from_pretrained(folder)(**loaded(TEXTS, text_pair)).logits
    assert torch.equal(before, after)


def test_changed_tower_is_refused(tmp_path: Path, processor: PolysenseProcessor) -> None:
    processor.save_pretrained(tmp_path / "saved")
    support.save_bert(tmp_path / "tower", seed=6)
    with pytest.raises(PolysenseError, match=r"its audio tower .* has changed since the model was trained"):
        PolysenseProcessor.from_pretrained(tmp_path / "saved")


def test_missing_tower_is_named(tmp_path: Path, processor: PolysenseProcessor) -> None:
    processor.save_pretrained(tmp_path / "saved")
    (tmp_path / "tower" / "config.json").unlink()
    with pytest.raises(PolysenseError, match="tower"):
        PolysenseProcessor.from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize("content", [None, "", "{"])
def test_folder_without_a_processor(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / PROCESSOR_FILE).write_text(content)
    with pytest.raises(PolysenseError, match="is no trained Polysense model"):
        PolysenseProcessor.from_pretrained(tmp_path)


def test_a_processor_with_scene_graphs(
    tmp_path: Path, bert_folder: Path, clip_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    processor = PolysenseProcessor.from_backbone(
        str(bert_folder), {"image": str(clip_folder)}, store=False, scene_graphs=True
    )
    texts = ["the red cat sits on the mat", "", ""]
    expected = processor(texts)["graph"]
    assert expected["sentence"].tolist() == [0, 0, 0]
    processor.save_pretrained(tmp_path)
    loaded = PolysenseProcessor.from_pretrained(tmp_path, store=False)
    assert not caplog.records
    for name, value in loaded(texts)["graph"].items():
        for part, wanted in (
            zip(value, expected[name], strict=True)
            if name != "features"
            else [(value["image"], expected["features"]["image"])]
        ):
            torch.testing.assert_close(part, wanted)
    settings = json.loads((tmp_path / PROCESSOR_FILE).read_text())
    settings["scene_graphs"]["rules"] = "0"
    (tmp_path / PROCESSOR_FILE).write_text(json.dumps(settings))
    PolysenseProcessor.from_pretrained(tmp_path, store=False)
    assert "scene graphs of another parser" in caplog.text


def test_processor_without_towers(tmp_path: Path, bert_folder: Path) -> None:
    processor = PolysenseProcessor.from_backbone(str(bert_folder))
    assert "prototypes" not in processor("the cat")
    processor.save_pretrained(tmp_path)
    assert json.loads((tmp_path / PROCESSOR_FILE).read_text()) == {
        "max_length": 128,
        "towers": {},
        "scene_graphs": None,
    }
    assert PolysenseProcessor.from_pretrained(tmp_path).extractors == {}


@pytest.mark.parametrize(
    ("text", "text_pair", "expected"),
    [
        ("a", None, ["a"]),
        (["a", "b"], None, ["a", "b"]),
        ("a", "b", [("a", "b")]),
        (["a", "b"], ["c", "d"], [("a", "c"), ("b", "d")]),
        ([], None, []),
    ],
)
def test_as_texts(text: str | list[str], text_pair: str | list[str] | None, expected: list[Text]) -> None:
    assert as_texts(text, text_pair) == expected


def test_as_texts_of_unequal_numbers() -> None:
    with pytest.raises(PolysenseError, match="2 first texts but 1 second texts"):
        as_texts(["a", "b"], ["c"])
