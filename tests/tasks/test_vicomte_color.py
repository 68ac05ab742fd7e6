import pytest

from polysense.tasks import load_task
from polysense.tasks.color import COLORS
from polysense.tasks.color_names import color_terms_digests, is_in_color_terms, is_in_memory_color, name_digests
from polysense.tasks.tables import read_table
from polysense.tasks.vicomte_color import VICOMTE_COLORS, descriptor

SILVER = VICOMTE_COLORS.index("silver")
NAMES = [f"thing {letter}" for letter in "abcdefghijklmnopqrst"]


@pytest.fixture
def data(write, tmp_path):
    rows = [{"sub": name, "obj": "silver" if i % 2 else "red", "alt": "blue"} for i, name in enumerate(NAMES)]
    # The first is one of MemoryColor's, the second of ColorTerms'.
    others = [{"sub": "lemon", "obj": "yellow"}, {"sub": "cellos", "obj": "brown"}, {"sub": "Snows", "obj": "white"}]
    write("vicomte_color/train.jsonl", [*rows, *others])
    write("vicomte_color/test.jsonl", [{"sub": "lime", "obj": "green"}, {"sub": "snow", "obj": "white"}])
    return tmp_path


def test_colours():
    assert set(VICOMTE_COLORS) == {*COLORS, "silver"} and list(VICOMTE_COLORS) == sorted(VICOMTE_COLORS)


def test_objects_that_are_tested_are_not_trained_on(data):
    loaded = load_task("color", data)
    assert {name: len(split) for name, split in loaded.splits.items()} == {"train": 18, "validation": 2, "test": 2}
    together = [text for split in ("train", "validation") for text in loaded.splits[split]["text"][:]]
    assert sorted(together) == sorted(f"the color of a {name}" for name in NAMES)
    assert set(loaded.splits["validation"]["label"]) == {SILVER, VICOMTE_COLORS.index("red")}
    assert loaded.splits["test"].to_list() == [
        {"text": "the color of a lime", "label": VICOMTE_COLORS.index("green")},
        {"text": "the color of snow", "label": VICOMTE_COLORS.index("white")},
    ]
    assert loaded.notes == (
        "color train: 1 of 23 objects are left out, which are the test's under another spelling",
        "color train: 2 of 22 others are left out, which are MemoryColor's or ColorTerms'",
        "color: MemoryColor is not on this machine, so there is no such split",
        "color: ColorTerms is not on this machine, so there is no such split",
    )


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_other_test_sets(write, data, fails, form):
    if form == "csv":
        file = "color_terms/color-concrete-objects.csv"
        write(file, "object,color\nash,grey\nblood,red\n")
    else:
        file = "color_terms/all.jsonl.gz"
        write(file, [{"item": "ash", "label": "grey"}, {"item": "blood", "label": "red"}])
    write("memory_color/memory_colors.jsonl", [{"descriptor": "the", "item": "ocean", "label": "blue"}])
    loaded = load_task("color", data)
    assert loaded.splits["color_terms"].to_list() == [
        {"text": "the color of an ash", "label": VICOMTE_COLORS.index("gray")},
        {"text": "the color of blood", "label": VICOMTE_COLORS.index("red")},
    ]
    assert loaded.splits["memory_color"].to_list() == [
        {"text": "the color of the ocean", "label": VICOMTE_COLORS.index("blue")}
    ]
    assert len(loaded.notes) == 2
    write(file, "object,color\nash,mauve\n" if form == "csv" else [{"item": "ash", "label": "mauve"}])
    fails([file, "'mauve'"], load_task, "color", data)


@pytest.mark.usefixtures("nowhere")
def test_without_the_data_the_error_says_where_they_go(fails):
    fails(["color", "vicomte_color", "$POLYSENSE_DATA"], load_task, "color")


def test_descriptors():
    assert [descriptor(name) for name in ("banana", "orange", "snow", "sunglasses", "zyx")] == ["a", "an", "", "", "a"]


def test_real_data(real_data):
    root = real_data("vicomte_color")
    loaded = load_task("color", root)
    sizes = {"train": 1_955, "validation": 217, "test": 574, "memory_color": 109, "color_terms": 52}
    assert {name: len(split) for name, split in loaded.splits.items()} == sizes
    items = read_table(root / "color_terms" / "all.jsonl.gz").texts("item")
    assert name_digests(items) == color_terms_digests()
    trained = {text for split in ("train", "validation") for text in loaded.splits[split]["text"][:]}
    names = [text.removeprefix("the color of ").removeprefix("an ").removeprefix("a ") for text in trained]
    assert not [name for name in names if is_in_memory_color([name]) or is_in_color_terms([name])]
    coda = load_task("coda", root).splits["memory_color"]
    assert coda["text"][:] == loaded.splits["memory_color"]["text"][:]
