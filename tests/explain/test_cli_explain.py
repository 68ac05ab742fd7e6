"""`polysense explain`."""

from __future__ import annotations

import json

import pytest

from polysense.training.predict import Predictor

pytest_plugins = ("tiny_runs",)

TEXT = "the cat sits on the [red] mat"


def test_shows_in_the_terminal_and_writes_the_page(cli, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = cli("explain", trained, TEXT)
    assert outcome.status == 0 and TEXT in outcome.out and "explain.html" in outcome.out
    (own,) = Predictor.load(trained).predict([TEXT])
    assert f"{own.label} {100 * own.probabilities[own.label]:.1f}%" in outcome.out
    assert f"<bdi>{own.label}</bdi>" in (tmp_path / "explain.html").read_text(encoding="utf-8")


def test_json_is_what_predict_says_and_more(cli, trained, tmp_path):
    file = tmp_path / "new" / "page.html"
    found = cli("explain", trained, "odd \udcff", "--html", file, "--json").json
    assert file.exists() and found["page"] == str(file) and found["texts"] == ["odd \ufffd"]
    (own,) = cli("predict", trained, "--text", "odd \udcff", "--json").json["predictions"]
    assert {name: found[name] for name in ("prediction", "probabilities")} == {
        "prediction": own["prediction"], "probabilities": pytest.approx(own["probabilities"])}  # fmt: skip
    assert set(found["modalities"]) == {"text", "image"} and found["graph"] is None
    assert json.loads(json.dumps(found)) == found


def test_no_page(cli, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = cli("explain", trained, "a \0dog", "--no-html", "--json").json
    assert found["page"] is None and found["texts"] == ["a \ufffddog"] and list(tmp_path.iterdir()) == []
    told = cli("explain", trained, "the cat", "--text-pair", "a dog", "--no-html").error
    assert told == "this model was trained on single texts: leave the second texts out (--text-pair)"


def test_bad_input_is_one_line(cli, trained, tmp_path):
    assert "no trained Polysense model" in cli("explain", tmp_path / "none", "a", "--no-html").error
    assert "--html" in cli("explain", trained, "a", "--html", tmp_path).error
    blocked = tmp_path / "file"
    blocked.write_text("x")
    assert str(blocked) in cli("explain", trained, "a", "--html", blocked / "page.html").error
    assert blocked.read_text() == "x"
    assert "argument" in cli("explain", trained).error
