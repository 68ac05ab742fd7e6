from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from benchmarks.growth import __main__ as growth
from benchmarks.growth.counts import count
from benchmarks.growth.curve import Curve, Point
from benchmarks.growth.drawing import draw
from benchmarks.growth.steps import Place, reading_curve, step_curves
from benchmarks.growth.stores import shards_of_a_batch, store_curves
from PIL import Image
from torch.nn import functional as F


def test_exponents() -> None:
    curve = Curve("squares", "rows", [Point(n, n**2 * 1e-6, 0.2 * n, n**3, 1) for n in (1, 10, 100)])
    assert curve.exponent("seconds") == pytest.approx(2)
    assert curve.exponent("megabytes") == pytest.approx(1)
    assert curve.exponent("expected_time") == pytest.approx(3)
    assert curve.exponent("expected_memory") == 0


@pytest.mark.parametrize("megabytes", [(0, 0), (0, 5), (5, -0.5), (0.9, 5)])
def test_memory_that_is_not_there_has_no_exponent(megabytes: tuple[float, float]) -> None:
    curve = Curve("opening", "rows", [Point(n, 1, taken, 1, 1) for n, taken in zip((1, 10), megabytes, strict=True)])
    assert math.isnan(curve.exponent("megabytes"))


def test_one_size_has_no_exponent() -> None:
    assert math.isnan(Curve("opening", "rows", [Point(1, 1, 5, 1, 1)]).exponent("seconds"))


def test_counts_are_those_of_matrix_products_and_of_what_is_kept() -> None:
    there = torch.zeros(8, 4)
    weight = torch.zeros(4, 16, requires_grad=True)
    found = count(lambda: torch.sigmoid(there @ weight).sum().backward(), [there, weight])
    products = 2 * 8 * 4 * 16
    assert found.operations == 2 * products  # forward, and the weight's gradient: `there` has none
    assert found.megabytes * 1e6 == 4 * (8 * 16 + 4 * 16)  # the sigmoid's result, and the gradient


def test_views_of_one_tensor_are_kept_once() -> None:
    def work() -> None:
        made = torch.sigmoid(weight)
        (made[:2] * made[2:] * made[1:3]).sum().backward()

    weight = torch.zeros(4, 3, requires_grad=True)
    between = 2 * 3  # the first product
    assert count(work, [weight]).megabytes * 1e6 == 4 * (4 * 3 + between + 4 * 3)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_attention_counts_the_same_with_dropout_and_without(dropout: float, trained: bool) -> None:
    batch, heads, length, width = 2, 3, 5, 4
    states = torch.zeros(batch, heads, length, width, requires_grad=trained)

    def work() -> None:
        found = F.scaled_dot_product_attention(states * 1, states * 1, states * 1, dropout_p=dropout)
        if trained:
            found.sum().backward()

    product = 2 * batch * heads * length**2 * width
    # Backward without dropout the scores are computed anew.
    assert count(work).operations == product * (2 + trained * (4 + (dropout == 0)))


def test_tensors_that_were_there_are_not_kept_however_nested() -> None:
    nested, weight = {"prototypes": {"image": torch.ones(3, 4)}}, torch.ones(3, 4, requires_grad=True)
    found = count(lambda: (weight * nested["prototypes"]["image"]).sum().backward(), [nested, weight])
    assert found.megabytes * 1e6 == 4 * 3 * 4


def test_small_curves(tmp_path: Path) -> None:
    axes = {"words": ("words", (4, 6)), "k": ("K", (2,))}
    curves = [
        *step_curves(Place(batch=2, words=4, k=1, modalities=1), axes),
        reading_curve((4, 6)),
        *store_curves((9,)),
    ]
    assert [curve.name for curve in curves] == [
        "text", "MaCSC", "MASE", "MaCSC", "MASE", "reading prototypes", "writing files", "opening", "reading 32 texts",
    ]  # fmt: skip
    assert all(point.seconds > 0 < point.expected_time for curve in curves for point in curve.points)
    text, macsc = (curve.values("expected_time") for curve in curves[:2])
    assert all(one < other for one, other in zip(text, macsc, strict=True))
    draw(curves, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height > 500
    lines = growth.table(curves).splitlines()
    assert len(lines) == 2 + len(curves)
    assert all(line.count("|") == 11 and "nan" not in line for line in lines)


def test_a_store_that_is_too_small_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        growth.main(["--output", str(tmp_path / "growth.png"), "--most-texts", "999"])
    assert "--most-texts is at least 1,000" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("shards", "expected"), [(1, 1), (2, 2), (1_000_000, 32)])
def test_a_batch_touches_as_many_shards_as_it_can(shards: int, expected: float) -> None:
    assert shards_of_a_batch(shards) == pytest.approx(expected, rel=1e-4)


def test_a_part_is_drawn_beside_what_was_measured_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def part(axis: str) -> list[Curve]:
        asked.append(axis)
        return [Curve("work", axis, [Point(1, 0.1, 2, 1, 1), Point(2, 0.2, 4, 2, 2)])]

    asked: list[str] = []
    drawn: list[str] = []
    names = ("steps", "reading", "store")
    monkeypatch.setattr(growth, "PARTS", {name: lambda _, name=name: part(name) for name in names})
    monkeypatch.setattr(growth, "draw", lambda curves, _: drawn.extend(curve.axis for curve in curves))
    where = ["--output", str(tmp_path / "growth.png")]
    assert growth.main([*where, "--part", "store"]) == growth.main([*where, "--part", "steps"]) == 0
    assert asked == ["store", "steps"]
    assert drawn == ["store", "steps", "store"]
    older = '{"steps": [{"name": "of an older version", "points": []}]}'
    (tmp_path / "growth.json").write_text(older)
    growth.main(where)
    assert asked[2:] == list(names)
    (tmp_path / "growth.json").write_text(older)
    growth.main([*where, "--part", "steps"])
