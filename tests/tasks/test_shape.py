from collections import Counter

import pytest

from polysense.tasks import load_task, shape_question
from polysense.tasks.shape import SHAPES
from polysense.tasks.vicomte import object_keys

TRAIN = [{"sub": f"thing {i}", "obj": SHAPES[7 + 2 * (i % 2)], "alt": "heart", "group": "multi"} for i in range(20)]
TEST = [{"sub": "egg", "obj": "oval", "alt": "round", "group": "multi"}]


def test_sentences():
    assert shape_question("window") == "the shape of a window"
    assert shape_question("egg") == "the shape of an egg"


def test_training_objects_are_split_by_class_and_the_test_part_stays(write, tmp_path):
    write("vicomte_shape/train.jsonl.gz", [*TRAIN, {"sub": "The Eggs", "obj": "round"}])
    write("vicomte_shape/test.jsonl.gz", TEST)
    data = load_task("shape", tmp_path)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 18, "validation": 2, "test": 1}
    assert Counter(data.splits["validation"]["label"]) == {7: 1, 9: 1}
    together = [*data.splits["train"]["text"], *data.splits["validation"]["text"]]
    assert sorted(together) == sorted(shape_question(row["sub"]) for row in TRAIN)
    assert data.splits["test"].to_list() == [{"text": "the shape of an egg", "label": SHAPES.index("oval")}]
    assert data.notes == ("shape train: 1 of 21 objects are left out, which are the test's under another spelling",)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("armchair", "Arm chair", True),
        ("post-it_note", "post it notes", True),
        ("the table", "table.", True),
        ("an egg", "eggs", True),
        ("thermos", "rmos", False),
        ("ant", "t", False),
        ("bus stop", "bus", False),
    ],
)
def test_two_spellings_of_an_object(one, other, same):
    assert bool(object_keys(one) & object_keys(other)) is same


@pytest.mark.usefixtures("nowhere")
def test_without_the_data_the_error_says_where_they_go(fails):
    fails(["shape", "vicomte_shape", "$POLYSENSE_DATA"], load_task, "shape")


def test_an_unknown_shape_is_named_with_its_place(write, tmp_path, fails):
    write("train.jsonl", [*TRAIN, {"sub": "egg", "obj": "ovoid"}])
    write("test.jsonl", TEST)
    fails(["ovoid", "train.jsonl"], load_task, "shape", tmp_path)


@pytest.mark.parametrize(("split", "rows"), [("train", 503), ("validation", 56), ("test", 140)])
def test_real_data(real_data, split, rows):
    assert len(load_task("shape", real_data("vicomte_shape")).splits[split]) == rows
