"""Whatever is wrong with the input: status 2, one line that names the thing, and what stood before still stands."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tiny_runs import Cli, hashes, text_rows, write_rows

pytest_plugins = ("tiny_runs",)


@pytest.fixture
def good(tmp_path: Path) -> Iterator[Path]:
    """A folder with a good result, which is the same after the test."""
    folder = tmp_path / "good"
    folder.mkdir()
    (folder / "results.json").write_text('{"good": true}')
    (folder / "polysense_processor.json").write_text("good")
    (folder / "model.safetensors").write_text("good")
    before = hashes(folder)
    yield folder
    assert hashes(folder) == before


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def file(content: str | list[dict[str, Any]], name: str = "rows.csv") -> Path:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
            return path
        return write_rows(path.with_suffix(".jsonl"), content)

    return file


@pytest.fixture
def train(cli: Cli, flags: list[str], good: Path) -> Callable[..., str]:
    """Trains over the good result with flags that replace or follow the usual ones; gives the error's message."""

    def run(*extra: object) -> str:
        own = list(flags)
        for name in ("--train-file", "--backbone", "--tower", "--epochs", "--batch-size"):
            if name in extra:
                place = own.index(name)
                del own[place : place + 2]
        return cli("train", "--output-dir", good, "--overwrite", *own, *extra).error

    return run


def has(message: str, *parts: object) -> None:
    for part in parts:
        assert str(part) in message, f"{part!r} is not in {message!r}"


def test_files_that_cannot_be_read(train, write, tmp_path):
    write("text,label\na,b\n", "train.csv")
    has(train("--train-file", tmp_path / "trian.csv"), "trian.csv: no such file", "'train.csv'", "check the path")
    has(train("--train-file", write("")), "rows.csv: the file is empty", "needs a header")
    has(train("--train-file", write("text,label\n")), "header but no rows", "at least one row")
    has(train("--train-file", write('{"text": "a"\n', "x.jsonl")), "x.jsonl, line 1: broken JSON", "write one JSON")
    has(train("--train-file", write("a", "x.parquet")), "x.parquet: unknown kind of file .parquet", "use .csv")
    has(train("--validation-file", tmp_path / "no.csv"), "no.csv: no such file")


def test_columns_that_are_not_there(train, cli, trained, rows_file):
    has(train("--text-column", "txt"), "rows.jsonl: no column 'txt' (did you mean 'text'?)", "its columns are 'text'")
    has(train("--label-column", "lable"), "no column 'lable' (did you mean 'label'?)")
    has(cli("evaluate", trained, "--file", rows_file, "--label-column", "x").error, "no column 'x'")
    has(cli("predict", trained, "--file", rows_file, "--text-column", "Text").error, "(did you mean 'text'?)")
    has(train("--text-column", "a", "--text-column", "b", "--text-column", "c"), "3 text columns", "give one, or two")


def test_labels_that_cannot_be_learnt(train, cli, trained, write):
    rows = text_rows()
    one = [{**row, "label": "same"} for row in rows]
    has(train("--train-file", write(one)), "'label': every row has the label 'same'", "at least two")
    unseen = write([*rows, {"text": "a", "label": "lang"}], "unseen")
    for message in (train("--validation-file", unseen), cli("evaluate", trained, "--file", unseen).error):
        has(message, "unseen.jsonl, column 'label', line 25", "unknown label 'lang'", "did you mean 'long'?",
            "the classes are 'long', 'short'")  # fmt: skip
    nan = write([*rows, {"text": "a", "value": float("nan")}])
    has(train("--train-file", nan, "--label-column", "value"), "line 25", "nan is not a finite number", "drop the rows")
    gone = write([*rows, {"text": "a", "label": ""}])
    has(train("--train-file", gone), "line 25: the label is missing", "drop the rows")
    has(train("--train-file", write([*rows[:1], {"text": "b", "label": "other"}])), "too few rows")
    has(train("--kind", "regression"), "is not a finite number", "or give --kind classification if these are classes")


