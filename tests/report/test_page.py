"""The page as text: what it says, and that nothing from outside gets into its markup."""

from __future__ import annotations

import re

import pytest

from parsed_page import PAYLOADS, Parsed
from polysense.report import REPORT_FILE, write_report
from polysense.report.page import report

MOST_BYTES = 500_000


def parsed(run):
    return Parsed(report(run.results, run.log, run.looks))


def between(found, first, last):
    return found.text.split(first, 1)[1].split(last, 1)[0]


def test_every_page_is_whole_small_and_needs_nothing(made_up, tmp_path):
    write_report(tmp_path, made_up.results, made_up.log, made_up.looks)
    text = (tmp_path / REPORT_FILE).read_text(encoding="utf-8")
    assert text == report(made_up.results, made_up.log, made_up.looks)
    assert text.startswith("<!doctype html>") and len(text.encode()) < MOST_BYTES
    found = Parsed(text)
    assert found.needs_nothing()
    assert "default-src 'none'" in text and "url(" not in text and "@import" not in text
    assert [path.name for path in tmp_path.iterdir()] == [REPORT_FILE]


def test_each_drawing_says_what_it_shows(made_up):
    found = parsed(made_up)
    drawn = [(dict(found.attributes), tag) for tag in found.tags if tag == "svg"]
    roles = [value for name, value in found.attributes if name == "role" and value == "img"]
    hidden = [value for name, value in found.attributes if name == "aria-hidden"]
    assert len(roles) <= len(drawn) <= len(roles) + len(hidden)
    assert found.tags.count("desc") == len(roles)


def test_what_a_run_was_told_and_reached(run):
    found = parsed(run("classes"))
    for part in ("62.5%", "accuracy on validation", "coda_test", "coda: a tenth of the objects", "learning rate",
                 "0.0001", "models/my backbone", "entity_injection", 'heads": 4', "38f0f21d", "2.13.0", "bf16", "no",
                 "train: 1500, validation: 8"):  # fmt: skip
        assert part in found.text, part
    assert between(found, "Scores", "coda:") == "splitrowsaccuracyvalidation862.5%coda_test450.0%"
    assert "method learning rate" not in found.text and "scene graphs" not in found.text


def test_the_course_of_training(run):
    found = parsed(run("classes"))
    numbers = between(found, "Loss and its terms", "Learning rate")
    for part in ("prediction", "contrast", "epoch", "training: from 3 to 1", "contrast: from 1 to 0",
                 "validation: from 2.5 to 2.5", "accuracy: from 25 to 62.5", "accuracy, epoch 2: 50"):  # fmt: skip
        assert part in numbers, part
    assert "runtime" not in found.text and "grad" not in found.text
    weights = between(found, "Weights of modalities", "Answers")
    assert "text: from 0.3333 to 0.4" in weights and "image: from 0.2 to 2" in weights
    assert "E-step 10: 0.4" in weights
    assert "%" not in weights  # what z is in the end is the last E-step's, and is not told twice


def test_weights_without_e_steps(run):
    weights = between(parsed(run("values")), "Weights of modalities", "Answers")
    for part in ("MaCSC Eq. 11", "text40.0%", "image60.0%", "MaCSC Eq. 6", "image with text100.0%"):
        assert part in weights, part


def test_what_modalities_changed(run):
    found = parsed(run("classes"))
    assert "8 of the 4,000 rows of the split validation, drawn by a fixed seed: 62.5% right." in found.text
    table = between(found, "another answer, wrong both times", "Right with")
    assert table == "with all62.5%without image37.5%201without audio75.0%010without all25.0%300"
    helped = between(found, "Right with modalities, wrong without", "Wrong with modalities")
    assert [part.split("the", 1)[0] for part in helped.split("row ")[1:]] == ["32", "21", "18"]
    assert "(3 rows)" in helped and "without imagegreen 52.0% ✗" in helped
    mistakes = between(found, "The most confident mistakes", "Settings")
    assert mistakes.index("row 4,000") < mistakes.index("row 2,001")
    assert "labelyellow" in mistakes and "with allgreen 57.0% ✗" in mistakes


def test_values(run):
    found = parsed(run("values"))
    assert "−0.125 spearman on validation" in found.text and "mean error 0.1" in found.text
    assert found.tags.count("circle") == 60
    assert "4 to 6 words" in found.text and "nearer with than without" in found.text
    assert "not a number" in between(found, "Validation spearman", "Learning rate")
    nearer = between(found, "Nearer to the label with modalities", "Farther")
    assert nearer.count("row ") == 3 and "off by 0.4" in nearer
    assert between(found, "The largest errors", "Settings").count("row ") == 10


def test_choices(run):
    found = parsed(run("choices"))
    assert "water ← chosen ← label" in found.text
    assert "bird ← label" in found.text and "cup ← chosen" in found.text
    assert "Labels and predictions" not in found.text


def test_spans(run):
    found = parsed(run("spans"))
    assert found.marked[:3] == ["The ", "red ", "bird"]
    kinds = [value for name, value in found.attributes if name == "class" and value in ("said", "true", "true said")]
    assert kinds[:3] == ["said", "true said", "true said"]
    assert "721 characters" in found.text and "no answer" in found.text and "exact_match" in found.text
    assert "underlined" in found.text and "no answer <0.1% ✓" in found.text


def test_scores_by_epoch_say_how_they_differ_from_the_last(run):
    made = run("spans")
    told = Parsed(report(made.results, made.log, made.looks, "with <b>another</b> margin")).text
    assert told.count("with <b>another</b> margin") == 2  # one for each metric
    assert "margin" not in between(parsed(made), "Training", "Answers")


def test_generated_texts(run):
    found = parsed(run("sentences"))
    for part in ("9.75", "A dog throws a ball.", "A ball throws a dog.", "Way 3", "and 2 more", "(the empty text)",
                 "A cat sits on a mat.", "another answer"):  # fmt: skip
        assert part in found.text, part
    assert "right" not in between(found, "Answers", "Settings") and "Way 4" not in found.text


def test_a_run_that_logged_nothing(run):
    found = parsed(run("bare"))
    for part in ("Training", "Weights", "Answers", "Without"):
        assert part not in found.text, part
    assert "62.5%" in found.text


def test_texts_labels_and_names_are_shown_not_obeyed(run):
    made = run("nasty")
    text = report(made.results, made.log, made.looks)
    found = Parsed(text)
    shown = made.results["task"].replace("\x1b", "\ufffd").replace("\r\n", " \n")
    assert " ".join(shown.split()) in " ".join(found.text.split())
    assert "\x1b" not in text and "\r" not in text and "\ud800" not in text and "<b>\ufffd" in found.text
    assert not {"b", "m"} & set(found.tags) and "<![CDATA[" not in text
    assert len(re.findall("long", found.text)) < 1000


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_text_or_name_adds_no_element_and_no_attribute(named, payload):
    found, harmless = parsed(named(payload)), parsed(named("x" * len(payload)))
    assert found.kinds() == harmless.kinds()
    assert found.needs_nothing() and found.text.count(payload) > 5


@pytest.mark.parametrize("name", ["classes", "nasty"])
def test_what_turns_the_direction_of_writing_stays_inside_its_element(run, name):
    """A mark that is never closed ends with the element that isolates it: `bdi`, or one with dir=auto, or a block."""
    made = run(name)
    text = report(made.results, made.log, made.looks)
    for piece in re.findall(r"<(\w+)[^<>]*>[^<>]*\u202e", text):
        assert piece in ("bdi", "p", "title", "desc", "h3", "li"), piece
