"""Sound features: what a file's samples become, and which files are left out."""

from __future__ import annotations

import io
import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from polysense.alignment import mel, sounds
from polysense.alignment.media import MediaFeatures, UnusableError
from polysense.alignment.registries import ENCODER_WEIGHTS
from polysense.alignment.sfx import SoundEncoder
from polysense.alignment.sounds import blocks_of, decode_sound, encode_blocks, resample, sound_features, statistics
from polysense.errors import PolysenseError


def tone(frequency: float = 440, seconds: float = 0.5, rate: int = 16_000, loudness: float = 0.5) -> np.ndarray:
    return (loudness * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(wave: np.ndarray, rate: int = 16_000, form: str = "WAV", **options: object) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=form, **options)
    return buffer.getvalue()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """A quick encoder, which gives the mean of each band; the list gets the number of blocks of each call."""
    calls: list[int] = []

    class MeanBand(torch.nn.Module):
        def forward(self, blocks: torch.Tensor) -> torch.Tensor:
            calls.append(len(blocks))
            return blocks.mean(dim=1).repeat(1, 6)[:, :512]

    monkeypatch.setattr(SoundEncoder, "load", lambda file: MeanBand() if file.name == "checkpoint.pth" else None)
    monkeypatch.setattr(sounds, "fetch", lambda package, _: tmp_path if package is ENCODER_WEIGHTS else None)
    return calls


def features(folder: Path, *files: Path) -> MediaFeatures:
    return sound_features(files, cache=folder / "cache")


def test_parts_of_sounds(tmp_path: Path, quick: list[int]) -> None:
    files = []
    for name, form, frequency in (
        ("a.wav", "WAV", 300),
        ("b.flac", "FLAC", 900),
        ("c.ogg", "OGG", 2700),
        ("d.mp3", "MP3", 2700),
        ("e.aiff", "AIFF", 300),
    ):
        files.append(tmp_path / name)
        files[-1].write_bytes(encoded(tone(frequency), form=form))
    found = features(tmp_path, *files)
    assert list(found.parts) == ["heard", "spectrum"]
    assert found.parts["heard"].shape == (5, 512)
    assert found.parts["spectrum"].shape == (5, 288)
    assert {part.dtype for part in found.parts.values()} == {np.dtype(np.float32)}
    assert found.kept.tolist() == [0, 1, 2, 3, 4]
    assert quick == [5]
    loudest = found.parts["spectrum"][:, :96].argmax(axis=1)
    assert loudest[0] == loudest[4] < loudest[1] < loudest[2] == loudest[3]
    again = features(tmp_path, *files[::-1])
    assert quick == [5]
    np.testing.assert_array_equal(again.parts["spectrum"], found.parts["spectrum"][::-1])
    assert list(again.parts) == ["heard", "spectrum"]


