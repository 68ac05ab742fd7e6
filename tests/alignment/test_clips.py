"""Features of clips: what is seen, how it moves, its colours; which clips are left out."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.alignment import clips
from polysense.alignment.clips import clip_features, motion
from polysense.alignment.frames import FRAMES, clip_frames
from polysense.alignment.media import MediaFeatures
from polysense.alignment.pictures import decode_picture, picture_features
from polysense.durable import LOCKS
from polysense.errors import PolysenseError
from polysense.pictures.colour import colour_histogram
from polysense.pictures.efficientnet import PIXEL_MEAN, PIXEL_SCALE, EfficientNetLite0
from polysense.tasks.sources import data_roots

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def moving(file: Path, pictures: list[Image.Image], duration: int | list[int] = 100) -> Path:
    pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=duration, lossless=True)
    return file


def plain(*colours: tuple[int, int, int]) -> list[Image.Image]:
    return [Image.new("RGB", (16, 16), colour) for colour in colours]


def features(folder: Path, *files: Path) -> MediaFeatures:
    return clip_features(files, cache=folder / "cache")


def test_features_against_a_loop(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    clip = moving(tmp_path / "a.webp", [*map(Image.fromarray, noise)], [500, 200, 900])
    found = features(tmp_path, clip)
    encoder = EfficientNetLite0.pretrained()
    rows, colours = [], []
    for i in [0] * 5 + [1] * 2 + [2] * 9:  # instants of 100 ms
        pixels = torch.from_numpy(noise[i]).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            rows.append(encoder((pixels - PIXEL_MEAN) / PIXEL_SCALE)[0].numpy())
        chosen = np.random.default_rng(0).choice(224 * 224, 512, replace=False)
        colours.append(colour_histogram(noise[i].reshape(-1, 3)[chosen]))
    changes = [np.abs(after - before) for before, after in itertools.pairwise(rows)]
    np.testing.assert_allclose(found.parts["seen"][0], sum(rows) / 16, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.parts["motion"][0], sum(changes) / 15, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.parts["colours"][0], sum(colours) / 16, atol=1e-5)
    assert list(found.parts) == ["seen", "motion", "colours"]
    assert [part.shape for part in found.parts.values()] == [(1, 1280), (1, 1280), (1, 64)]
    assert all(part.dtype == np.float32 for part in found.parts.values())
    assert found.kept.tolist() == [0]


def test_a_still_picture_is_seen_as_a_picture_and_does_not_move(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 30, 4), dtype=np.uint8)).save(file)
    found, picture = features(tmp_path, file), picture_features([file], cache=tmp_path / "cache")
    np.testing.assert_allclose(found.parts["seen"], picture.parts["seen"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.parts["colours"], picture.parts["colours"], atol=1e-6)
    assert not found.parts["motion"].any()


def test_motion_knows_no_direction_but_how_much() -> None:
    rows = np.random.default_rng(0).normal(size=(FRAMES, 4)).astype(np.float32)
    np.testing.assert_allclose(motion(rows), motion(rows[::-1]), rtol=1e-5)
    np.testing.assert_allclose(motion(3 * rows), 3 * motion(rows), rtol=1e-5)


def test_media_of_all_kinds_make_one_clip(tmp_path: Path, encoded: list[int]) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, picture in enumerate(plain(RED, GREEN, BLUE, GREEN)):
        picture.save(folder / f"{i}.png")
    files = [moving(tmp_path / name, plain(RED, GREEN, BLUE, GREEN)) for name in ("a.webp", "a.png")]
    found = features(tmp_path, folder, *files)
    for rows in found.parts.values():
        np.testing.assert_allclose(rows, rows[:1].repeat(3, axis=0), atol=1e-6)
    values = [255 / 128 * share - 127 / 128 for share in (1 / 4, 1 / 2, 1 / 4)]
    np.testing.assert_allclose(found.parts["seen"][0, :3], values, atol=1e-3)


def test_what_cannot_be_read_is_left_out_and_named(
    tmp_path: Path, encoded: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    good = moving(tmp_path / "good.webp", plain(RED, GREEN))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 100)
    (tmp_path / "cut.webp").write_bytes(good.read_bytes()[:-20])
    (tmp_path / "folder").mkdir()
    names = ["empty.mp4", "text.mp4", "good.webp", "cut.webp", "folder", "gone.avi"]
    with caplog.at_level(logging.WARNING):
        found = features(tmp_path, *(tmp_path / name for name in names))
    assert found.kept.tolist() == [2]
    reasons = {file.name: reason for file, reason in found.skipped}
    assert reasons["empty.mp4"] == "empty file"
    assert reasons["text.mp4"] == "neither a picture nor a video that can be read"
    assert reasons["cut.webp"].startswith("broken")
    assert reasons["folder"] == "no numbered pictures in this folder"
    assert reasons["gone.avi"] == "No such file or directory"
    assert len(caplog.records) == 1
    assert f"5 of 6 clips are left out: {tmp_path / 'empty.mp4'} (empty file)" in caplog.text


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(PolysenseError, match=r"none of the 1 clips could be read: .*a\.mp4 \(empty file\); give mp4"):
        features(tmp_path, tmp_path / "a.mp4")


def test_second_run_computes_only_what_is_new(tmp_path: Path, encoded: list[int]) -> None:
    first = moving(tmp_path / "a.webp", plain(RED, GREEN))
    folder = tmp_path / "b"
    folder.mkdir()
    for i, picture in enumerate(plain(RED, GREEN, BLUE)):
        picture.save(folder / f"{i}.png")
    before = features(tmp_path, first, folder)
    assert encoded == [5]
    after = features(tmp_path, folder, moving(tmp_path / "c.webp", plain(GREEN, BLUE)), first.rename(tmp_path / "d"))
    assert encoded == [5, 2]
    for part, rows in before.parts.items():
        np.testing.assert_array_equal(after.parts[part][[2, 0]], rows)
    assert sorted(os.listdir(tmp_path / "cache")) == [f"clip-features-{clips.VERSION}.safetensors", LOCKS]


def test_batches_are_bounded(tmp_path: Path, encoded: list[int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 20, 8, 8, 3), dtype=np.uint8)
    files = [moving(tmp_path / f"{i}.webp", [*map(Image.fromarray, rows)]) for i, rows in enumerate(noise)]
    whole = features(tmp_path, *files)
    assert encoded == [clips.BATCH * FRAMES, 2 * FRAMES]
    alone = clip_features(files[4:5], cache=tmp_path / "other")
    for part, rows in alone.parts.items():
        np.testing.assert_allclose(whole.parts[part][4:5], rows, rtol=1e-4, atol=1e-5)


def test_real_videos_give_the_frames_that_were_taken_from_them() -> None:
    """MSVD's clips come with 16 frames each, taken at the middles of equal stretches by another program."""
    data = next((root / "msvd" for root in data_roots() if (root / "msvd").is_dir()), None)
    if data is None:
        pytest.skip("no folder msvd in $POLYSENSE_DATA or ../shared/data")
    with gzip.open(data / "clips9.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    with (
        zipfile.ZipFile(data / "clips5_raw_avi.zip") as videos,
        zipfile.ZipFile(data / "clips9_frames_224.zip") as taken,
    ):
        for row in rows[:5]:
            read = clip_frames(videos.read(f"{row['video']}.avi"))
            assert [times for _, times in read] == [1] * FRAMES
            for i, ((pixels, _), _) in enumerate(read):
                expected, _ = decode_picture(taken.read(f"{row['video']}/{i:02}.jpg"))
                assert np.abs(pixels.astype(int) - expected).mean() < 4, (row["video"], i)
