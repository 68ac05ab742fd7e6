import pytest

from polysense.tasks import MNLI, MRPC, QQP, SST2, STSB, load_task

REAL = {
    "sst2": {"train": 20_000, "validation": 872},
    "qnli": {"train": 8_999, "validation": 5_463},
    "qqp": {"train": 8_999, "validation": 1_000},
    "mnli": {"train": 8_999, "validation": 1_000, "validation_mismatched": 1_000},
    "mrpc": {"train": 3_668, "validation": 408, "test": 1_725},
    "stsb": {"train": 5_749, "validation": 1_500, "test": 1_379},
}
MSR_HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"


@pytest.mark.parametrize("name", REAL)
def test_real_data(real_data, name):
    data = load_task(name, real_data(name))
    assert {split: len(rows) for split, rows in data.splits.items()} == REAL[name]
    columns = ["text", "text_pair", "label"] if data.has_pair else ["text", "label"]
    assert all(rows.column_names == columns for rows in data.splits.values())
    labels = data.splits["validation"]["label"][:]
    if name == "stsb":
        assert (min(labels), max(labels)) == (0.0, 5.0)
    else:
        assert set(labels) == set(range(len(data.label_names)))


def test_real_labels_mean_what_their_names_say(real_data):
    sst2 = load_task("sst2", real_data("sst2")).splits["validation"]
    assert sst2[0] == {"text": "it 's a charming and often affecting journey . ".strip(), "label": 1}
    assert sum(sst2["label"]) == 444
    mnli = load_task("mnli", real_data("mnli"))
    counts = [mnli.splits["validation"]["label"][:].count(label) for label in range(3)]
    assert dict(zip(mnli.label_names, counts, strict=True)) == {"entailment": 373, "neutral": 311, "contradiction": 316}


def test_what_is_not_as_published_is_noted(real_data):
    qqp = load_task("qqp", real_data("qqp"))
    assert any("validation" in note and "held out of the training set" in note for note in qqp.notes)
    assert any("8,999 rows" in note and "363,846" in note for note in qqp.notes)
    assert load_task("stsb", real_data("stsb")).notes == ()


def test_published_tsv(write, tmp_path):
    write("SST-2/train.tsv", 'sentence\tlabel\n"an open quote\t1\nbad row\nplain\t0\n')
    write("SST-2/dev.tsv", "sentence\tlabel\ngood\t1\n")
    write("SST-2/test.tsv", "index\tsentence\n0\tunlabelled\n")
    data = SST2().load(tmp_path)
    assert data.splits["train"].to_list() == [{"text": '"an open quote', "label": 1}, {"text": "plain", "label": 0}]
    assert data.splits["validation"].to_list() == [{"text": "good", "label": 1}]
    assert data.splits["test"].to_list() == [{"text": "unlabelled"}]
    assert any("1 malformed rows" in note for note in data.notes)


def test_published_mnli_and_stsb(write, tmp_path):
    header = "index\tsentence1\tsentence2\tlabel1\tgold_label\n"
    write("MNLI/train.tsv", header + "0\tp\th\tneutral\tentailment\n")
    write("MNLI/dev_matched.tsv", header + "0\tp\th\tx\tneutral\n")
    write("MNLI/dev_mismatched.tsv", header + "0\tp\th\tx\tcontradiction\n")
    data = MNLI().load(tmp_path / "MNLI")
    assert [data.splits[split]["label"][0] for split in data.splits] == [0, 1, 2]
    assert list(data.splits) == ["train", "validation", "validation_mismatched"]
    write("STS-B/train.tsv", "index\tsentence1\tsentence2\tscore\n0\ta\tb\t3.800\n")
    write("STS-B/dev.tsv", "index\tsentence1\tsentence2\tscore\n0\ta\tb\t0.000\n")
    stsb = STSB().load(tmp_path)
    assert (stsb.metric, stsb.splits["train"]["label"][:], stsb.splits["validation"]["label"][:]) == (
        "spearman",
        [3.8],
        [0.0],
    )


