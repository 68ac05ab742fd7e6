"""Picture features: what a file's pixels become, which files are left out, and what is kept on disk."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.alignment import pictures
from polysense.alignment.media import MediaFeatures, UnusableError
from polysense.alignment.pictures import picture_features
from polysense.durable import LOCKS
from polysense.errors import PolysenseError
from polysense.pictures.colour import colour_histogram
from polysense.pictures.efficientnet import PIXEL_MEAN, PIXEL_SCALE, EfficientNetLite0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def save(file: Path, colour: tuple[int, ...], size: tuple[int, int] = (32, 32), **options: object) -> Path:
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(file, **options)
    return file


def features(folder: Path, *files: Path) -> MediaFeatures:
    return picture_features(files, cache=folder / "cache")


def decode(picture: Image.Image, form: str = "PNG", **options: object) -> tuple[np.ndarray, np.ndarray]:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return pictures.decode_picture(buffer.getvalue())


def test_features_are_the_encoders(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    red = save(folder / "red.png", (255, 0, 0))
    found = features(folder, folder / "noise.png", red)
    pixels = torch.from_numpy(noise).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = EfficientNetLite0.pretrained()((pixels - PIXEL_MEAN) / PIXEL_SCALE)
    np.testing.assert_allclose(found.parts["seen"][:1], expected, rtol=1e-3, atol=1e-3)
    assert found.parts["seen"].shape == (2, 1280)
    assert found.parts["seen"].dtype == found.parts["colours"].dtype == np.float32
    np.testing.assert_allclose(
        found.parts["colours"][1], colour_histogram(np.array([[255, 0, 0]], np.uint8)), atol=1e-6
    )
    assert found.kept.tolist() == [0, 1]
    assert found.skipped == ()


def test_transparent_pixels_are_white_to_the_encoder_and_nothing_to_the_colour() -> None:
    picture = Image.new("RGBA", (224, 224), (0, 0, 255, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 100, 224))
    pixels, colours = decode(picture)
    assert pixels[100, 50].tolist() == [255, 0, 0]
    assert pixels[100, 180].tolist() == [255, 255, 255]
    np.testing.assert_allclose(colours, colour_histogram(np.array([[255, 0, 0]], np.uint8)), atol=1e-6)


@pytest.mark.parametrize(
    ("size", "inside", "outside"),
    [((100, 50), (10, 112), (20, 112)), ((50, 100), (112, 10), (112, 20)), ((5000, 1), (5, 111), (100, 112))],
)
def test_is_padded_with_white_to_a_square(
    size: tuple[int, int], inside: tuple[int, int], outside: tuple[int, int]
) -> None:
    pixels, _ = decode(Image.new("RGB", size, (0, 128, 0)))
    assert pixels.shape == (224, 224, 3)
    column, row = inside
    assert pixels[row, column].tolist() == [0, 128, 0]
    row, column = outside
    assert pixels[row, column].tolist() == [255, 255, 255]


def test_first_frame_of_a_moving_picture() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    pixels, _ = decode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert pixels[112, 112].tolist() == [255, 0, 0]


def test_photos_stand_upright() -> None:
    picture = Image.new("RGB", (64, 32), "white")
    picture.paste((0, 0, 0), (0, 0, 32, 32))  # black on the left, to be turned by 90 degrees: on top
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels, _ = decode(picture, exif=exif.tobytes())
    assert pixels[50, 112].tolist() == [0, 0, 0]
    assert pixels[170, 112].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("picture", "form"),
    [
        (Image.fromarray(np.full((8, 8), 0x8040, np.uint16)), "PNG"),
        (Image.new("L", (8, 8), 128), "PNG"),
        (Image.new("CMYK", (8, 8), (0, 0, 0, 127)), "TIFF"),
        (Image.new("RGB", (8, 8), (128, 128, 128)).quantize(), "GIF"),
        (Image.new("LA", (8, 8), (128, 255)), "PNG"),
    ],
    ids=["16-bit", "grey", "CMYK", "palette", "grey with alpha"],
)
def test_modes_of_grey(picture: Image.Image, form: str) -> None:
    pixels, _ = decode(picture, form)
    assert pixels[112, 112].tolist() == [128, 128, 128]


def test_what_cannot_be_read_is_left_out_and_named(
    folder: Path, encoded: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    good = save(folder / "good.png", (1, 2, 3))
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("not a picture")
    (folder / "cut.png").write_bytes(good.read_bytes()[:60])
    (folder / "post.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    names = ["empty.png", "text.png", "good.png", "cut.png", "post.png", "gone.png"]
    with caplog.at_level(logging.WARNING):
        found = features(folder, *(folder / name for name in names))
    assert found.kept.tolist() == [2]
    assert found.parts["seen"].shape == (1, 1280)
    reasons = {file.name: reason for file, reason in found.skipped}
    assert list(reasons) == ["empty.png", "text.png", "cut.png", "post.png", "gone.png"]
    assert reasons["empty.png"] == "empty file"
    assert reasons["text.png"] == reasons["post.png"] == "not a picture"
    assert reasons["cut.png"].startswith("broken")
    assert reasons["gone.png"] == "No such file or directory"
    assert len(caplog.records) == 1
    assert f"5 of 6 pictures are left out: {folder / 'empty.png'} (empty file)" in caplog.text


@pytest.mark.parametrize("size", [(8000, 6251), (60000, 60000)])
def test_huge_pictures_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    small = io.BytesIO()
    Image.new("1", (1, 1)).save(small, "BMP")
    header = bytearray(small.getvalue())
    header[18:22], header[22:26] = size[0].to_bytes(4, "little"), size[1].to_bytes(4, "little")
    with pytest.raises(UnusableError, match="megapixels"):
        pictures.decode_picture(bytes(header))


def test_huge_files_are_refused_before_they_are_read(folder: Path) -> None:
    file = folder / "huge.png"
    with file.open("wb") as handle:
        handle.truncate(300 * 2**20)  # sparse: takes no disk
    with pytest.raises(PolysenseError, match="300 MiB, more than 256"):
        features(folder, file)


def test_nothing_that_can_be_read(folder: Path) -> None:
    (folder / "a.png").touch()
    with pytest.raises(PolysenseError, match=r"none of the 1 pictures could be read: .*a\.png \(empty file\)"):
        features(folder, folder / "a.png")
    with pytest.raises(PolysenseError, match="there are no pictures"):
        features(folder)


def test_second_run_computes_only_what_is_new(folder: Path, encoded: list[int]) -> None:
    files = [save(folder / f"{shade}.png", (shade, 0, 0)) for shade in (10, 120, 240)]
    first = features(folder, *files[:2])
    assert encoded == [2]
    files[0] = files[0].rename(folder / "renamed.png")  # the content counts, not the name
    second = features(folder, *files)
    assert encoded == [2, 1]
    np.testing.assert_array_equal(second.parts["seen"][:2], first.parts["seen"])
    np.testing.assert_array_equal(second.parts["colours"][:2], first.parts["colours"])
    save(files[1], (0, 0, 255))
    third = features(folder, *files)
    assert encoded == [2, 1, 1]
    assert np.abs(third.parts["seen"][1] - second.parts["seen"][1]).max() > 0.1
    assert sorted(os.listdir(folder / "cache")) == [LOCKS, f"picture-features-{pictures.VERSION}.safetensors"]


def test_same_content_twice_is_computed_once(folder: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [save(folder / f"{name}.png", (9, 9, 9)) for name in "ab"]
    decoded: list[bytes] = []
    real = pictures.decode_picture
    monkeypatch.setattr(pictures, "decode_picture", lambda data: decoded.append(data) or real(data))
    found = features(folder, *twins)
    assert encoded == [len(decoded)] == [1]
    assert found.kept.tolist() == [0, 1]
    np.testing.assert_array_equal(found.parts["seen"][0], found.parts["seen"][1])


def test_batches_are_bounded(folder: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BATCH", 2)
    files = [save(folder / f"{shade}.png", (shade, 0, 0)) for shade in range(0, 250, 50)]
    whole = features(folder, *files)
    assert encoded == [2, 2, 1]
    alone = picture_features(files[3:4], cache=folder / "other")
    np.testing.assert_allclose(whole.parts["seen"][3], alone.parts["seen"][0], rtol=1e-3, atol=1e-3)


def test_an_interrupted_run_keeps_what_it_had_done(
    folder: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "BATCH", 1)
    files = [save(folder / f"{shade}.png", (shade, 0, 0)) for shade in (0, 200)]
    real = pictures.read_file

    def interrupt(file: Path) -> tuple[bytes, bytes]:
        if file == files[1]:
            raise KeyboardInterrupt
        return real(file)

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "read_file", interrupt)
        with pytest.raises(KeyboardInterrupt):
            features(folder, *files)
    features(folder, *files)
    assert encoded == [1, 1]


def test_a_broken_cache_is_computed_anew(folder: Path, encoded: list[int], caplog: pytest.LogCaptureFixture) -> None:
    file = save(folder / "a.png", (5, 5, 5))
    features(folder, file)
    kept = next((folder / "cache").glob("*.safetensors"))
    kept.write_bytes(kept.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        features(folder, file)
    assert "computed anew" in caplog.text
    features(folder, file)
    assert encoded == [1, 1]


def test_a_cache_that_cannot_be_written(folder: Path, encoded: list[int]) -> None:
    file = save(folder / "a.png", (5, 5, 5))
    (folder / "cache").write_text("a file, not a folder")
    with pytest.raises(PolysenseError, match="set POLYSENSE_CACHE to another folder"):
        features(folder, file)


def test_default_cache_follows_the_environment(
    folder: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYSENSE_CACHE", str(folder / "mine"))
    picture_features([save(folder / "a.png", (5, 5, 5))])
    assert os.listdir(folder / "mine")
