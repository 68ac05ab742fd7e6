"""The spectrogram and its filters, against sums written out and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import stft

from polysense.alignment import mel


def slow_filter(band: int) -> list[float]:
    """Weights of one band, bin by bin: a triangle between its neighbours' corners, straight in mel."""

    def to_mel(frequency: float) -> float:
        return 2595 * math.log10(1 + frequency / 700)

    step = to_mel(mel.RATE / 2) / (mel.BANDS + 1)
    low, peak, high = band * step, (band + 1) * step, (band + 2) * step
    weights = []
    for i in range(mel.WINDOW // 2 + 1):
        at = to_mel(i * mel.RATE / mel.WINDOW)
        rise, fall = (at - low) / (peak - low), (high - at) / (high - peak)
        weights.append(max(0.0, min(rise, fall)))
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("band", [0, 1, 40, 95])
def test_filters_are_triangles_in_mel(band: int) -> None:
    # 2595 log10 and 1127 ln differ in the fourth digit.
    np.testing.assert_allclose(mel.filterbank()[band], slow_filter(band), atol=2e-3)


def test_no_band_is_empty_and_each_sums_to_one() -> None:
    bank = mel.filterbank()
    assert bank.shape == (96, 1025)
    assert (bank >= 0).all()
    np.testing.assert_allclose(bank.sum(axis=1), 1)


def test_a_frame_is_its_discrete_fourier_transform() -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, 4000).astype(np.float32)
    found = mel.log_mel(wave)
    frame, start = 2, 2 * mel.HOP - mel.WINDOW // 2
    power = []
    for k in range(mel.WINDOW // 2 + 1):
        total = 0j
        for n in range(mel.WINDOW):
            sample = float(wave[start + n]) if 0 <= start + n < len(wave) else 0.0
            window = 0.5 - 0.5 * math.cos(2 * math.pi * n / (mel.WINDOW - 1))
            total += sample * window * np.exp(-2j * math.pi * k * n / mel.WINDOW) if k < 12 else 0
        power.append(abs(total) ** 2)
    # Low bands read low bins alone.
    for band in range(5):
        weights = mel.filterbank()[band]
        assert weights[12:].sum() == 0
        assert found[frame, band] == pytest.approx(math.log10(1 + 1e4 * float(weights @ power)), rel=1e-4)


def test_against_scipy() -> None:
    wave = np.random.default_rng(1).normal(0, 0.1, 20_000).astype(np.float32)
    found = mel.log_mel(wave)
    window = np.hanning(mel.WINDOW)
    _, _, spectrum = stft(
        wave, window=window, nperseg=mel.WINDOW, noverlap=mel.WINDOW - mel.HOP, boundary="zeros", padded=False
    )
    expected = np.log10(1 + 1e4 * mel.filterbank() @ (np.abs(spectrum * window.sum()) ** 2)).T
    assert found.shape == (1 + 20_000 // mel.HOP, 96)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-4)


@pytest.mark.parametrize("frequency", [110, 1000, 8000])
def test_a_tone_is_loudest_in_its_band(frequency: int) -> None:
    wave = np.sin(2 * np.pi * frequency * np.arange(mel.RATE) / mel.RATE).astype(np.float32)
    band = int(mel.log_mel(wave).mean(axis=0).argmax())
    corners = np.linspace(0, 1127 * math.log1p(mel.RATE / 2 / 700), mel.BANDS + 2)
    assert corners[band] < 1127 * math.log1p(frequency / 700) < corners[band + 2]


def test_one_sample_is_enough_and_silence_is_zero() -> None:
    assert mel.log_mel(np.ones(1, np.float32)).shape == (1, 96)
    assert not mel.log_mel(np.zeros(5000, np.float32)).any()
