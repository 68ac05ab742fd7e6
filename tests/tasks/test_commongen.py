import pytest
from datasets import Dataset, DatasetDict

from polysense.tasks import load_commongen_file, load_task

ROWS = [
    {"concepts": ["ski", "mountain"], "target": "They ski."},
    {"concepts": ["dog", "run"], "target": "A dog runs."},
    {"concepts": ["ski", "mountain"], "target": "A mountain to ski on."},
]
SCORED = [
    {"text": "ski mountain", "references": ["They ski.", "A mountain to ski on."]},
    {"text": "dog run", "references": ["A dog runs."]},
]


def test_sentences_to_train_on_and_sets_to_be_scored_on(write, tmp_path):
    for split in ("train", "dev", "test"):
        write(f"commongen/{split}.jsonl", ROWS)
    data = load_task("commongen", tmp_path)
    assert data.splits["train"].to_list() == [
        {"text": " ".join(row["concepts"]), "target": row["target"]} for row in ROWS
    ]
    assert data.splits["validation"].to_list() == data.splits["test"].to_list() == SCORED
    assert (data.kind, data.metrics) == ("generation", ("bleu4", "meteor", "rouge_l", "cider"))
    assert data.scores("test", dict.fromkeys(data.metrics, 1.0))["test/cider"] == 1.0


@pytest.mark.parametrize("row", [{}, {"target": ""}, {"target": None}])
def test_hidden_sentences(write, fails, row):
    path = write("a.jsonl", [{"concepts": ["dog", "run"]} | row])
    assert load_commongen_file(path).to_list() == [{"text": "dog run"}]
    fails(["a.jsonl", "target"], load_commongen_file, path, training=True)


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"target": " "}, ["column 'target', line 4", "missing"]),
        ({"target": 3}, ["column 'target', line 4"]),
        ({"concepts": "dog"}, ["column 'concepts', line 4"]),
        ({"concepts": []}, ["column 'concepts', line 4"]),
        ({"concepts": ["dog", ""]}, ["column 'concepts', line 4"]),
    ],
)
def test_malformed_rows_are_named(write, fails, row, parts):
    path = write("a.jsonl", [*ROWS, ROWS[0] | row])
    for training in (True, False):
        fails(["a.jsonl", *parts], load_commongen_file, path, training=training)


@pytest.mark.usefixtures("nowhere")
def test_the_hubs_form(monkeypatch):
    rows = [row | {"concept_set_idx": 0} for row in ROWS]
    hidden = Dataset.from_list([row | {"target": ""} for row in rows])
    loaded = DatasetDict(train=Dataset.from_list(rows), validation=Dataset.from_list(rows), test=hidden)
    monkeypatch.setattr("polysense.tasks.benchmark.load_from_hub", lambda *_: loaded)
    data = load_task("commongen")
    assert data.splits["validation"].to_list() == SCORED
    assert data.splits["test"].to_list() == [{"text": " ".join(row["concepts"])} for row in ROWS]
    assert set(data.labelled) == {"train", "validation"}


def test_real_data(real_data):
    data = load_task("commongen", real_data("commongen"))
    # Sets of concepts as published; two of the development set differ in their order alone.
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 67_389,
        "validation": 993,
        "test": 1_497,
    }
    assert not data.notes
    assert sum(map(len, data.splits["test"]["references"])) == 6_042
