"""Files of one's own in the forms of SQuAD, CommonsenseQA and CommonGen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.tasks import TASKS, load_files, load_labelled, read_texts
from polysense.tasks.files import DEFAULTS_OF, METRICS_OF

Write = Callable[..., Path]


def questions(count: int) -> list[dict[str, Any]]:
    """Two questions a context; every fourth has no answer."""
    rows = []
    for i in range(count):
        context = f"the dog number {i // 2} sits"
        answers = {"text": ["dog"], "answer_start": [4]} if i % 4 else {"text": [], "answer_start": []}
        rows.append({"id": f"q{i}", "question": f"who {i}", "context": context, "answers": answers})
    return rows


def choices(count: int) -> list[dict[str, Any]]:
    return [{"question": f"which {i}", "choices": ["a", "b", "c"][: 2 + i % 2], "label": i % 2} for i in range(count)]


def published(count: int) -> list[dict[str, Any]]:
    given = [{"label": label, "text": f"choice {label}"} for label in "ABC"]
    return [{"question": {"stem": f"which {i}", "choices": given}, "answerKey": "B"} for i in range(count)]


def concepts(count: int) -> list[dict[str, Any]]:
    """Two sentences a set."""
    return [{"concepts": ["dog", f"ball{i // 2}"], "target": f"A dog {i}."} for i in range(count)]


FORMS = {"span": questions, "choice": choices, "generation": concepts}


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("said", [False, True])
def test_the_kind_is_told_by_the_fields_or_given(kind: str, said: bool, write: Write) -> None:
    file = write("mine.jsonl", FORMS[kind](40))
    data = load_files(file, kind=kind if said else None, seed=3)  # type: ignore[arg-type]
    assert (data.name, data.kind, data.label_names, data.has_pair) == ("mine", kind, None, kind == "span")
    assert data.metrics == METRICS_OF[data.kind]
    train, validation = data.splits["train"], data.splits["validation"]
    column = "text_pair" if kind == "span" else "text"
    assert not set(train[column]) & set(validation[column]), "a context or a set of concepts is in both"
    assert len(train) == 36 and len(validation) == {"span": 4, "choice": 4, "generation": 2}[kind]
    again = load_files(file, seed=3).splits["validation"]
    assert again.to_list() == validation.to_list() != load_files(file, seed=4).splits["validation"].to_list()
    assert "label" in train.column_names or {"answers", "target"} & set(train.column_names)


def test_rows_are_as_the_benchmarks_have_them(write: Write) -> None:
    files = {kind: write(f"{kind}.jsonl", made(4)) for kind, made in FORMS.items()}
    span = load_files(files["span"], files["span"])
    assert span.splits["train"][1] == {
        "id": "q1", "text": "who 1", "text_pair": "the dog number 0 sits", "answers": ["dog"], "starts": [4]
    }  # fmt: skip
    assert span.splits["validation"].to_list() == span.splits["train"].to_list()
    choice = load_files(write("other.jsonl", published(3)), files["choice"])
    assert choice.splits["train"][0] == {"text": "which 0", "choices": ["choice A", "choice B", "choice C"], "label": 1}
    assert choice.splits["validation"][1] == {"text": "which 1", "choices": ["a", "b", "c"], "label": 1}
    generation = load_files(
        files["generation"], files["generation"], {"hidden": write("h.jsonl", [{"concepts": ["x"]}])}
    )
    assert generation.splits["train"][0] == {"text": "dog ball0", "target": "A dog 0."}
    assert generation.splits["validation"][0] == {"text": "dog ball0", "references": ["A dog 0.", "A dog 1."]}
    assert generation.splits["hidden"].to_list() == [{"text": "x"}]


def test_the_nested_form_of_squad_and_what_is_to_be_said_of_it(write: Write) -> None:
    qas = [
        {"id": "a", "question": "who", "answers": [{"text": "dog", "answer_start": 0}]},
        {"id": "b", "question": "what", "answers": [{"text": "cat", "answer_start": 0}]},
    ]
    paragraphs = [{"context": f"the dog {i} sits", "qas": [{**qa, "id": f"{qa['id']}{i}"} for qa in qas]} for i in "12"]
    file = write("mine.json", json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    data = load_files(file, file)
    assert len(data.splits["train"]) == 2 and len(data.splits["validation"]) == 4
    assert data.splits["train"]["starts"][:] == [[4], [4]]
    assert data.notes == (
        "train: 2 answers are not at their start and are taken from where they stand nearest to it",
        "train: 2 questions whose answer is empty or not in their context are left out",
        "validation: 2 answers are not at their start and are taken from where they stand nearest to it",
        "validation: 2 questions have no answer that is in their context; they are scored by its text",
    )


def test_concepts_in_another_order_stay_together(write: Write) -> None:
    """Half of a set's sentences in validation would be given away by the other half in training."""
    rows = [{"concepts": [f"a{i}", f"b{i}"][:: 1 - 2 * turned], "target": "x"} for i in range(20) for turned in (0, 1)]
    found = load_files(write("mine.jsonl", rows), kind="generation").splits
    train, validation = ({" ".join(sorted(text.split())) for text in found[name]["text"]} for name in found)
    assert train and validation and not train & validation


def test_hyper_parameters_are_those_of_the_benchmark() -> None:
    assert DEFAULTS_OF["span"] == TASKS["squad_v2"].defaults and DEFAULTS_OF["span"].max_length == 384
    assert DEFAULTS_OF["generation"] == TASKS["commongen"].defaults
    assert DEFAULTS_OF["classification"] == DEFAULTS_OF["regression"] != DEFAULTS_OF["choice"]


