from __future__ import annotations

import math
from pathlib import Path

import pytest
from benchmarks.growth import __main__ as growth
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


def test_a_part_is_drawn_beside_what_was_measured_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def part(axis: str) -> list[Curve]:
        asked.append(axis)
        return [Curve("work", axis, [Point(1, 0.1, 2), Point(2, 0.2, 4)], 1, 1)]

    asked: list[str] = []
    drawn: list[str] = []
    names = ("steps", "reading", "store")
    monkeypatch.setattr(growth, "PARTS", {name: lambda _, name=name: part(name) for name in names})
    monkeypatch.setattr(growth, "draw", lambda curves, _: drawn.extend(curve.axis for curve in curves))
    where = ["--output", str(tmp_path / "growth.png")]
    assert growth.main([*where, "--part", "store"]) == growth.main([*where, "--part", "steps"]) == 0
    assert asked == ["store", "steps"]
    assert drawn == ["store", "steps", "store"]
    growth.main(where)
    assert asked[2:] == list(names)
