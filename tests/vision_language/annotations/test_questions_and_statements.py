"""VQA v2, NLVR2 and SNLI-VE."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.tasks.sources import data_roots
from polysense.vision_language.annotations import (
    read_nlvr2,
    read_snli_ve,
    read_vqa,
    write_nlvr2,
    write_snli_ve,
    write_vqa,
)
from polysense.vision_language.examples import Entailment, Question, Statement

TEN = ["down", "down", "at table", *["skateboard"] * 5, "", "table"]
QUESTIONS = {
    "info": {},
    "task_type": "Open-Ended",
    "data_type": "mscoco",
    "questions": [
        {"image_id": 262148, "question": "Where is he looking?", "question_id": 262148000},
        {"image_id": 393225, "question": "Is it hot?", "question_id": 393225001},
    ],
}
ANNOTATIONS = {
    "annotations": [
        {
            "question_id": identity,
            "image_id": identity // 1000,
            "question_type": "none of the above",
            "answer_type": kind,
            "multiple_choice_answer": answers[0],
            "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": i} for i, a in enumerate(answers, 1)],
        }
        for identity, kind, answers in ((393225001, "yes/no", ["yes"] * 10), (262148000, "other", TEN))
    ]
}


def put(file: Path, value: Any) -> Path:
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def lines(file: Path, *rows: Any) -> Path:
    data = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return file


def test_vqa(tmp_path: Path) -> None:
    questions, annotations = put(tmp_path / "q.json", QUESTIONS), put(tmp_path / "a.json", ANNOTATIONS)
    assert read_vqa(questions, annotations) == [
        Question("262148000", "262148", "Where is he looking?", tuple(TEN), "other"),
        Question("393225001", "393225", "Is it hot?", ("yes",) * 10, "yes/no"),
    ]
    assert read_vqa(questions)[0] == Question("262148000", "262148", "Where is he looking?")


def test_vqa_round_trip(tmp_path: Path) -> None:
    questions = [Question("1", "9", "what?", ("a", "b", "b"), "other"), Question("x-2", "emoji", "é?", (), "")]
    write_vqa(tmp_path / "q.json", questions, tmp_path / "a.json.gz")
    assert read_vqa(tmp_path / "q.json", tmp_path / "a.json.gz") == questions
    assert (
        json.loads(gzip.decompress((tmp_path / "a.json.gz").read_bytes()))["annotations"][0]["multiple_choice_answer"]
        == "b"
    )
    write_vqa(tmp_path / "q.json", questions[1:])
    assert read_vqa(tmp_path / "q.json") == questions[1:]
    with pytest.raises(PolysenseError, match="give an annotations file too"):
        write_vqa(tmp_path / "q.json", questions)


def test_bad_vqa(tmp_path: Path) -> None:
    questions, annotations = put(tmp_path / "q.json", QUESTIONS), put(tmp_path / "a.json", ANNOTATIONS)
    first, second = ANNOTATIONS["annotations"]
    for entries, message in (
        ([first], "question '262148000' has no annotation"),
        ([first, second, second | {"question_id": 5}], "1 annotations are of no question .*question '5'"),
        ([first, first], r"a\.json, annotations\[1\], field 'question_id': '393225001' is there twice"),
        ([first, second | {"answers": "x"}], r"annotations\[1\], field 'answers': a list"),
        ([first, second | {"answers": [{}]}], r"annotations\[1\], answers\[0\]: no field 'answer'"),
        ([first, second | {"answers": [{"answer": 3}]}], r"answers\[0\], field 'answer': a text is expected, not 3"),
        ([first, second | {"answer_type": 3}], "field 'answer_type'"),
    ):
        put(annotations, {"annotations": entries})
        with pytest.raises(PolysenseError, match=message):
            read_vqa(questions, annotations)
    one = QUESTIONS["questions"][0]
    assert isinstance(one, dict)
    for entry, message in (
        (one, r"q\.json, questions\[1\], field 'question_id': '262148000' is there twice"),
        ({"question_id": 1, "image_id": 2}, r"questions\[1\]: no field 'question'"),
        ({"question_id": 1, "image_id": 2, "question": ""}, "empty"),
    ):
        put(questions, {"questions": [one, entry]})
        with pytest.raises(PolysenseError, match=message):
            read_vqa(questions)
    with pytest.raises(PolysenseError, match="no field 'questions'"):
        read_vqa(put(questions, {}))


@pytest.mark.parametrize("name", ["dev.json", "dev.json.gz"])
def test_nlvr2(tmp_path: Path, name: str) -> None:
    file = lines(
        tmp_path / name,
        {"identifier": "dev-850-0-1", "sentence": "Two dogs.", "label": "False", "left_url": "x", "synset": "y"},
        "",
        {"identifier": "train-10171-3-0", "sentence": "A\u2028b", "label": True},
        {"identifier": "e1", "sentence": "c", "left_image": "l", "right_image": 7},
    )
    assert read_nlvr2(file) == [
        Statement("dev-850-0-1", "dev-850-0-img0", "dev-850-0-img1", "Two dogs.", False),
        Statement("train-10171-3-0", "train-10171-3-img0", "train-10171-3-img1", "A\u2028b", True),
        Statement("e1", "l", "7", "c", None),
    ]


def test_nlvr2_round_trip(tmp_path: Path) -> None:
    statements = [Statement("1", "a", "b", "é\u2028", True), Statement("2", "b", "9", "x", False)]
    statements.append(Statement("3", "b", "c", "y", None))
    write_nlvr2(tmp_path / "x.jsonl.gz", iter(statements))
    assert read_nlvr2(tmp_path / "x.jsonl.gz") == statements


GOOD = {"identifier": "dev-1-0-0", "sentence": "x", "label": "True"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (GOOD, "line 2, field 'identifier': 'dev-1-0-0' is there twice"),
        (GOOD | {"identifier": "dev"}, "line 2, field 'identifier': 'dev' names no pictures"),
        (GOOD | {"identifier": "b-1", "label": "yes"}, "line 2, field 'label': .*not 'yes'"),
        (GOOD | {"identifier": "b-1", "label": 1}, "field 'label'"),
        (GOOD | {"identifier": "b-1", "label": ["True"]}, "field 'label'"),
        (GOOD | {"identifier": "b-1", "sentence": ""}, "field 'sentence': the text is empty"),
        (GOOD | {"identifier": "b-1", "left_image": "l"}, "no field 'right_image'"),
        ("[1]", "line 2: an object is expected, not a list of 1"),
        ('{"identifier": ', "line 2: broken JSON"),
        ("9" * 5000, "line 2: broken JSON"),
    ],
)
def test_bad_nlvr2(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(PolysenseError, match=message):
        read_nlvr2(lines(tmp_path / "x.jsonl", GOOD, row))


def test_empty_and_undecodable_lines(tmp_path: Path) -> None:
    with pytest.raises(PolysenseError, match="the file is empty"):
        read_nlvr2(lines(tmp_path / "x.jsonl"))
    (tmp_path / "x.jsonl").write_bytes(b'\n{"identifier": "\xff"}\n')
    with pytest.raises(PolysenseError, match="line 2: byte 0xff is not UTF-8"):
        read_nlvr2(tmp_path / "x.jsonl")


def test_snli_ve(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = {
        "annotator_labels": ["entailment"],
        "captionID": "4705552913.jpg#2",
        "gold_label": "neutral",
        "pairID": "4705552913.jpg#2r1n",
        "sentence1": "Two women.",
        "sentence2": "The sisters hug.",
        "Flickr30K_ID": "4705552913",
    }
    file = lines(
        tmp_path / "x.jsonl",
        row,
        row | {"pairID": "b", "gold_label": "-"},
        row | {"pairID": "c", "Flickr30K_ID": 12, "gold_label": "contradiction"},
    )
    with caplog.at_level(logging.WARNING):
        found = read_snli_ve(file)
    assert found == [
        Entailment("4705552913.jpg#2r1n", "4705552913", "The sisters hug.", "neutral"),
        Entailment("c", "12", "The sisters hug.", "contradiction"),
    ]
    assert "1 of 3 rows have no agreed label" in caplog.text
    for changed, message in (
        ({"gold_label": "maybe"}, "field 'gold_label': one of contradiction, neutral, entailment"),
        ({"gold_label": None}, "not null"),
        ({"sentence2": 5}, "field 'sentence2'"),
        ({"pairID": "4705552913.jpg#2r1n"}, "twice"),
    ):
        with pytest.raises(PolysenseError, match=message) as caught:
            read_snli_ve(lines(file, row, row | {"pairID": "z"} | changed))
        assert "x.jsonl, line 2" in str(caught.value)


def test_snli_ve_round_trip(tmp_path: Path) -> None:
    examples = [Entailment("1", "a", "é", "neutral"), Entailment("2", "9", "x", "")]
    write_snli_ve(tmp_path / "x.jsonl", examples)
    assert read_snli_ve(tmp_path / "x.jsonl") == examples


@pytest.mark.parametrize(("split", "count"), [("dev", 6982), ("test1", 6967), ("test2", 6970)])
def test_the_published_nlvr2(split: str, count: int) -> None:
    file = next((root / "nlvr2" / f"{split}.jsonl.gz" for root in data_roots() if (root / "nlvr2").is_dir()), None)
    if file is None:
        pytest.skip("NLVR2 is not on this machine")
    statements = read_nlvr2(file)
    assert len(statements) == count and all(statement.label is not None for statement in statements)
    assert statements[0].left == statements[0].right.replace("img1", "img0")
