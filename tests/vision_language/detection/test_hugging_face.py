from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessor,
    ResNetConfig,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessor,
)

from polysense.errors import PolysenseError
from polysense.vision_language.detection.hugging_face import HuggingFaceDetector

NAMES = {0: "N/A", 1: "cat", 2: "dog"}
SIZE = {"shortest_edge": 64, "longest_edge": 96}


def save_yolos(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    config = YolosConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=[64, 64],
        patch_size=16,
        num_detection_tokens=7,
        initializer_range=0.6,
        id2label=NAMES,
        label2id={name: i for i, name in NAMES.items()},
    )
    model = YolosForObjectDetection(config)
    for tokens in (model.vit.embeddings.detection_tokens, model.vit.embeddings.position_embeddings):
        torch.nn.init.normal_(tokens)  # as made, they are zero, and every query would see the same
    model.save_pretrained(folder)
    YolosImageProcessor(size=SIZE).save_pretrained(folder)
    return folder


def save_detr(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1], out_features=["stage4"])
    config = DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=backbone,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=6,
        id2label=NAMES,
        label2id={name: i for i, name in NAMES.items()},
    )
    DetrForObjectDetection(config).save_pretrained(folder)
    DetrImageProcessor(size=SIZE).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def yolos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_yolos(tmp_path_factory.mktemp("models") / "yolos")


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8))


def test_regions_are_the_models_queries(yolos: Path, picture: Image.Image) -> None:
    detector = HuggingFaceDetector(yolos, threshold=0.0)
    found = detector.detect(picture)
    inputs = detector._processor(images=picture, return_tensors="pt")
    with torch.no_grad():
        outputs = detector._model(pixel_values=inputs["pixel_values"])
        states = detector._model.vit(inputs["pixel_values"]).last_hidden_state[0, -7:]
    (expected,) = detector._processor.post_process_object_detection(
        outputs, threshold=0.0, target_sizes=torch.tensor([[40, 80]])
    )
    order = expected["scores"].argsort(descending=True)
    assert found.scores is not None and len(found) == 7
    np.testing.assert_allclose(found.scores, expected["scores"][order], atol=1e-5)
    limits = torch.tensor([80.0, 40.0, 80.0, 40.0])
    np.testing.assert_allclose(found.boxes, expected["boxes"][order].clamp(min=0).minimum(limits), atol=1e-3)
    np.testing.assert_allclose(found.features, states[order], atol=1e-4)
    assert list(found.tags) == [{"N/A": ""}.get(NAMES[i], NAMES[i]) for i in expected["labels"][order].tolist()]


def test_detr(tmp_path: Path, picture: Image.Image) -> None:
    detector = HuggingFaceDetector(save_detr(tmp_path / "detr"), threshold=0.0)
    found = detector.detect(picture)
    assert detector.width == 16 and found.features.shape == (6, 16)
    assert (found.width, found.height) == (80, 40)


def test_threshold_and_most(yolos: Path, picture: Image.Image) -> None:
    everything = HuggingFaceDetector(yolos, threshold=0.0)
    found = everything.detect(picture)
    assert found.scores is not None and found.scores[0] > found.scores[3]
    middle = float(found.scores[3])
    some = HuggingFaceDetector(yolos, threshold=middle)
    assert some.detect(picture).boxes.tolist() == found.boxes[found.scores >= middle].tolist()
    two = HuggingFaceDetector(yolos, threshold=0.0, most=2)
    assert two.detect(picture).boxes.tolist() == found.boxes[:2].tolist()
    none = HuggingFaceDetector(yolos, threshold=1.0)
    assert len(none.detect(picture)) == 0 and none.width == 16
    assert len({detector.identity for detector in (everything, some, two, none)}) == 4


def test_identity_is_of_the_weights(yolos: Path, tmp_path: Path) -> None:
    first = HuggingFaceDetector(yolos).identity
    assert HuggingFaceDetector(save_yolos(tmp_path / "same")).identity == first
    assert HuggingFaceDetector(save_yolos(tmp_path / "other", seed=1)).identity != first


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 100), (400, 5)])
def test_pictures_of_any_size(size: tuple[int, int], yolos: Path) -> None:
    found = HuggingFaceDetector(yolos, threshold=0.0).detect(Image.new("RGB", size, "red"))
    assert (found.width, found.height) == size


def test_what_is_no_detector(tmp_path: Path, yolos: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PolysenseError, match=r"detector .*empty: the folder holds no model that can be loaded"):
        HuggingFaceDetector(tmp_path / "empty")
    pickled = save_yolos(tmp_path / "pickled")
    torch.save({}, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(PolysenseError, match="no model that can be loaded"):
        HuggingFaceDetector(pickled)
    with pytest.raises(PolysenseError, match="give one from 0 to 1"):
        HuggingFaceDetector(yolos, threshold=1.5)
    with pytest.raises(PolysenseError, match="give 1 or more"):
        HuggingFaceDetector(yolos, most=0)
