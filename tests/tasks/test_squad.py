import json

import pytest
from datasets import DatasetDict

from polysense.tasks import load_squad_file, load_task
from polysense.tasks.squad import cut_by_title
from polysense.tasks.tables import Table

CONTEXT = "The cat sat. A cat ran to the red car."


def line(number, text="cat", start=4, **more):
    answers = {"text": [text], "answer_start": [start]} if text else {"text": [], "answer_start": []}
    return {
        "id": f"q{number}",
        "title": "T",
        "context": CONTEXT,
        "question": f"Who {number}?",
        "answers": answers,
    } | more


def nested(*rows, version="1.1"):
    """SQuAD's own form of rows like `line`'s, a paragraph each."""
    paragraphs = [
        {
            "context": row["context"],
            "qas": [
                {
                    "id": row["id"],
                    "question": row["question"],
                    "answers": [
                        {"text": text, "answer_start": start}
                        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
                    ],
                }
                | ({"is_impossible": not row["answers"]["text"]} if version == "v2.0" else {})
            ],
        }
        for row in rows
    ]
    return json.dumps({"version": version, "data": [{"title": "T", "paragraphs": paragraphs}]}, indent=1)


def common(number, *answers, context=CONTEXT):
    texts, starts = ([answer[place] for answer in answers] for place in (0, 1))
    return {"id": f"q{number}", "text": f"Who {number}?", "text_pair": context, "answers": texts, "starts": starts}


def test_both_forms_read_the_same(write, tmp_path):
    rows = [line(1), line(2, "red car", 30), line(3, None)]
    lines, notes = load_squad_file(write("a.jsonl.gz", rows))
    assert lines.to_list() == [common(1, ("cat", 4)), common(2, ("red car", 30)), common(3)]
    assert notes == ()
    for name, text in {
        "b.json": nested(*rows, version="v2.0"),
        "c.json.gz": json.dumps(json.loads(nested(*rows))),
    }.items():
        assert load_squad_file(write(name, text))[0].to_list() == lines.to_list()
    listed = [row | {"answers": [{"text": "cat", "answer_start": 4}]} for row in rows[:1]]
    assert load_squad_file(write("d.jsonl", listed))[0].to_list() == lines.to_list()[:1]
    unlabelled = [{"question": "Who?", "context": CONTEXT}]
    assert load_squad_file(write("e.jsonl", unlabelled))[0].to_list() == [
        {"id": "1", "text": "Who?", "text_pair": CONTEXT}
    ]


def test_the_tasks_read_the_published_files(write, tmp_path):
    write("squad_v1/train-v1.1.json", nested(line(1)))
    write("squad_v1/dev-v1.1.json", nested(line(2)))
    data = load_task("squad_v1", tmp_path)
    assert {name: split.to_list() for name, split in data.splits.items()} == {
        "train": [common(1, ("cat", 4))],
        "validation": [common(2, ("cat", 4))],
    }
    assert (data.kind, data.metrics, data.has_pair, data.label_names) == ("span", ("exact_match", "f1"), True, None)
    assert set(data.labelled) == {"train", "validation"}
    assert data.notes == (
        "squad_v1 train: 1 rows in train-v1.1.json, of 87,599 published",
        "squad_v1 validation: 1 rows in dev-v1.1.json, of 10,570 published",
    )


def test_answers_that_are_elsewhere_are_taken_from_the_nearest_place(write):
    # "cat" stands at 4 and at 15.
    rows = [line(1, "cat", 6), line(2, "cat", 12), line(3, "cat", 99), line(4, "cat", -7), line(5, "red car", 30)]
    dataset, notes = load_squad_file(write("a.jsonl", rows), training=True)
    assert [starts[0] for starts in dataset["starts"]] == [4, 15, 15, 4, 30]
    assert notes == ("4 answers are not at their start and are taken from where they stand nearest to it",)


def test_answers_that_are_nowhere(write):
    two = {"text": ["dog", "cat"], "answer_start": [4, 4]}
    rows = [line(1, "dog"), line(2, answers=two), line(3, " "), line(4)]
    path = write("a.jsonl", rows)
    dataset, notes = load_squad_file(path, training=True)
    assert dataset.to_list() == [common(2, ("cat", 4)), common(4, ("cat", 4))]
    assert notes == ("2 questions whose answer is empty or not in their context are left out",)
    dataset, notes = load_squad_file(path)
    assert dataset.to_list() == [
        common(1, ("dog", -1)),
        common(2, ("dog", -1), ("cat", 4)),
        common(3, (" ", -1)),
        common(4, ("cat", 4)),
    ]
    assert notes == ("2 questions have no answer that is in their context; they are scored by its text",)


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        (line(1), ["lines 1 and 2", "'q1'"]),
        (line(2, question=None), ["column 'question', line 2", "nothing is no text"]),
        (line(2, context=["x"]), ["column 'context', line 2"]),
        (line(2, id=""), ["column 'id', line 2"]),
        (line(2, answers=None), ["column 'answers', line 2", "nothing is no set of answers"]),
        (line(2, answers="cat"), ["column 'answers', line 2", "'cat'"]),
        (line(2, answers={"text": ["cat"], "answer_start": []}), ["line 2", "same length"]),
        (line(2, answers={"text": ["cat"], "answer_start": ["4"]}), ["line 2", "answer_start '4'"]),
        (line(2, answers={"text": [None], "answer_start": [4]}), ["line 2", "nothing is no text"]),
        (line(2, is_impossible=True), ["'is_impossible', line 2", "'cat'"]),
    ],
)
def test_malformed_rows_are_named(write, fails, row, parts):
    path = write("a.jsonl", [line(1), row])
    fails(["a.jsonl", *parts], load_squad_file, path)


