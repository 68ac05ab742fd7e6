"""Colour histograms: against a plain loop, against published Lab values, and on pictures whose colour is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from polysense.pictures import colour


def loop_lab(rgb: tuple[int, int, int]) -> tuple[float, float, float]:
    r, g, b = (v / 255 / 12.92 if v / 255 <= 0.04045 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in map(float, rgb))
    x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883
    fx, fy, fz = (v ** (1 / 3) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def loop_histogram(pixels: NDArray[np.uint8]) -> list[float]:
    levels = (0, 85, 170, 255)
    anchors = [loop_lab((r, g, b)) for r in levels for g in levels for b in levels]
    total = [0.0] * 64
    for pixel in pixels.tolist():
        weights = [math.exp(-((math.dist(loop_lab(pixel), anchor) / 12) ** 2) / 2) for anchor in anchors]
        for index, weight in enumerate(weights):
            total[index] += weight / sum(weights) / len(pixels)
    return total


@pytest.mark.parametrize(
    ("rgb", "lab"),  # values of Bruce Lindbloom's calculator, D65
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.241, 80.092, 67.203)),
        ((0, 255, 0), (87.735, -86.183, 83.179)),
        ((0, 0, 255), (32.297, 79.188, -107.860)),
        ((10, 10, 10), (2.742, 0, 0)),
    ],
)
def test_lab_values(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(colour.lab_from_rgb(np.array([rgb], dtype=np.uint8))[0], lab, atol=0.01)


def test_histogram_equals_the_loop() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 3), dtype=np.uint8)
    histogram = colour.colour_histogram(pixels)
    assert histogram.dtype == np.float32
    assert histogram.shape == (64,)
    np.testing.assert_allclose(histogram, loop_histogram(pixels), atol=1e-5)


def test_every_anchor_is_its_own_first_choice() -> None:
    for index, anchor in enumerate(colour.ANCHORS):
        assert colour.colour_histogram(anchor[None]).argmax() == index
    assert colour.ANCHORS[16 * 3 + 4 * 2 + 1].tolist() == [255, 170, 85]


def test_histogram_is_a_mean_that_sums_to_one() -> None:
    red, blue = np.array([[250, 10, 10]], np.uint8), np.array([[20, 20, 240]], np.uint8)
    mixed = colour.colour_histogram(np.concatenate([red, red, red, blue]))
    expected = 0.75 * colour.colour_histogram(red) + 0.25 * colour.colour_histogram(blue)
    np.testing.assert_allclose(mixed, expected, atol=1e-6)
    assert mixed.sum() == pytest.approx(1, abs=1e-5)


def test_no_pixels_give_zeros() -> None:
    assert not colour.colour_histogram(np.zeros((0, 3), np.uint8)).any()


def test_foreground_is_what_is_opaque() -> None:
    rgba = np.array([[[1, 2, 3, 255], [4, 5, 6, 127]], [[7, 8, 9, 128], [10, 11, 12, 0]]], np.uint8)
    assert colour.foreground_pixels(rgba).tolist() == [[1, 2, 3], [7, 8, 9]]


def test_a_picture_without_transparency_is_all_foreground() -> None:
    rgba = np.full((3, 5, 4), 255, np.uint8)
    assert colour.foreground_pixels(rgba).shape == (15, 3)


def test_a_faint_picture_is_taken_as_it_looks_on_white() -> None:
    rgba = np.array([[[255, 0, 0, 51], [0, 0, 0, 0]]], np.uint8)
    assert colour.foreground_pixels(rgba).tolist() == [[255, 204, 204], [255, 255, 255]]


def test_at_most_512_pixels_the_same_each_time() -> None:
    rgba = np.random.default_rng(2).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    rgba[:32, :, 3], rgba[32:, :, 3] = 0, 255
    rgba[:32, :, 0], rgba[32:, :, 0] = 0, 200
    # Positions in the other two channels show that no pixel is drawn twice.
    rgba[..., 1], rgba[..., 2] = np.mgrid[:64, :64]
    drawn = colour.foreground_pixels(rgba)
    assert drawn.shape == (512, 3)
    assert (drawn[:, 0] == 200).all()
    assert len({tuple(pixel) for pixel in drawn.tolist()}) == 512
    np.testing.assert_array_equal(drawn, colour.foreground_pixels(rgba))
