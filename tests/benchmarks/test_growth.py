from __future__ import annotations

import math

import pytest
from benchmarks.growth.curve import Curve, Point


def test_exponents() -> None:
    curve = Curve("squares", "rows", [Point(n, n**2 * 1e-6, 0.01 * n) for n in (10, 100, 1000)], 2, 1)
    assert curve.exponents("seconds") == pytest.approx((2, 2))
    whole, end = curve.exponents("megabytes")
    assert math.isnan(whole)  # a tenth of a megabyte tells nothing
    assert end == pytest.approx(1)


def test_memory_that_is_not_there_has_no_exponent() -> None:
    curve = Curve("opening", "rows", [Point(10, 1, 0), Point(100, 1, -0.5)], 0, 0)
    assert all(math.isnan(exponent) for exponent in curve.exponents("megabytes"))
