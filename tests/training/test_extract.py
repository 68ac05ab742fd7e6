"""The verb `extract`, and what training and prediction make of what it stored."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import support
from polysense.errors import PolysenseError
from polysense.models.processing import PolysenseProcessor
from polysense.prototypes.reading import Reading
from polysense.tasks import Task
from polysense.towers.clip import ClipTower
from polysense.training.extract import extract
from polysense.training.predict import Predictor
from polysense.training.train import train
from tiny_runs import Cli, write_rows

pytest_plugins = ("tiny_runs",)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sequences that CLIP towers read, call by call."""
    calls: list[int] = []
    encode = ClipTower.encode

    def counted(self: ClipTower, tokens: Any, layers: Any = "last") -> Any:
        calls.append(len(tokens.lengths))
        return encode(self, tokens, layers)

    monkeypatch.setattr(ClipTower, "encode", counted)
    return calls


def arrow_files(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.rglob("*.arrow"))}


def test_training_and_prediction_read_what_was_extracted(
    tmp_path: Path, tiny: dict[str, Any], rows_file: Path, reads: list[int]
) -> None:
    store = tmp_path / "store"
    report = extract(files=[rows_file], towers=tiny["towers"], store=store, progress=False)
    texts = {text.strip() for text in support.sentences(24, 6)}
    (row,) = report["towers"].values()
    assert (row["texts"], row["rows"], row["read"]) == (24, row["read"], len(texts))
    assert row["bytes"] == sum(f.stat().st_size for f in Path(row["folder"]).iterdir() if f.stat().st_size)
    reads.clear()
    results = train(tmp_path / "model", **tiny, store=store)
    texts_again = [f"{text}" for text in support.sentences(24, 6)]
    stored = Predictor.load(tmp_path / "model", store=store).predict(texts_again)
    assert reads == []
    computed = Predictor.load(tmp_path / "model", store=False).predict(texts_again)
    assert sum(reads) == len(texts)
    # To the last bit: half precision holds for what is computed too.
    assert [p.to_dict() for p in stored] == [p.to_dict() for p in computed]
    assert results["scores"] == train(tmp_path / "again", **tiny, store=False)["scores"]