def test_microsofts_own_mrpc(write, tmp_path, fails):
    rows = "1\t1\t2\ta\tb\n0\t3\t4\tc\td\n1\t5\t6\te\tf\n"
    write("MRPC/msr_paraphrase_train.txt", "\ufeff" + MSR_HEADER + rows)
    write("MRPC/msr_paraphrase_test.txt", "\ufeff" + MSR_HEADER + "0\t7\t8\tg\th\n")
    fails(["no training file of mrpc"], MRPC().load, tmp_path)  # without dev_ids.tsv, what is training is not known
    write("MRPC/dev_ids.tsv", "3\t4\n")
    splits = MRPC().load(tmp_path).splits
    assert splits["train"].to_list() == [
        {"text": "a", "text_pair": "b", "label": 1},
        {"text": "e", "text_pair": "f", "label": 1},
    ]
    assert splits["validation"].to_list() == [{"text": "c", "text_pair": "d", "label": 0}]
    assert splits["test"].to_list() == [{"text": "g", "text_pair": "h", "label": 0}]
    write("MRPC/test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\tg\th\n")  # GLUE's has no labels
    assert MRPC().load(tmp_path).splits["test"]["label"][:] == [0]
    write("MRPC/dev_ids.tsv", b"3\t4\n\xff\n")
    fails(["dev_ids.tsv, line 2", "0xff is not UTF-8"], MRPC().load, tmp_path)


def test_labels_as_names_and_as_numbers(write, tmp_path):
    rows = [{"question1": "a", "question2": "b", "label": label} for label in (1, 0)]
    write("qqp/train.jsonl", rows)
    write("qqp/validation.jsonl.gz", [{**row, "label": ["not_duplicate", "duplicate"][row["label"]]} for row in rows])
    write("qqp/train_heldout.jsonl", rows[:1])
    write("qqp/test.jsonl", [{**rows[0], "label": -1}])
    splits = QQP().load(tmp_path).splits
    assert splits["train"]["label"][:] == splits["validation"]["label"][:] == [1, 0]
    assert splits["test"].column_names == ["text", "text_pair"]


def test_places_in_their_order(write, tmp_path, monkeypatch):
    for place in ("given", "variable", "work/shared/data"):
        for split in ("train", "dev"):
            write(f"{place}/sst2/{split}.jsonl", [{"sentence": place, "label": 0}])
    (tmp_path / "work" / "project").mkdir()
    monkeypatch.chdir(tmp_path / "work" / "project")
    monkeypatch.setenv("POLYSENSE_DATA", str(tmp_path / "variable"))

    def text(**options):
        return load_task("sst2", **options).splits["train"]["text"][0]

    assert text(data_dir=tmp_path / "given") == text(data_dir=str(tmp_path / "given" / "sst2")) == "given"
    assert text() == "variable"
    monkeypatch.setenv("POLYSENSE_DATA", str(tmp_path / "work"))  # exists, but does not have the task
    assert text() == "work/shared/data"


def test_errors(write, tmp_path, fails):
    fails(["none", "no such folder"], SST2().load, tmp_path / "none")
    fails([str(tmp_path), "no training file of sst2", "train.jsonl"], SST2().load, tmp_path)
    write("sst2/train.jsonl", [{"sentence": "a", "label": 1}])
    fails(["no validation file of sst2", "dev.jsonl"], SST2().load, tmp_path)
    write("sst2/dev.jsonl", [{"sentence": "a"}])
    fails(["dev.jsonl", "no column 'label'"], SST2().load, tmp_path)
    write("sst2/dev.jsonl", [{"sentence": "a", "label": 2}])
    fails(["dev.jsonl", "line 1", "unknown label '2'", "'negative', 'positive'"], SST2().load, tmp_path)
    write("sst2/dev.jsonl", [{"text": "a", "label": 1}])
    fails(["dev.jsonl", "no column 'sentence'"], SST2().load, tmp_path)
