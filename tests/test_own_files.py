"""Questions and concepts of one's own from the command line, and classes that were learnt from prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.experiments.figures.inputs import open_model
from polysense.tasks import TaskData
from polysense.training.evaluate import evaluate
from polysense.training.predict import Predictor
from polysense.training.train import train
from support import sentences
from tiny_backbones import save_backbone
from tiny_runs import Cli, TinyTask, text_rows, write_rows

pytest_plugins = ("tiny_runs",)


def questions(count: int) -> list[dict[str, Any]]:
    found = []
    for i, text in enumerate(sentences(count, 5)):
        word = text.split()[0]
        answers = {"text": [word], "answer_start": [0]} if i % 5 else {"text": [], "answer_start": []}
        found.append({"id": f"q{i}", "question": "the", "context": text, "answers": answers})
    return found


def choices(count: int) -> list[dict[str, Any]]:
    return [{"question": text, "choices": ["cat", "dog"], "label": len(text) % 2} for text in sentences(count, 5)]


def concepts(count: int) -> list[dict[str, Any]]:
    return [{"concepts": text.split(), "target": f"{text}."} for text in sentences(count, 4)]


@pytest.fixture
def given(bert_folder: Path, clip_folder: Path) -> list[str]:
    return f"--backbone {bert_folder} --tower image={clip_folder} --epochs 1 --max-length 32".split()


def test_spans_from_the_command_line(cli: Cli, tmp_path: Path, given: list[str]) -> None:
    file, model = write_rows(tmp_path / "mine.jsonl", questions(24)), tmp_path / "model"
    results = cli("train", "--output-dir", model, "--train-file", file, *given, "--json").json
    assert (results["kind"], results["task"], results["metrics"]) == ("span", "mine", ["exact_match", "f1"])
    assert results["settings"]["batch_size"] == 12  # SQuAD's
    assert any("threshold" in note for note in results["notes"])
    scored = cli("evaluate", model, "--file", file, "--json").json
    assert set(scored["scores"]) == {"mine.jsonl/exact_match", "mine.jsonl/f1"} and scored["rows"] == {"mine.jsonl": 24}
    assert scored["notes"] == []
    odd = [{**row, "answers": {"text": ["zebra"], "answer_start": [0]}} for row in questions(2)]
    told = "2 questions have no answer that is in their context; they are scored by its text"
    odd_file = write_rows(tmp_path / "odd.jsonl", odd)
    assert cli("evaluate", model, "--file", odd_file, "--json").json["notes"] == [told]
    assert told in " ".join(cli("evaluate", model, "--file", odd_file).out.split())
    rows = cli("predict", model, "--file", file, "--json").json["predictions"]
    assert [row["id"] for row in rows] == [f"q{i}" for i in range(24)]
    assert all(row["prediction"] in row["text_pair"] for row in rows)
    again = cli("predict", model, "--text", "the", "--text-pair", rows[0]["text_pair"], "--json").json["predictions"]
    assert again == [{name: value for name, value in rows[0].items() if name != "id"}]
    columns = ("--text-column", "question", "--text-column", "context")
    assert cli("predict", model, "--file", file, *columns, "--json").json["predictions"][0] == again[0]
    assert "--label-column is for classes and values" in cli(
        "evaluate", model, "--file", file, "--label-column", "answers"
    ).error  # fmt: skip
    assert (
        "no column 'question'" in cli("predict", model, "--file", write_rows(tmp_path / "x.jsonl", concepts(2))).error
    )


def test_choices_from_the_command_line(cli: Cli, tmp_path: Path, given: list[str]) -> None:
    file, model = write_rows(tmp_path / "mine.jsonl", choices(24)), tmp_path / "model"
    results = cli("train", "--output-dir", model, "--train-file", file, "--kind", "choice", *given, "--json").json
    assert results["kind"] == "choice" and set(results["scores"]) == {"validation"}
    scored = cli("evaluate", model, "--file", file, "--json").json["scores"]["mine.jsonl"]
    rows = cli("predict", model, "--file", file, "--json").json["predictions"]
    right = sum(
        row["prediction"] == given["choices"][given["label"]] for row, given in zip(rows, choices(24), strict=True)
    )
    assert right / 24 == pytest.approx(scored)
    asked = ("predict", model, "--text", "the cat")
    assert "give what to choose from (--choice" in cli(*asked).error
    pairs = cli(*asked, "--text-pair", "a dog", "--choice", "x", "--choice", "y").error
    assert pairs == "this model chooses for single texts: leave the second texts out"
    assert "has choices of its own: leave --choice out" in cli("predict", model, "--file", file, "--choice", "x").error
    shown = cli(*asked, "--choice", "red", "--choice", "yellow", "--json").json["predictions"]
    assert set(shown[0]["probabilities"]) == {"red", "yellow"}


def test_concepts_from_the_command_line(
    cli: Cli, tmp_path: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "polysense.training.problems.generation"
    seen: list[Any] = []

    def score(written: list[str], references: list[list[str]]) -> dict[str, float]:
        seen.append(references)
        return {"bleu4": 0.1, "meteor": 0.2, "rouge_l": 0.3, "cider": 0.4}

    monkeypatch.setattr(f"{module}.check_java", lambda: None)
    monkeypatch.setattr(f"{module}.score_generations", score)
    file, model = write_rows(tmp_path / "mine.jsonl", concepts(24)), tmp_path / "model"
    backbone = save_backbone("t5", tmp_path / "t5")
    given = ("--backbone", backbone, "--tower", f"image={clip_folder}", "--epochs", 1, "--beams", 1)
    results = cli("train", "--output-dir", model, "--train-file", file, *given, "--json").json
    assert results["kind"] == "generation" and results["scores"]["validation/cider"] == 0.4
    scored = cli("evaluate", model, "--file", file, "--json").json
    assert scored["scores"]["mine.jsonl/bleu4"] == 0.1 and len(seen[-1]) == scored["rows"]["mine.jsonl"]
    rows = cli("predict", model, "--file", file, "--json").json["predictions"]
    assert [row["text"] for row in rows] == [" ".join(row["concepts"]) for row in concepts(24)]
    assert rows[0] == cli("predict", model, "--text", rows[0]["text"], "--json").json["predictions"][0]


def test_a_wrong_field_is_one_line(cli: Cli, tmp_path: Path, given: list[str]) -> None:
    rows = [{"question": row["question"], "contexts": row["context"]} for row in questions(4)]
    file = write_rows(tmp_path / "mine.jsonl", rows)
    told = cli("train", "--output-dir", tmp_path / "m", "--train-file", file, "--kind", "span", *given).error
    assert "mine.jsonl: no column 'context' (did you mean 'contexts'?)" in told
    nested = tmp_path / "mine.json"
    nested.write_text(json.dumps({"data": [{"paragraphs": [{"qas": []}]}]}))
    told = cli("train", "--output-dir", tmp_path / "m", "--train-file", nested, *given).error
    assert "mine.json, data[0].paragraphs[0]: its 'context' is no text" in told


@pytest.fixture
def prompted_model(tmp_path: Path, tiny: dict[str, Any], tiny_task: Any) -> Callable[..., Path]:
    def trained(**more: Any) -> Path:
        own = {name: value for name, value in tiny.items() if name != "train_file" or "task" not in more}
        train(tmp_path / "prompted", prompt=True, **{**own, **more})
        return tmp_path / "prompted"

    return trained


def test_prompts_are_the_models_and_its_predictions_classes(
    cli: Cli, tmp_path: Path, prompted_model: Callable[..., Path], rows_file: Path, tiny_task: Any
) -> None:
    model = prompted_model()
    predictor = Predictor.load(model)
    assert predictor.kind == "choice" and predictor.label_names == ("long", "short")
    texts = [row["text"] for row in text_rows()]
    classes = predictor.predict(texts)
    statements = predictor.predict(texts, choices=[["It is long.", "It is short."]] * len(texts))
    assert {prediction.label for prediction in classes} <= {"long", "short"}
    assert [f"It is {p.label}." for p in classes] == [p.label for p in statements]
    assert [list(p.probabilities.values()) for p in classes] == [list(p.probabilities.values()) for p in statements]
    right = sum(p.label == row["label"] for p, row in zip(classes, text_rows(), strict=True)) / len(texts)
    assert evaluate(model, file=rows_file, progress=False)["scores"] == {"rows.jsonl": pytest.approx(right)}
    found = cli("predict", model, "--text", texts[0], "--json").json["predictions"]
    assert [(row["text"], row["prediction"]) for row in found] == [(texts[0], classes[0].label)]
    assert found[0]["probabilities"] == pytest.approx(classes[0].probabilities, abs=1e-5)
    by_file = cli("predict", model, "--file", rows_file, "--json").json["predictions"]
    assert [row["prediction"] for row in by_file] == [p.label for p in classes]
    both = cli("predict", model, "--text", "a", "--text-pair", "b").error
    assert (
        both
        == "this model was trained on single texts: leave the second texts out (--text-pair, or --text-column twice)"
    )
    assert (
        "labels long, short; those of the task tiny are red, yellow" in cli("evaluate", model, "--task", "tiny").error
    )
    told = cli("explain", model, "a").error
    assert "prompted learnt classes from prompts" in told and "without --prompt" in told
    with pytest.raises(PolysenseError, match="learnt classes from prompts: figures are of models trained without"):
        open_model(model, tiny_task.load(None), 2, None)


def test_a_model_that_chooses_is_not_scored_on_classes(
    cli: Cli, tmp_path: Path, given: list[str], tiny_task: Any
) -> None:
    file, model = write_rows(tmp_path / "mine.jsonl", choices(24)), tmp_path / "model"
    cli("train", "--output-dir", model, "--train-file", file, *given, "--json")
    told = cli("evaluate", model, "--task", "tiny").error
    assert told.endswith("model was trained for choice; the task tiny is one of classification")


def test_prompts_of_pairs_ask_for_both_texts(
    cli: Cli, prompted_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polysense.tasks.prompts.PROMPTS", {"tiny": ("No, {}", "Yes, {}")})
    load = TinyTask.load

    def paired(task: TinyTask, data_dir: Path | None = None) -> TaskData:
        data = load(task, data_dir)
        splits = {name: split.add_column("text_pair", split["text"][:]) for name, split in data.splits.items()}
        return replace(data, splits=splits, has_pair=True)

    monkeypatch.setattr(TinyTask, "load", paired)
    model = prompted_model(task="tiny")
    assert {p.label for p in Predictor.load(model).predict(["a", "b"], ["{} c", "d"])} <= {"red", "yellow"}
    told = cli("predict", model, "--text", "a").error
    assert (
        told
        == "this model was trained on pairs of texts: give the second texts, too (--text-pair, or --text-column twice)"
    )
    scores = evaluate(model, "tiny", progress=False)["scores"]
    assert set(scores) == {"validation", "coda_test", "memory_color"}
    told = cli("evaluate", model, "--file", write_rows(model.parent / "x.jsonl", [{"text": "a", "label": "red"}])).error
    assert "was trained on pairs of texts: give --text-column twice" in told


def test_a_task_without_classes_has_no_prompt(cli: Cli, tmp_path: Path, rows_file: Path, given: list[str]) -> None:
    own = ("--train-file", rows_file, "--label-column", "value", "--prompt")
    told = cli("train", "--output-dir", tmp_path / "m", *own, *given).error
    assert "there is no prompt for regression" in told and "leave the prompt out" in told
