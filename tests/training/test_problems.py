"""Choices and spans from rows to batches, and from outputs to answers."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, List, Value

import support
from polysense.errors import PolysenseError
from polysense.methods.catalog import method_config
from polysense.methods.row_targets import SpanTarget
from polysense.models import PolysenseProcessor
from polysense.tasks import TaskData
from polysense.training.fine_tune import build_processor, fine_tune, score_splits
from polysense.training.predict import Predictor, as_split, padded
from polysense.training.problems import PROBLEMS
from polysense.training.problems.choices import ChoiceRows, collate_choices
from polysense.training.problems.span_answers import NO_SPAN, SpanAnswer, best_answer
from polysense.training.problems.spans import SpanRows, collate_spans, windows_of
from polysense.training.sampling import sample_rows
from polysense.training.settings import TrainingSettings

LONG = "the dog sits on the mat . a bird sings . the banana is yellow . a red cat sits on a red mat . the bird is red ."
SPAN = Features(
    {
        "id": Value("string"),
        "text": Value("string"),
        "text_pair": Value("string"),
        "answers": List(Value("string")),
        "starts": List(Value("int64")),
    }
)


def processor(max_length: int = 64) -> PolysenseProcessor:
    return PolysenseProcessor(support.bert_tokenizer(64), max_length=max_length)


def spans(rows: list[tuple[str, str, str | None]]) -> Dataset:
    columns: dict[str, list[Any]] = {name: [] for name in SPAN}
    for i, (question, context, answer) in enumerate(rows):
        columns["id"].append(str(i))
        columns["text"].append(question)
        columns["text_pair"].append(context)
        columns["answers"].append([] if answer is None else [answer])
        columns["starts"].append([] if answer is None else [context.index(answer)])
    return Dataset.from_dict(columns, features=SPAN)


@pytest.mark.parametrize("longest", [16, 20, 64])
@pytest.mark.parametrize("answer", ["dog", "banana is yellow", "red cat sits", "."])
def test_every_window_knows_where_its_characters_are(longest: int, answer: str) -> None:
    begin = LONG.index(answer)
    windows = windows_of(processor(longest), 7, ("the cat", LONG), begin, begin + len(answer))
    covered = np.zeros(len(LONG), bool)
    found = []
    for window in windows:
        assert len(window.starts) == len(window.tokens["input_ids"]) <= longest and window.row == 7
        for start, end, inside in zip(window.starts, window.ends, window.candidates, strict=True):
            if inside:
                covered[start:end] = True
        if window.label != (0, 0):
            first, last = window.label
            found.append(LONG[window.starts[first - 1] : window.ends[last - 1]])
        else:
            # The answer is not wholly there.
            inside = window.candidates & (window.starts < begin + len(answer)) & (window.ends > begin)
            there = (window.starts[inside].min(initial=999), window.ends[inside].max(initial=0))
            assert there[0] > begin or there[1] < begin + len(answer)
    assert covered[[i for i, c in enumerate(LONG) if c != " "]].all()
    assert found and set(found) == {answer}
    assert len(windows) == 1 if longest == 64 else len(windows) > 1


def test_a_question_longer_than_the_window_leaves_half_to_the_context() -> None:
    windows = windows_of(processor(20), 0, ("the cat " * 50, LONG), -1, -1)
    for window in windows:
        assert len(window.starts) <= 20 and (window is windows[-1] or window.candidates.sum() >= 7)
    assert len(windows_of(processor(20), 0, ("", ""), -1, -1)) == 1


def test_the_best_span_is_the_best_of_all() -> None:
    generator = np.random.default_rng(0)
    for length, longest in ((1, 3), (7, 3), (12, 30), (40, 5)):
        log_p = generator.normal(size=(1 + length, 2)).astype(np.float32)
        candidates = generator.random(length) < 0.7
        candidates[0] = True
        pairs = [
            (log_p[1 + i, 0] + log_p[1 + j, 1], i, j)
            for i in range(length)
            for j in range(i, min(i + longest, length))
            if candidates[i] and candidates[j]
        ]
        best = max(pairs)
        found = best_answer(log_p, candidates, longest)
        assert (found.first, found.last) == best[1:] and found.score == pytest.approx(best[0], abs=1e-5)
        assert found.no_answer == pytest.approx(log_p[0].sum(), abs=1e-5)
    assert best_answer(log_p, np.zeros(40, bool)).score == NO_SPAN


def test_of_several_windows_the_likelier_span_and_the_least_doubt() -> None:
    first, second = SpanAnswer(-2.0, -0.5, text="a"), SpanAnswer(-1.0, -4.0, text="b")
    both = first.better_of(second)
    assert (both.text, both.no_answer, both.margin) == ("b", -4.0, -3.0)
    assert second.better_of(first) == both and first.better_of(None) is first


def test_answers_are_read_from_the_context_in_the_order_of_the_rows() -> None:
    split = spans([("the cat", LONG, "dog"), ("a bird", "the dog sits", None), ("red", LONG, "red cat sits")])
    rows = SpanRows(split, processor(20), by_length=True)
    assert rows.lengths == sorted(rows.lengths)
    longest = max(rows.lengths)
    log_p = np.full((len(rows), 1 + longest, 2), -9.0, np.float32)
    for i, window in enumerate(rows.windows):
        log_p[i, window.label[0], 0] = log_p[i, window.label[1], 1] = -0.1
        log_p[i, 1 + len(window.starts) :] = 0.0  # beyond the window is nothing
    answers = rows.answers(log_p)
    assert [a.text for a in answers][::2] == ["dog", "red cat sits"]
    assert [LONG[a.begin : a.begin + len(a.text)] for a in answers[::2]] == ["dog", "red cat sits"]
    assert answers[1].margin > 5 and answers[0].margin < -5


def test_batches_of_windows_mark_the_context() -> None:
    rows = SpanRows(spans([("the cat", "a dog", "dog"), ("a bird", LONG, "banana")]), processor())
    batch = collate_spans(processor(), [rows[0], rows[1]])
    tokenizer = processor().tokenizer
    context = batch["input_ids"][0][batch["candidates"][0]].tolist()
    assert tokenizer.convert_ids_to_tokens(context) == ["a", "dog"]
    for row, answer in enumerate(["dog", "banana"]):
        first, last = batch["labels"][row].tolist()
        ids = batch["input_ids"][row, first - 1 : last]  # place 0 is the whole text
        assert tokenizer.convert_ids_to_tokens(ids.tolist()) == [answer]


def test_choices_of_other_numbers_fill_a_batch() -> None:
    split = Dataset.from_dict(
        {"text": ["the cat", "a"], "choices": [["dog", "red"], ["mat", "is", "a bird sings"]], "label": [1, 2]}
    )
    rows = ChoiceRows(split, processor(), by_length=True)
    assert [row[0][0] for row in rows.pairs] == ["the cat", "a"] and rows.lengths[0] <= rows.lengths[1]
    batch = collate_choices(processor(), [rows[0], rows[1]])
    assert batch["input_ids"].shape[:2] == (2, 3) and batch["labels"].tolist() == [1, 2]
    assert batch["candidates"].tolist() == [[True, True, False], [True, True, True]]
    assert batch["input_ids"][0, 2].tolist() == batch["input_ids"][0, 0].tolist()


def test_arrays_of_other_lengths_are_one() -> None:
    both = padded([np.zeros((2, 3)), np.ones((1, 5))])
    assert both.shape == (3, 5) and np.isneginf(both[:2, 3:]).all() and (both[2] == 1).all()
    assert padded([np.zeros(2), np.ones(3)]).shape == (5,) and len(padded([])) == 0


def data_of(kind: str, rows: int = 96) -> TaskData:
    """The answer, or the right choice, is the only animal."""
    animals, things = ("cat", "dog", "bird"), ("mat", "banana")
    generator = np.random.default_rng(0)
    made = []
    for i in range(2 * rows):
        words = ["the", things[generator.integers(2)], "is", "on", "a", things[generator.integers(2)]]
        animal = animals[i % 3]
        words[int(generator.choice([1, 5]))] = animal
        made.append((" ".join(words), animal))
    if kind == "span":
        table = spans([("a", text, animal) for text, animal in made])
        metrics: tuple[str, ...] = ("exact_match", "f1")
    else:
        table = Dataset.from_dict(
            {
                "text": [text for text, _ in made],
                "choices": [[*things[: i % 3], animal, *things[i % 3 :]] for i, (_, animal) in enumerate(made)],
                "label": [i % 3 for i in range(len(made))],
            }
        )
        metrics = ("accuracy",)
    splits = {"train": table.select(range(rows)), "validation": table.select(range(rows, 2 * rows))}
    return TaskData("made", kind, splits, None, metrics, kind == "span")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["span", "choice"])
@pytest.mark.parametrize("method", ["text", "macsc"])
def test_what_is_plain_is_learnt(kind: str, method: str, tmp_path: Any) -> None:
    bert, clip = support.save_bert(tmp_path / "bert"), support.save_clip(tmp_path / "clip")
    chosen = method_config(method)
    settings = TrainingSettings(learning_rate=1e-2, batch_size=8, epochs=15, dropout=0.0)
    made = build_processor(chosen, str(bert), {"image": str(clip)}, settings, False)
    data = data_of(kind)
    trainer = fine_tune(data, chosen, str(bert), made, settings, tmp_path / "run", progress=False)
    scores = score_splits(trainer, data, made)
    name = "validation/exact_match" if kind == "span" else "validation"
    assert scores[name] > 0.8, scores
    trainer.model.save_pretrained(tmp_path / "model")
    made.save_pretrained(tmp_path / "model")
    predictor = Predictor.load(tmp_path / "model", store=False)
    split = data.splits["validation"]
    if kind == "span":
        found = [p.label for p in predictor.predict(split["text"][:], split["text_pair"][:])]
        right = sum(a == b[0] for a, b in zip(found, split["answers"][:], strict=True))
    else:
        found = [p.label for p in predictor.predict(split["text"][:], choices=split["choices"][:])]
        right = sum(a == c[i] for a, c, i in zip(found, split["choices"][:], split["label"][:], strict=True))
    assert right / len(split) == pytest.approx(scores[name])


def test_what_a_kind_needs_is_asked_for() -> None:
    with pytest.raises(PolysenseError, match="give what to choose from"):
        as_split("choice", ["the cat"], None)
    with pytest.raises(PolysenseError, match="is for classification and chooses from nothing"):
        as_split("classification", ["the cat"], [["a"]])
    with pytest.raises(PolysenseError, match="chooses for single texts: leave the second texts out"):
        as_split("choice", [("the cat", "a dog")], [["a", "b"]])
    with pytest.raises(PolysenseError, match="1 texts but 2"):
        as_split("choice", ["the cat"], [["a"], ["b"]])
    with pytest.raises(PolysenseError, match="from a context"):
        as_split("span", ["the cat"], None)


def test_shares_and_shots_are_the_same_for_the_same_seed() -> None:
    labels = [0] * 30 + [1] * 8 + [2] * 2
    split = Dataset.from_dict({"text": [str(i) for i in range(40)], "label": labels})
    data = TaskData("t", "classification", {"train": split}, ("a", "b", "c"), ("accuracy",), False)
    twice = [sample_rows(data, seed=3, share=0.05).splits["train"]["text"][:] for _ in range(2)]
    assert twice[0] == twice[1] and len(twice[0]) == math.ceil(0.05 * 40)
    drawn = sample_rows(data, seed=1, shots=5).splits["train"]
    assert [drawn["label"][:].count(c) for c in range(3)] == [5, 5, 2]
    assert [int(t) for t in drawn["text"]] == sorted(int(t) for t in drawn["text"])
    assert drawn["text"][:] != sample_rows(data, seed=2, shots=5).splits["train"]["text"][:]
    for wrong in ({"share": 0.0}, {"share": 1.5}, {"shots": 0}, {"rows": 3, "share": 0.5}):
        with pytest.raises(PolysenseError):
            sample_rows(data, **wrong)  # type: ignore[arg-type]
    with pytest.raises(PolysenseError, match="no classes"):
        sample_rows(data_of("span"), shots=2)
    assert len(sample_rows(data_of("choice"), shots=2).splits["train"]) == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": 2.5}, "t: train-rows must be a whole number, not 2.5"),
        ({"rows": "5"}, "t: train-rows must be a whole number, not '5'"),
        ({"shots": 1.5}, "t: shots must be a whole number, not 1.5"),
        ({"share": "0.05"}, "t: train-share must be a number, not '0.05'"),
        ({"share": True}, "t: train-share must be a number, not True"),
    ],
)
def test_how_many_rows_is_a_number(wrong: dict[str, Any], message: str) -> None:
    split = Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 0]})
    data = TaskData("t", "classification", {"train": split}, ("a", "b"), ("accuracy",), False)
    with pytest.raises(PolysenseError, match=message):
        sample_rows(data, **wrong)


def test_the_margin_of_no_answer_is_the_best_of_the_validation_rows() -> None:
    split = spans([("a", "the dog sits", "dog"), ("a", "a red mat", None), ("a", "the bird is red", "bird")])
    rows = SpanRows(split, processor())
    longest = max(rows.lengths)
    log_p = np.full((len(rows), 1 + longest, 2), -9.0, np.float32)
    # The answers are found; "no answer" is likelier by 4, 8 and 5: above 5 alone it is right.
    for i, (window, lead) in enumerate(zip(rows.windows, (4.0, 8.0, 5.0), strict=True)):
        first, last = window.label if window.label[0] else (4, 4)
        log_p[i, first, 0] = log_p[i, last, 1] = -5.0
        log_p[i, 0] = (-10.0 + lead) / 2
    model = SimpleNamespace(target=SpanTarget([0.3, 0.7]), config=SimpleNamespace(target={"frequency": [0.3, 0.7]}))
    model.config.no_answer_margin = 0.0
    data = TaskData("v2", "span", {"validation": split}, None, ("exact_match", "f1"), True)
    span = PROBLEMS["span"]
    assert [p.label for p in span.predictions(rows, log_p, model.config)] == ["", "", ""]
    assert span.score(data, rows, log_p, model.config)["f1"] == pytest.approx(1 / 3)
    span.calibrate(rows, log_p, model)
    assert 5.0 <= model.config.no_answer_margin < 8.0
    assert [p.label for p in span.predictions(rows, log_p, model.config)] == ["dog", "", "bird"]
    assert span.score(data, rows, log_p, model.config) == {"exact_match": 1.0, "f1": 1.0}
    assert f"is larger by {model.config.no_answer_margin:+.2f}, " in span.score_note(model.config)
    always = SimpleNamespace(target={"frequency": None})
    assert span.score_note(always) == PROBLEMS["choice"].score_note(always) == ""
    assert "" not in [p.label for p in span.predictions(rows, log_p, always)]


def test_the_shares_of_answers_are_those_of_the_windows(tmp_path: Any) -> None:
    """Eq. 4: of what a prediction is made of and trained on; the model is saved with them."""
    split = spans([("the cat", LONG, "dog"), ("a", "the dog sits", "dog"), ("a", "a red mat", None)])
    data = TaskData("v2", "span", {"train": split}, None, ("exact_match", "f1"), True)
    bert = support.save_bert(tmp_path / "bert")
    settings = TrainingSettings(max_length=20, epochs=1)
    made = build_processor(method_config("text"), str(bert), {}, settings, False)
    rows = SpanRows(split, made)
    empty = sum(window.label == (0, 0) for window in rows.windows)
    assert len(rows.windows) > 3 and 0 < empty / len(rows.windows) != pytest.approx(1 / 3)
    trainer = fine_tune(data, method_config("text"), str(bert), made, settings, tmp_path / "run", progress=False)
    shares = pytest.approx([empty / len(rows.windows), 1 - empty / len(rows.windows)])
    assert trainer.model.target.frequency == trainer.model.config.target["frequency"] == shares
    trainer.model.save_pretrained(tmp_path / "model")
    assert type(trainer.model).from_pretrained(str(tmp_path / "model")).target.frequency == shares
    always = SimpleNamespace(target=SpanTarget(None))
    PROBLEMS["span"].fit(always, rows)
    assert always.target.frequency == ()


def test_a_context_without_a_word_does_not_end_a_run() -> None:
    split = spans([("a", "", None), ("a", "the dog sits", "dog")])
    rows = SpanRows(split, processor())
    log_p = np.full((len(rows), 1 + max(rows.lengths), 2), -2.0, np.float32)
    model = SimpleNamespace(target=SpanTarget([0.5, 0.5]), config=SimpleNamespace(target={"frequency": [0.5, 0.5]}))
    PROBLEMS["span"].calibrate(rows, log_p, model)
    assert np.isfinite(model.config.no_answer_margin)


def test_windows_that_hold_nothing_are_refused() -> None:
    with pytest.raises(PolysenseError, match="max-length 12: "):
        SpanRows(spans([("a", LONG, "dog")]), processor(12))