def test_malformed_files_are_named(write, fails):
    for text, parts in {
        '{"data": 3}': ["'data' is no list of objects", "SQuAD's JSON"],
        '{"data": [{"paragraphs": [{"qas": []}]}]}': ["data[0].paragraphs[0]", "'context' is no text"],
        '{"data": [{"paragraphs": [{"context": "x", "qas": [3]}]}]}': ["data[0].paragraphs[0]", "'qas'"],
        '{"data": []}': ["no question"],
        '{"id": 1': ["line 1", "broken JSON"],
        '{"id": 1}': ["no column 'question'"],
    }.items():
        fails(["a.json", *parts], load_squad_file, write("a.json", text))
    path = write("a.json", nested(line(1), line(2, "cat", "4")))
    fails(["a.json", "question 2", "answer_start '4'"], load_squad_file, path)
    fails(["nothing to train on"], load_squad_file, write("b.jsonl", [line(1, "dog")]), training=True)


def test_the_first_version_has_an_answer_to_every_question(write, tmp_path, fails):
    write("squad_v1/train.jsonl", [line(1)])
    write("squad_v1/dev.jsonl", [line(1), line(2, None)])
    fails(["dev.jsonl", "line 2", "no answer", "squad_v2"], load_task, "squad_v1", tmp_path)
    write("squad_v2/train.jsonl", [line(1)])
    write("squad_v2/dev.jsonl", [line(1), line(2, None)])
    assert load_task("squad_v2", tmp_path).splits["validation"]["starts"][:] == [[4], []]


def test_a_development_set_alone_is_cut_by_title(write, tmp_path, fails):
    rows = [line(i, title=f"title {i % 20}") for i in range(200)]
    write("squad_v2/dev.jsonl.gz", rows)
    data = load_task("squad_v2", tmp_path)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 140, "validation": 20, "test": 40}
    titles = {name: {rows[int(i[1:])]["title"] for i in split["id"][:]} for name, split in data.splits.items()}
    assert not any(
        titles[a] & titles[b] for a, b in (("train", "test"), ("train", "validation"), ("validation", "test"))
    )
    assert "cut by title into 140 train, 20 validation, 40 test" in data.notes[-1]
    write("squad_v2/dev.jsonl.gz", rows[::-1])
    again = load_task("squad_v2", tmp_path)
    assert {name: set(split["id"][:]) for name, split in again.splits.items()} == {
        name: set(split["id"][:]) for name, split in data.splits.items()
    }
    write("squad_v2/dev.jsonl.gz", rows[:2])
    fails(["dev.jsonl.gz", "'title'", "2 only", "training file"], load_task, "squad_v2", tmp_path)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (90, 1, 1), (1, 90, 1), (1, 1, 90), (30, 30, 30, 30)])
def test_every_part_of_a_cut_has_rows(sizes):
    titles = [f"{number}" for number, size in enumerate(sizes) for _ in range(size)]
    parts = cut_by_title(Table("x", {"title": titles}, range(len(titles))))
    assert sum(map(len, parts.values())) == sum(sizes)
    assert all(map(len, parts.values()))


@pytest.mark.usefixtures("nowhere")
def test_the_hubs_form(monkeypatch):
    from datasets import Dataset

    asked = []
    loaded = DatasetDict(train=Dataset.from_list([line(1)]), validation=Dataset.from_list([line(2), line(3, None)]))
    monkeypatch.setattr("polysense.tasks.benchmark.load_from_hub", lambda *names: asked.append(names) or loaded)
    assert load_task("squad_v2").splits["validation"].to_list() == [common(2, ("cat", 4)), common(3)]
    assert asked[0][:2] == ("rajpurkar/squad_v2", "squad_v2")


def test_real_data(real_data):
    data = load_task("squad_v1", real_data("squad_v1"))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 4_857, "validation": 10_570}
    assert any("tokens joined by spaces" in note for note in data.notes)
    assert any(note.startswith("squad_v1 train: 1 questions") for note in data.notes)
    second = load_task("squad_v2", real_data("squad_v2"))
    assert {name: len(split) for name, split in second.splits.items()} == {
        "train": 8_557,
        "validation": 1_267,
        "test": 2_049,
    }
    for split in (*data.splits.values(), *second.splits.values()):
        for row in split:
            for text, start in zip(row["answers"], row["starts"], strict=True):
                assert row["text_pair"][start : start + len(text)] == text


def test_where_the_threshold_is_chosen_on_what_is_scored_is_said(write, tmp_path):
    for name in ("squad_v1", "squad_v2"):
        for split in ("train", "dev"):
            write(f"{name}/{split}.jsonl", [line(1), line(2)])
        told = [note for note in load_task(name, tmp_path).notes if "threshold" in note]
        assert len(told) == (name == "squad_v2"), told
        write(f"{name}/test.jsonl", [line(1)])
        assert not [note for note in load_task(name, tmp_path).notes if "threshold" in note]