def test_a_table_of_texts_stays_one(write: Write) -> None:
    """Where the text columns are there, or the kind is said, fields of a form are columns like others."""
    rows = [{**row, "label": "long" if i % 2 else "short"} for i, row in enumerate(questions(40))]
    named = load_files(write("a.jsonl", rows), text_columns=["question", "context"])
    assert named.kind == "classification" and named.has_pair
    texts = [{**row, "text": "x"} for row in rows]
    assert load_files(write("b.jsonl", texts)).kind == "classification"
    with pytest.raises(PolysenseError, match="no column 'text'"):
        load_files(write("c.jsonl", rows), kind="classification")


def test_files_to_predict_on(write: Write) -> None:
    span, choice, generation = (write(f"{kind}.jsonl", made(4)) for kind, made in FORMS.items())
    assert read_texts(span).column_names == ["id", "text", "text_pair"] and len(read_texts(span)) == 4
    assert read_texts(choice).column_names == ["text", "choices"]
    assert read_texts(generation).to_list() == [{"text": f"dog ball{i // 2}"} for i in range(4)]
    bare = write("bare.jsonl", [{"question": "who", "context": "the dog"}])
    assert read_texts(bare, kind="span").to_list() == [{"id": "1", "text": "who", "text_pair": "the dog"}]
    assert read_texts(bare, ["question", "context"], "span").to_list() == [{"text": "who", "text_pair": "the dog"}]
    beside = write("beside.jsonl", [{**row, "text": "of its own"} for row in choices(4)])
    assert read_texts(beside, kind="choice").to_list() == read_texts(choice).to_list()
    with pytest.raises(PolysenseError, match=r"bare\.jsonl: no column 'concepts'"):
        read_texts(bare, kind="generation")
    with pytest.raises(PolysenseError, match="no column 'text'"):
        read_texts(span, kind="classification")


def test_files_to_score_on(write: Write) -> None:
    for kind, made in FORMS.items():
        rows, _ = load_labelled(write(f"{kind}.jsonl", made(4)), ["text"], "label", kind)  # type: ignore[arg-type]
        assert len(rows) == (2 if kind == "generation" else 4)
    bare = write("bare.jsonl", [{"question": "who", "context": "the dog", "answers": None}])
    with pytest.raises(PolysenseError, match=r"bare.jsonl, column 'answers': all are missing, so there is nothing"):
        load_labelled(bare, ["text"], "label", "span")
    with pytest.raises(PolysenseError, match=r"none.jsonl: no column 'target'"):
        load_labelled(write("none.jsonl", [{"concepts": ["a"]}]), ["text"], "label", "generation")
    with pytest.raises(PolysenseError, match="no column 'answerKey'"):
        load_labelled(write("q.jsonl", [{"question": "a", "choices": ["x", "y"]}]), ["text"], "label", "choice")


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("span", {"question": "who", "contexts": "x"}, r"x.jsonl: no column 'context' \(did you mean 'contexts'\?\)"),
        ("span", {"question": "who", "context": "x"}, "x.jsonl: no column 'answers'"),
        ("span", {"question": "who", "context": "x", "answers": "y"}, "'answers', line 1: 'y' is no set of answers"),
        ("choice", {"question": "who", "options": ["x"], "label": 0}, "x.jsonl: no column 'choices'"),
        ("choice", {"question": "who", "choices": ["x", "y"]}, "x.jsonl: no column 'answerKey'"),
        ("choice", {"question": "who", "choices": "x", "label": 0}, "'choices', line 1: the choices are no list"),
        ("generation", {"concept": ["x"], "target": "y"}, r"x.jsonl: no column 'concepts' \(did you mean 'concept'\?"),
        ("generation", {"concepts": ["x"]}, "x.jsonl: no column 'target'"),
        ("generation", {"concepts": "x", "target": "y"}, "'concepts', line 1: these are no list of texts"),
    ],
)
def test_a_field_that_is_not_as_it_should_be_is_named(
    kind: str, row: dict[str, Any], message: str, write: Write
) -> None:
    file = write("x.jsonl", [row, row])
    with pytest.raises(PolysenseError, match=message) as caught:
        load_files(file, file, kind=kind)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_questions_without_answers_may_be_meant_for_classes(write: Write) -> None:
    rows = [{"question": f"who {i}", "context": "the dog sits", "label": "ab"[i % 2]} for i in range(20)]
    file = write("mine.jsonl", rows)
    with pytest.raises(PolysenseError, match="but no field 'answers'; add it, or name the texts with --text-column"):
        load_files(file)
    data = load_files(file, text_columns=["question", "context"])
    assert (data.kind, data.label_names, data.has_pair) == ("classification", ("a", "b"), True)


def test_what_cannot_be_told_is_asked(write: Write) -> None:
    both = [{**question, **choice} for question, choice in zip(questions(8), choices(8), strict=True)]
    file = write("both.jsonl", both)
    with pytest.raises(PolysenseError, match="has the fields of span and of choice; say which with --kind"):
        load_files(file)
    assert load_files(file, kind="choice").kind == "choice"


def test_columns_are_not_named_where_fields_have_their_names(write: Write) -> None:
    file = write("x.jsonl", questions(8))
    with pytest.raises(PolysenseError, match="--label-column is for classes and values; rows of span have the fields"):
        load_files(file, label_column="answers")
    with pytest.raises(PolysenseError, match="--text-column is for classes"):
        load_files(file, text_columns=["question"], kind="span")
    with pytest.raises(PolysenseError, match="--text-column is for classes"):
        load_labelled(file, ["question"], "label", "span")


def test_one_context_alone_cannot_be_divided(write: Write) -> None:
    with pytest.raises(PolysenseError, match="too few different contexts to hold some out; give a validation file"):
        load_files(write("x.jsonl", questions(2)))