def test_prediction_reads_ahead(
    tmp_path: Path, trained: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prototypes of many batches together, and each text once."""
    monkeypatch.setattr("polysense.training.predict.AHEAD", 16)
    texts = list(dict.fromkeys(support.sentences(200, 3, seed=5)))[:20]
    predictor = Predictor.load(trained, batch_size=4, store=False)
    reads.clear()
    predictor.predict(texts)
    assert reads == [16, 4]


def test_texts_that_recur_are_read_once(
    tmp_path: Path, tiny: dict[str, Any], tiny_task: Task, clip_folder: Path, reads: list[int]
) -> None:
    """Across splits, tasks, files and runs."""
    towers = [f"image={clip_folder}"]
    first = extract("tiny", towers=towers, store=tmp_path / "store", progress=False)["towers"]["image"]
    splits = tiny_task.load().splits.values()
    distinct = {text for split in splits for text in split["text"]}
    assert (first["texts"], first["read"]) == (sum(map(len, splits)), len(distinct))
    assert sum(reads) == len(distinct)
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": text} for text in [*distinct, "a new banana"]])
    again = extract(files=[rows], towers=towers, store=tmp_path / "store", progress=False)["towers"]["image"]
    assert (again["read"], again["rows"]) == (1, len(distinct) + 1)


def test_another_reading_is_another_table(tmp_path: Path, rows_file: Path, tiny: dict[str, Any]) -> None:
    """And `train` finds it when asked for the same."""
    readings = [Reading(), Reading(k=2), Reading(layers="all"), Reading(precision="exact")]
    for reading in readings:
        report = extract(files=[rows_file], towers=tiny["towers"], reading=reading, store=tmp_path, progress=False)
        assert report["towers"]["image"]["read"] > 0
    assert len(list(tmp_path.iterdir())) == len(readings)
    train(tmp_path / "model", **tiny, store=tmp_path, layers="all", precision="half", k=4)
    assert len([folder for folder in tmp_path.iterdir() if folder.name != "model"]) == len(readings)
    reading = PolysenseProcessor.from_pretrained(tmp_path / "model").extractors["image"].reading
    assert reading == Reading(layers="all")


SCRIPT = """
import sys
from pathlib import Path
import torch
import polysense.prototypes.lookup as lookup
torch.set_num_threads(1)
lookup.CHUNK = 16
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.towers.registry import open_tower
sys.path.insert(0, sys.argv[3])
import support
PrototypeExtractor(open_tower(sys.argv[1]), store=Path(sys.argv[2])).prepare(support.sentences(1200, 12, seed=9))
"""


def start_extraction(clip_folder: Path, store: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPT, str(clip_folder), str(store), str(Path(support.__file__).parent)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def test_killed_it_goes_on_and_ends_with_the_same_files(tmp_path: Path, clip_folder: Path) -> None:
    """Killed twice, after some shards and after some more."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = start_extraction(clip_folder, whole)
    for shards in (3, 30):
        process = start_extraction(clip_folder, killed)
        deadline = time.monotonic() + 240
        while len(arrow_files(killed)) < shards and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert len(arrow_files(killed)) >= shards
    error = uninterrupted.communicate()[1].decode()
    assert uninterrupted.returncode == 0, error
    expected = arrow_files(whole)
    assert len(arrow_files(killed)) < len(expected)
    again = start_extraction(clip_folder, killed)
    error = again.communicate()[1].decode()
    assert again.returncode == 0, error
    assert arrow_files(killed) == expected
    for name in ("index.bin", "table.json"):
        one, other = (next(run.rglob(name)).read_bytes() for run in (whole, killed))
        assert one == other


def test_extract_in_json_and_for_people(cli: Cli, tmp_path: Path, rows_file: Path, clip_folder: Path) -> None:
    tower = f"image={clip_folder}"
    arguments = ("extract", "--file", rows_file, "--tower", tower, "--store", tmp_path / "store")
    first = cli(*arguments, "--text-column", "text", "--text-column", "other", "--json").json
    assert first["towers"]["image"]["read"] > 0
    shown = cli(*arguments, "--text-column", "text", "--text-column", "other")
    assert shown.status == 0
    assert "newly read" in shown.out
    assert f"stored in {tmp_path / 'store'}" in "".join(shown.out.split("\n"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either a task by name or files with texts"),
        (("--task", "coda", "--file", "x.csv"), "give either a task by name or files with texts"),
        (("--file", "none.csv"), "none.csv"),
        (("--file", "{rows}", "--tower", "smell=image"), "MODALITY one of image, audio, video"),
        (("--file", "{rows}", "--layers", "first"), "layers is last or all, not 'first'"),
        (("--file", "{rows}", "--precision", "int8"), "precision is half or exact"),
        (("--file", "{rows}", "--store", "{rows}"), "choose another folder"),
        (("--file", "{rows}", "--workers", "0"), "--workers must be at least 1"),
    ],
)
def test_bad_requests(cli: Cli, rows_file: Path, clip_folder: Path, arguments: tuple[str, ...], message: str) -> None:
    given = [argument.replace("{rows}", str(rows_file)) for argument in arguments]
    tower = [] if "--tower" in given else ["--tower", f"image={clip_folder}"]
    assert message in cli("extract", *given, *tower).error


def test_store_and_no_store(cli: Cli, trained: Path) -> None:
    outcome = cli("predict", trained, "--text", "the cat", "--store", "somewhere", "--no-store")
    assert "--store and --no-store contradict each other" in outcome.error


def test_nothing_to_store_in(rows_file: Path) -> None:
    with pytest.raises(PolysenseError, match="extract needs a folder"):
        extract(files=[rows_file], store=False)
