import pytest

from polysense.tasks import load_files, load_labelled, read_texts

ROWS = "text,other,label\n" + "".join(f"t{number},o{number},{'yes' if number % 3 else 'no'}\n" for number in range(30))
SINGLE = {"text_columns": ["text"], "label_column": "label"}


def test_classification_with_a_drawn_validation_part(write):
    data = load_files(write("mine.csv", ROWS), **SINGLE)
    assert (data.name, data.kind, data.metric, data.has_pair) == ("mine", "classification", "accuracy", False)
    assert data.label_names == ("no", "yes")
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 27, "validation": 3}
    assert data.splits["train"].column_names == ["text", "label"]
    assert data.splits["train"].features["label"].dtype == "int64"
    rows = {row["text"]: row["label"] for split in data.splits.values() for row in split}
    assert rows == {f"t{number}": int(bool(number % 3)) for number in range(30)}
    again = load_files(write("mine.csv", ROWS), **SINGLE)
    other = load_files(write("mine.csv", ROWS), **SINGLE, seed=1)
    assert again.splits["validation"]["text"][:] == data.splits["validation"]["text"][:]
    assert other.splits["validation"]["text"][:] != data.splits["validation"]["text"][:]


def test_pairs_validation_file_and_other_files(write):
    data = load_files(
        write("train.csv.gz", ROWS),
        write("dev.jsonl", [{"text": "a", "other": None, "label": "yes"}]),
        {"test": write("test.tsv", "other\ttext\nb\ta\n"), "more": write("more.csv", "text,other,label\na,b,no\n")},
        text_columns=("text", "other"),
        label_column="label",
    )
    assert data.has_pair
    assert len(data.splits["train"]) == 30
    assert data.splits["validation"].to_list() == [{"text": "a", "text_pair": "", "label": 1}]
    assert data.splits["test"].to_list() == [{"text": "a", "text_pair": "b"}]
    assert data.splits["more"].to_list() == [{"text": "a", "text_pair": "b", "label": 0}]


def test_regression_is_told_and_can_be_overridden(write):
    path = write("a.jsonl", [{"text": f"t{number}", "label": number / 2} for number in range(12)])
    data = load_files(path, **SINGLE)
    assert (data.kind, data.metric, data.label_names) == ("regression", "spearman", None)
    assert data.splits["train"].features["label"].dtype == "float64"
    assert sorted(data.splits["train"]["label"][:] + data.splits["validation"]["label"][:]) == [
        n / 2 for n in range(12)
    ]
    whole = write("b.csv", "text,label\n" + "a,1\nb,2\n" * 5)
    assert load_files(whole, **SINGLE).kind == "classification"
    assert set(load_files(whole, **SINGLE, kind="regression").splits["train"]["label"]) == {1.0, 2.0}
    assert load_files(path, path, **SINGLE, kind="classification").label_names[:3] == ("0", "0.5", "1")


def test_empty_texts_are_kept(write):
    path = write("a.csv", "text,label\n,x\n,y\n,x\n,y\n")
    data = load_files(path, path, **SINGLE)
    assert data.splits["train"].to_list() == [{"text": "", "label": label} for label in (0, 1, 0, 1)]


def test_a_single_column_may_be_given_as_a_string(write):
    data = load_files(write("mine.csv", ROWS), text_columns="text", label_column="label")
    assert not data.has_pair


@pytest.mark.parametrize(
    ("content", "options", "parts"),
    [
        (ROWS, {"text_columns": ["texts"]}, ["no column 'texts'", "did you mean 'text'?", "'text', 'other', 'label'"]),
        (ROWS, {"label_column": "lable"}, ["no column 'lable'", "did you mean 'label'?"]),
        (ROWS, {"text_columns": ["text", "text"]}, ["'text' is given twice"]),
        (ROWS, {"text_columns": []}, ["0 text columns"]),
        (ROWS, {"text_columns": ["a", "b", "c"]}, ["3 text columns"]),
        (ROWS, {"label_column": "text"}, ["both as text and as label"]),
        (ROWS, {"validation_share": 1.0}, ["validation_share is 1.0"]),
        (ROWS, {"kind": "regression"}, ["column 'label'", "line", "is not a finite number"]),
        (ROWS, {"other_files": {"train": "x.csv"}}, ["'train'"]),
        ("text,label\na,x\nb,x\n", {}, ["every row has the label 'x'"]),
        ("text,label\na,0.5\nb,0.5\n", {}, ["every row has the target 0.5"]),
        ("text,label\na,x\nb,\nc,y\nd,\n", {}, ["column 'label'", "lines 3, 5", "missing"]),
        ("text,label\na,x\nb,y\n", {}, ["too few rows"]),
        ("text,label\n" + "a,0.5\n" * 20 + "b,inf\n", {}, ["line 22", "'inf' is not a finite number"]),
    ],
)
def test_errors_name_the_place(write, fails, content, options, parts):
    fails(parts, load_files, write("mine.csv", content), **{**SINGLE, **options})


def test_classes_among_values_are_advised_what_can_be_given(write, fails):
    """`train` takes --kind; a model that predicts values keeps its kind."""
    values = write("values.csv", "text,label\n" + "a,0.5\nb,1.5\n" * 10)
    classes = write("classes.csv", "text,label\na,good\nb,bad\n")
    fails(
        ["'good', 'bad' is not a finite", ", or give --kind classification if"], load_files, values, classes, **SINGLE
    )
    told = fails(["or give a model trained on classes if"], load_labelled, classes, ["text"], "label", "regression")
    assert "kind" not in told


def test_files_that_are_not_there(write, fails, tmp_path):
    fails(["train_file"], load_files, **SINGLE)
    train = write("mine.csv", ROWS)
    fails(["none.csv", "no such file"], load_files, train, tmp_path / "none.csv", **SINGLE)
    dev = write("dev.csv", "text,label\na,yes\nb,maybe\nc,never\n")
    parts = ["dev.csv", "lines 3, 4", "'maybe', 'never'", "'no', 'yes'"]
    fails(parts, load_files, train, dev, **SINGLE)
    fails(parts, load_files, train, train, {"test": dev}, **SINGLE)
    # In a user's own files a number is a name, never an index into the training's names.
    fails(["unknown label '0'"], load_files, train, write("dev.csv", "text,label\na,0\n"), **SINGLE)


def test_scoring_a_saved_model(write, fails):
    path = write("a.csv", "text,label\na,yes\nb,no\n")
    assert load_labelled(path, ["text"], "label", "classification", ["yes", "no"])[0]["label"][:] == [0, 1]
    indices = write("b.csv", "text,label\na,1\nb,0\n")
    assert load_labelled(indices, ["text"], "label", "classification", ["yes", "no"])[0]["label"][:] == [1, 0]
    assert load_labelled(indices, ["text"], "label", "regression")[0]["label"][:] == [1.0, 0.0]
    fails(["unknown label 'yes'"], load_labelled, path, ["text"], "label", "classification", ["a", "b"])
    fails(["label_names"], load_labelled, path, ["text"], "label", "classification")


def test_texts_without_labels(write, fails):
    path = write("a.jsonl", [{"q": "a", "s": "b"}, {"q": ""}])
    assert read_texts(path, ["q", "s"]).to_list() == [{"text": "a", "text_pair": "b"}, {"text": "", "text_pair": ""}]
    assert read_texts(path, ["q"]).to_list() == [{"text": "a"}, {"text": ""}]
    fails(["no column 'x'"], read_texts, path, ["x"])
    fails(["given twice"], read_texts, path, ["q", "q"])