def test_a_sound_is_its_spectrogram_whatever_its_loudness_rate_and_channels() -> None:
    expected = mel.log_mel(resample(tone(loudness=1), 16_000, mel.RATE))
    quiet = decode_sound(encoded(tone(loudness=0.01), subtype="FLOAT"))
    assert quiet.shape == expected.shape == (1 + 22_050 // mel.HOP, 96)
    np.testing.assert_allclose(quiet, expected, atol=0.02)
    stereo = np.stack([tone(loudness=0.5), tone(loudness=0.3)], axis=1)
    np.testing.assert_allclose(decode_sound(encoded(stereo, subtype="FLOAT")), expected, atol=0.02)
    strong = slice(2, -2), expected.mean(axis=0) > 4
    fast = decode_sound(encoded(tone(rate=48_000, loudness=1), 48_000, subtype="FLOAT"))
    np.testing.assert_allclose(fast[strong], expected[strong], atol=0.1)


def test_only_the_beginning_of_a_long_sound_is_read() -> None:
    wave = np.concatenate([tone(seconds=sounds.MAX_SECONDS, rate=1000, frequency=100), np.ones(9000, np.float32)])
    found = decode_sound(encoded(wave, 1000))
    assert len(found) == 1 + sounds.MAX_SECONDS * mel.RATE // mel.HOP
    np.testing.assert_allclose(found, decode_sound(encoded(wave[:-9000], 1000)), atol=1e-5)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no sound at all", "not a sound"),
        (encoded(tone())[:30], "not a sound"),
        (encoded(tone(), form="FLAC")[:60], "not a sound|no sound in it|broken"),
        (encoded(np.zeros(0, np.float32)), "no sound in it"),
        (encoded(np.zeros(500, np.float32)), "silent"),
        (encoded(np.full(500, np.nan, np.float32), subtype="FLOAT"), "not all samples are numbers"),
        (encoded(np.full(500, np.inf, np.float32), subtype="FLOAT"), "not all samples are numbers"),
        (encoded(tone(), 400_000), "400000 samples a second, more than 384000"),
        (encoded(np.ones((50, 33), np.float32)), "33 channels, more than 32"),
    ],
    ids=["text", "cut", "cut-flac", "empty", "silent", "nan", "inf", "rate", "channels"],
)
def test_what_is_no_usable_sound(data: bytes, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        decode_sound(data)


def test_bad_files_are_left_out_and_named(tmp_path: Path, quick: list[int], caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "good.wav").write_bytes(encoded(tone()))
    (tmp_path / "bad.wav").write_text("text")
    (tmp_path / "empty.wav").touch()
    with caplog.at_level(logging.WARNING):
        found = features(tmp_path, *(tmp_path / f"{name}.wav" for name in ("bad", "good", "empty", "gone")))
    assert found.kept.tolist() == [1]
    assert "3 of 4 sounds are left out" in caplog.text
    assert "empty.wav (empty file)" in caplog.text
    with pytest.raises(PolysenseError, match=r"none of the 1 sounds could be read: .*bad.wav .* give WAV"):
        features(tmp_path, tmp_path / "bad.wav")


@pytest.mark.parametrize(
    ("frames", "starts"), [(1, [0]), (100, [0]), (149, [0]), (150, [0, 50]), (260, [0, 50, 100, 150])]
)
def test_blocks_overlap_by_half(frames: int, starts: list[int]) -> None:
    spectrogram = np.arange(1, frames + 1, dtype=np.float32)[:, None].repeat(96, axis=1)
    blocks = blocks_of(spectrogram)
    assert blocks.shape == (len(starts), 100, 96)
    for block, start in zip(blocks, starts, strict=True):
        expected = [start + i + 1 if start + i < frames else 0 for i in range(100)]
        assert block[:, 7].tolist() == expected


def test_a_sound_is_the_mean_of_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "_BLOCKS", 2)
    blocks = np.random.default_rng(0).uniform(0, 5, (5, 100, 96)).astype(np.float32)
    found = encode_blocks(lambda x: x.amax(dim=1), [blocks[:3], blocks[3:]])  # type: ignore[arg-type]
    np.testing.assert_allclose(found[0], blocks[:3].max(axis=1).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[1], blocks[3:].max(axis=1).mean(axis=0), rtol=1e-5)


def test_statistics_leave_out_silence() -> None:
    sounding = np.random.default_rng(0).uniform(3, 4, (6, 96)).astype(np.float32)
    silence = np.zeros((5, 96), np.float32)
    found = statistics(np.concatenate([silence, sounding, silence]))
    mean, deviation, change = found.reshape(3, 96)
    for band in (0, 50):
        values = [float(frame[band]) for frame in sounding]
        average = sum(values) / 6
        assert mean[band] == pytest.approx(average, rel=1e-4)
        assert deviation[band] == pytest.approx((sum((v - average) ** 2 for v in values) / 6) ** 0.5, rel=1e-3)
        steps = [abs(b - a) for a, b in pairwise(values)]
        assert change[band] == pytest.approx(sum(steps) / 6, rel=1e-3)
    assert np.isfinite(statistics(np.ones((1, 96), np.float32))).all()