def test_folders_that_are_no_model(train, cli, tmp_path, trained, bert_folder):
    empty = tmp_path / "empty"
    empty.mkdir()
    has(train("--backbone", empty), f"backbone {empty}: the folder holds no model")
    has(train("--tower", f"image={empty}"), f"tower {empty}: the folder has neither aligned_tower.json nor")
    has(train("--tower", f"image=encoder:{empty}"), f"tower {empty}: the folder holds no model")
    has(train("--backbone", trained), "trained Polysense model; name the text model under it")
    has(train("--tower", f"image={bert_folder}"), "a bert model is not supported", f"write encoder:{bert_folder}")
    has(train("--backbone", ""), "backbone", "is empty; give a name")
    for folder in (empty, bert_folder, tmp_path / "nowhere"):
        for verb in (("evaluate", folder, "--task", "coda"), ("predict", folder, "--text", "a")):
            has(cli(*verb).error, f"{folder} is no trained Polysense model", "polysense_processor.json")
    (empty / "aligned_tower.json").write_text('{"trunk": "minilm"}')
    has(train("--tower", f"image={empty}"), f"{empty} is no readable aligned tower")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A hub that refuses connections."""
    with contextlib.closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr("polysense.tasks.sources.data_roots", list)
        monkeypatch.setattr("polysense.tasks.benchmark.data_roots", list)
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
        offline = constants.HF_HUB_OFFLINE
        yield
        assert offline == constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("extra", [("--backbone", "no-such/model"), ("--tower", "image=no-such/model"),
                                   ("--tower", "image=encoder:no-such/model")])  # fmt: skip
def test_a_model_of_a_hub_out_of_reach(train, extra):
    start = time.monotonic()
    message = train(*extra)
    assert time.monotonic() - start < 15
    has(message, extra[0].removeprefix("--"), "no-such/model", "cannot be reached", "give a local folder")


@pytest.mark.usefixtures("no_hub")
def test_a_task_of_a_hub_out_of_reach(cli, good, bert_folder):
    start = time.monotonic()
    error = cli("train", "--output-dir", good, "--overwrite", "--task", "sst2", "--backbone", bert_folder).error
    assert time.monotonic() - start < 15
    has(error, "nyu-mll/glue (sst2)", "cannot be reached", "data_dir")


def test_a_hub_that_never_answers_is_not_waited_for(train, monkeypatch):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr("polysense.loading.hub_answers.__defaults__", (0.3,))
        start = time.monotonic()
        has(train("--backbone", "no-such/model"), "backbone no-such/model", "cannot be reached")
        assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("extra", "parts"),
    [
        (["--method", "mascs"], ["unknown method 'mascs'", "macsc"]),
        (["--interaction", "x"], ["unknown interaction 'x'", "cross_attention"]),
        (["--combination", "x"], ["unknown combination 'x'", "late_fusion"]),
        (["--regulariser", "x"], ["unknown regulariser 'x'", "self_balancing"]),
        (["--combination", "text"], ["regulariser 'self_balancing'", "choose another"]),
        (["--option", "haeds=2"], ["no option 'haeds'", "heads"]),
        (["--option", "heads"], ["--option heads", "NAME=VALUE"]),
        (["--option", "heads=3"], ["16", "3 heads", "other options"]),
        (["--option", "heads=0"], ["heads", "above 0"]),
        (["--option", "heads=many"], ["heads", "'many'", "whole number"]),
        (["--option", "stack=pile"], ["stack", "'pile'", "each, joint"]),
        (["--option", "residual=5"], ["residual", "true or false"]),
        (["--option", "weight=much"], ["weight", "'much'", "a number"]),
        (["--option", "temperature=0"], ["temperature", "above 0"]),
        (["--tower", "smell=noise"], ["smell=noise", "image, audio, video"]),
        (["--tower", "smell"], ["--tower smell", "MODALITY=TOWER"]),
        (["--tower", "image=noise", "--tower", "image"], ["image already has the tower noise"]),
        (["--k", "0"], ["--k"]),
        (["--epochs", "-1"], ["epochs", "more than 0", "-1"]),
        (["--epochs", "inf"], ["epochs", "inf"]),
        (["--batch-size", "0"], ["--batch-size"]),
        (["--learning-rate", "nan"], ["learning-rate", "nan"]),
        (["--method-learning-rate", "-1"], ["method-learning-rate", "more than 0"]),
        (["--dropout", "2"], ["dropout", "at most 1"]),
        (["--weight-decay", "-1"], ["weight-decay", "-1"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--train-rows", "0"], ["0 training rows", "there are"]),
        (["--train-rows", "999"], ["999 training rows", "there are"]),
        (["--task", "sst2"], ["either a task by name or a training file"]),
        (["--kind", "ranking"], ["--kind", "regression"]),
        (["--resume"], ["nothing to resume", "leave --resume out"]),
        (["--no-such-flag"], ["--no-such-flag"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_what_a_run_is_told(train, extra, parts):
    has(train(*extra), *parts)


def test_names_of_tasks_and_verbs(cli, trained, good, tiny_task, tmp_path):
    has(cli("train", "--output-dir", good, "--overwrite", "--task", "sst3").error, "unknown task 'sst3' (did you mean")
    has(cli("evaluate", trained, "--task", "cola").error, "unknown task 'cola'", "coda")
    has(cli("evaluate", trained, "--task", "tiny").error, "was trained on the labels long, short", "tiny")
    has(cli("evaluate", trained).error, "--task or --file")
    has(cli("predict", trained).error, "--text or --file")
    has(cli("predict", trained, "--text", "a", "--text", "b", "--text-pair", "c").error, "2 first texts but 1 second")
    has(cli("trian").error, "trian")
    has(cli("train").error, "--output-dir")
    data = cli("train", "--output-dir", good, "--overwrite", "--task", "coda", "--data-dir", tmp_path / "no").error
    has(data, "no: no such folder", "give the folder")


@pytest.mark.parametrize(
    ("extra", "parts"),
    [
        (["--run", "masc"], ["unknown method 'masc'"]),
        (["--run", "macsc,heads"], ["run macsc,heads", "NAME=VALUE"]),
        (["--run", "macsc,heads=abc"], ["heads", "'abc'"]),
        (["--run", "macsc,smell=x"], ["'smell' is no choice"]),
        (["--run", "text", "--task", "tini"], ["unknown task 'tini'"]),
        (["--run", "text", "--setting", "epoch=1"], ["unknown setting 'epoch'", "did you mean 'epochs'?"]),
        (["--run", "text", "--setting", "epochs=abc"], ["epochs", "'abc'"]),
        (["--run", "text", "--setting", "epochs"], ["--setting epochs", "NAME=VALUE"]),
        (["--run", "text", "--setting", "seed=3"], ["--seeds"]),
        (["--run", "text", "--seeds", "0"], ["--seeds"]),
        (["--run", "macsc", "--tower", "smell"], ["--tower smell"]),
        (["--run", "text", "--train-rows", "0"], ["train-rows must be 1 or more, not 0"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_comparisons(cli, tmp_path, tiny_task, bert_folder, extra, parts):
    output = tmp_path / "x.json"
    output.write_text("good")
    usual = ["--output", output, "--task", "tiny", "--backbone", bert_folder, "--cells", tmp_path / "cells"]
    has(cli("compare", *usual, *extra).error, *parts)
    assert output.read_text() == "good"


def test_outputs_that_are_taken(cli, flags, trained, tmp_path, good):
    file, foreign = tmp_path / "file", tmp_path / "foreign"
    file.write_text("mine")
    foreign.mkdir()
    (foreign / "letter").write_text("mine")
    for overwrite in ([], ["--overwrite"]):
        has(cli("train", "--output-dir", file, *flags, *overwrite).error, f"{file} is a file: choose another")
        has(cli("train", "--output-dir", foreign, *flags, *overwrite).error, "holds something else", "choose another")
        has(cli("align", "--output-dir", foreign, *overwrite).error, "holds something else", "choose another")
        has(cli("align", "--output-dir", file, *overwrite).error, f"{file} is a file: choose another")
    has(cli("train", "--output-dir", good, *flags).error, f"{good} already holds a result", "--overwrite")
    has(cli("train", "--output-dir", file / "below", *flags).error, "Not a directory")
    has(cli("demo", "--output-dir", foreign).error, "holds something else")
    has(cli("demo", "--output-dir", file).error, "is a file")
    has(cli("predict", trained, "--text", "a", "--output", foreign).error, f"{foreign} is a folder")
    has(cli("compare", "--output", foreign, "--task", "coda", "--run", "text").error, f"{foreign} is a folder")
    assert file.read_text() == (foreign / "letter").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "foreign", "good"]


@pytest.mark.parametrize(
    "command", ["compare --task coda --run text --tower x", "reproduce macsc-table7 --backbone x", "vl compare {tmp}"]
)
@pytest.mark.parametrize("name", ["x.md", "x"])
def test_numbers_go_to_json_since_their_table_goes_beside_them(cli, tmp_path, command, name):
    """And that is said before anything is computed."""
    given = command.format(tmp=tmp_path).split()
    told = cli(*given, "--output", tmp_path / name, "--cells", tmp_path / "cells").error
    has(told, f"{name} does not end in .json: give {tmp_path / 'x.json'} as --output")
    assert not list(tmp_path.iterdir())


def test_sources_of_pictures(cli, tmp_path):
    has(cli("align", "--output-dir", tmp_path / "t", "--source", "nota").error, "source nota", "noto, twemoji")
    has(cli("align", "--output-dir", tmp_path / "t", "--source", tmp_path).error, "no pictures", "NAME.txt")
    bad = write_rows(tmp_path / "x.jsonl", [{"caption": "a", "file": "no.png"}])
    has(cli("align", "--output-dir", tmp_path / "t", "--source", bad).error, "x.jsonl", "no.png")
    has(cli("align", "--output-dir", tmp_path / "t", "--learning-rate", "-1").error, "learning-rate", "more than 0")


def _without(*keys: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        settings = json.loads(file.read_text())
        inner = settings
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        file.write_text(json.dumps(settings))

    return damage


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES: list[tuple[str, Callable[[Path], None]]] = [
    ("model.safetensors", _cut),
    ("model.safetensors", lambda file: file.write_bytes(b"")),
    ("model.safetensors", Path.unlink),
    ("config.json", _cut),
    ("config.json", Path.unlink),
    ("config.json", _without("backbone")),
    ("config.json", _without("method", "combination")),
    ("config.json", _without("target", "kind")),
    ("tokenizer.json", _cut),
    ("polysense_processor.json", _cut),
    ("polysense_processor.json", Path.unlink),
    ("polysense_processor.json", lambda file: file.write_text("[1]")),
    ("polysense_processor.json", lambda file: file.write_bytes(b"\xff\xfe")),
    ("polysense_processor.json", _without("towers")),
    ("polysense_processor.json", _without("max_length")),
    ("polysense_processor.json", _without("towers", "image")),
    ("polysense_processor.json", _without("towers", "image", "spec")),
    ("polysense_processor.json", _without("towers", "image", "fingerprint")),
    ("polysense_processor.json", _without("towers", "image", "reading")),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(DAMAGES)])
def test_damaged_models(cli, trained, tmp_path, rows_file, name, damage):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    damage(folder / name)
    has(cli("predict", folder, "--text", "a").error, folder)
    has(cli("evaluate", folder, "--file", rows_file).error, folder)


def test_a_tower_that_is_not_the_one_it_was_trained_with(cli, trained, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    (folder / "checksums.json").unlink()
    file = folder / "polysense_processor.json"
    settings = json.loads(file.read_text())
    settings["towers"]["image"]["fingerprint"] = "0" * 16
    file.write_text(json.dumps(settings))
    has(cli("predict", folder, "--text", "a").error, "image tower", "has changed", "train again")
    settings["towers"]["image"]["spec"] = str(tmp_path / "gone")
    (tmp_path / "gone").mkdir()
    file.write_text(json.dumps(settings))
    has(cli("predict", folder, "--text", "a").error, "gone")
