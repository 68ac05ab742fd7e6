"""Texts that no one would write to a colleague train, predict and are explained like any other."""

from __future__ import annotations

import pytest

from polysense.training.predict import Predictor
from polysense.training.train import train
from tiny_runs import text_rows, write_rows

pytest_plugins = ("tiny_runs",)

ODD = {
    "empty": "",
    "blank": "  \t ",
    "long": "banana " * 10_000,
    "emoji": "👩‍👩‍👧‍👦 😀",
    "surrogate": "cat \ud83d dog",
    "nul": "cat\0dog",
    "right to left": "\u202eقطة‏ חתול",
    "combining": "e\u0301" * 30 + "Z\u0351\u0300\u0357" * 5,
    "control": "\x07\x1b[31m\u2028",
    "other languages": "Ein Hund bellt das rote Auto an. 一只狗对着红色的汽车吠叫。",
    "5,000 words": "the red cat sits on the mat and a dog barks at it . " * 360,
}


@pytest.fixture(scope="module", params=["macsc", "mase"])
def method(request):
    return request.param


@pytest.fixture(scope="module")
def trained(method, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "model"
    train(folder, **tiny, method=method)
    return folder


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_texts_have_predictions(cli, trained, text):
    """Text and file give the same, beside ordinary texts whose predictions do not change."""
    found = cli("predict", trained, "--text", "a cat", "--text", text, "--json").json["predictions"]
    plain = Predictor.load(trained).predict(["a cat"])[0]
    assert found[0]["probabilities"] == pytest.approx(plain.probabilities, abs=1e-5)
    assert found[1]["text"] == text.replace("\0", "\ufffd").replace("\ud83d", "\ufffd")
    assert sum(found[1]["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert cli("predict", trained, "--text", text).status == 0


def test_odd_texts_can_be_trained_on(cli, method, tmp_path, flags):
    rows = [*text_rows(), *({"text": text, "label": "odd"} for text in ODD.values())]
    file = write_rows(tmp_path / "odd.jsonl", rows)
    model = tmp_path / "m"
    own = ["--train-file", file, "--validation-file", file, *flags[2:]]
    results = cli("train", "--output-dir", model, *own, "--method", method, "--json").json
    assert results["rows"] == {"train": 24 + len(ODD), "validation": 24 + len(ODD)}
    predicted = cli("predict", model, "--file", file, "--json").json["predictions"]
    again = cli("predict", model, *(part for row in rows for part in ("--text", row["text"])), "--json").json
    assert [row["prediction"] for row in predicted] == [row["prediction"] for row in again["predictions"]]
    assert results["scores"]["validation"] == pytest.approx(
        sum(p["prediction"] == row["label"] for p, row in zip(predicted, rows, strict=True)) / len(rows)
    )


def test_odd_texts_can_be_explained(cli, trained, tmp_path):
    for text in ODD.values():
        page = tmp_path / "page.html"
        assert cli("explain", trained, text, "--html", page).status == 0
        assert "</html>" in page.read_text()
