"""Whatever happens to the database: no wrong graph, no crash, and only what was touched is parsed again."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import random
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.scene_graphs import store as store_module
from polysense.scene_graphs.graph import Node, SceneGraph
from polysense.scene_graphs.store import GraphStore
from polysense.text import text_keys

IDENTITY = {"rules": "1", "spacy": "3"}
processes = multiprocessing.get_context("fork")


def graphs(first: int, last: int) -> dict[bytes, SceneGraph]:
    keys = [key.tobytes() for key in text_keys([f"text {i}" for i in range(first, last)])]
    nodes = [tuple(Node("entity", 0, j, j + i + 1) for j in range(i % 40)) for i in range(first, last)]
    return {key: SceneGraph(some, ()) for key, some in zip(keys, nodes, strict=True)}


@pytest.fixture
def store(tmp_path: Path) -> GraphStore:
    store = GraphStore(tmp_path, IDENTITY)
    store.write(graphs(0, 300))
    return store


def test_written_and_read(tmp_path: Path) -> None:
    store = GraphStore(tmp_path / "new", IDENTITY)
    expected = graphs(0, 1200)
    assert store.read(list(expected)) == {}
    assert not (tmp_path / "new").exists()
    store.write(graphs(0, 1000))
    store.write(graphs(900, 1100))
    assert store.read(list(expected)) == graphs(0, 1100)
    assert store.read([]) == {}
    assert {file.name for file in store.folder.iterdir()} >= {"graphs.sqlite", "graphs.json"}
    assert store.folder.name.startswith("graphs-")
    assert json.loads((store.folder / "graphs.json").read_text())["identity"] == IDENTITY
    other = GraphStore(tmp_path / "new", {**IDENTITY, "spacy": "4"})
    assert other.folder != store.folder
    assert other.read(list(expected)) == {}


def test_pickle_and_fork(store: GraphStore) -> None:
    expected = graphs(0, 300)
    assert pickle.loads(pickle.dumps(store)).read(list(expected)) == expected  # noqa: S301
    assert store.read(list(expected)) == expected

    def work() -> None:
        own = store.read(list(expected)) == expected
        store.write(graphs(300, 400))
        os._exit(0 if own else 1)

    process = processes.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert store.read(list(graphs(0, 400))) == graphs(0, 400)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    def work(first: int) -> None:
        own = GraphStore(tmp_path, IDENTITY)
        for start in range(first, first + 500, 25):
            own.write(graphs(start, start + 50))

    started = [processes.Process(target=work, args=(first,)) for first in (0, 250)]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0
    assert GraphStore(tmp_path, IDENTITY).read(list(graphs(0, 775))) == graphs(0, 775)


@pytest.mark.parametrize("delay", [0.01, 0.03, 0.05, 0.1, 0.2])
def test_killed_while_writing(tmp_path: Path, delay: float, caplog: pytest.LogCaptureFixture) -> None:
    """Each batch is there as a whole or not at all, at whatever moment the process ends."""

    def work() -> None:
        signal.setitimer(signal.ITIMER_REAL, delay)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        own = GraphStore(tmp_path, IDENTITY)
        for start in range(0, 100_000, 100):
            own.write(graphs(start, start + 100))

    process = processes.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    store = GraphStore(tmp_path, IDENTITY)
    expected = graphs(0, 3000)
    found = store.read(list(expected))
    assert len(found) % 100 == 0
    assert found == graphs(0, len(found))
    store.write(expected)
    assert store.read(list(expected)) == expected
    assert not [record for record in caplog.records if "damaged" in record.getMessage()]


def test_killed_in_the_middle_of_a_transaction(store: GraphStore, caplog: pytest.LogCaptureFixture) -> None:
    """Half of it is in the file already; whoever comes next, even to read, takes it back."""

    def work() -> None:
        connection = sqlite3.connect(store.database)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("UPDATE graphs SET graph = ?", [b"x" * 50])
        os.kill(os.getpid(), signal.SIGKILL)

    process = processes.Process(target=work)
    process.start()
    process.join()
    assert store.database.with_name("graphs.sqlite-journal").stat().st_size > 0
    again = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert again.read(list(graphs(0, 300))) == graphs(0, 300)
    assert caplog.records == []


def test_another_file_is_noticed(store: GraphStore, tmp_path: Path) -> None:
    """As when another process has set a damaged database aside."""
    assert store.read(list(graphs(0, 310))) == graphs(0, 300)
    store.database.unlink()
    GraphStore(tmp_path, IDENTITY).write(graphs(300, 310))
    assert store.read(list(graphs(0, 310))) == graphs(300, 310)


def corrupt(file: Path, change: Callable[[bytes], bytes]) -> None:
    data = change(file.read_bytes())
    file.unlink()
    file.write_bytes(data)


def shuffled(data: bytes) -> bytes:
    """Noise in a page of every second kind."""
    noise = random.Random(0)
    pages = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    return b"".join(page if i % 3 else noise.randbytes(len(page)) for i, page in enumerate(pages))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: b"no database",
        lambda data: data[: len(data) // 2],
        lambda data: b"\0" * len(data),
        lambda data: data[:4096] + b"\xff" * (len(data) - 4096),
        lambda data: data.replace(b"CREATE TABLE graphs", b"CREATE TABLE graphz"),
        shuffled,
    ],
    ids=["empty", "text", "half", "zeros", "pages", "schema", "noise"],
)
@pytest.mark.parametrize("read_first", [True, False])
def test_damaged_database(
    store: GraphStore,
    tmp_path: Path,
    change: Callable[[bytes], bytes],
    read_first: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Warned of once, never wrong, and whole again after the next write, by whoever had it open."""
    expected = graphs(0, 300)
    corrupt(store.database, change)
    again = GraphStore(tmp_path, IDENTITY)
    if read_first:
        found = again.read(list(expected))
        assert found.items() <= expected.items()
        assert again.read(list(expected)).items() <= expected.items()
        assert len(caplog.records) == 1
        assert str(store.database) in caplog.records[0].getMessage()
    again.write(expected)
    caplog.clear()
    assert GraphStore(tmp_path, IDENTITY).read(list(expected)) == expected
    assert again.read(list(expected)) == expected
    assert store.read(list(expected)).items() <= expected.items()
    store.write(graphs(300, 310))
    assert GraphStore(tmp_path, IDENTITY).read(list(graphs(0, 310))) == graphs(0, 310)
    assert caplog.records == []


def test_damage_is_mended_though_writing_does_not_meet_it(
    store: GraphStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = graphs(0, 300)
    corrupt(store.database, lambda data: data[:-4096] + random.Random(0).randbytes(4096))
    intact = next(key for key in expected if GraphStore(tmp_path, IDENTITY).read([key]))
    again = GraphStore(tmp_path, IDENTITY)
    assert again.read(list(expected)) == {}
    again.write({intact: expected[intact]})
    caplog.clear()
    assert GraphStore(tmp_path, IDENTITY).read(list(expected)) == {intact: expected[intact]}
    assert caplog.records == []


def test_flipped_bits(store: GraphStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a bit flips: what is read is right."""
    expected = graphs(0, 300)
    whole = store.database.read_bytes()
    noise = random.Random(1)
    lost = 0
    for _ in range(60):
        at, bit = noise.randrange(len(whole)), noise.randrange(8)
        store.database.unlink()
        store.database.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        found = GraphStore(tmp_path, IDENTITY).read(list(expected))
        assert found.items() <= expected.items()
        lost += len(found) < len(expected)
    assert lost > 20
    assert caplog.records


def test_a_file_of_another_parser_is_not_believed(
    store: GraphStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = GraphStore(tmp_path, {**IDENTITY, "rules": "2"})
    other.write({})
    other.database.write_bytes(store.database.read_bytes())
    assert GraphStore(tmp_path, {**IDENTITY, "rules": "2"}).read(list(graphs(0, 300))) == {}
    assert len(caplog.records) == 1


def test_damaged_rows_are_named_once_and_replaced(store: GraphStore, caplog: pytest.LogCaptureFixture) -> None:
    expected = graphs(0, 300)
    connection = sqlite3.connect(store.database)
    with connection:
        connection.execute("UPDATE graphs SET graph = 7 WHERE key = ?", [list(expected)[3]])
        connection.execute("UPDATE graphs SET graph = ? WHERE key = ?", [b"[[],[]]", list(expected)[5]])
    connection.close()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = store.read(list(expected))
            assert len(found) == 298
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
        "2 rows are damaged; their texts are parsed again"
    ]
    store.write({key: expected[key] for key in expected.keys() - found.keys()})
    assert store.read(list(expected)) == expected


def limited(work: Callable[[], Any]) -> None:
    """The work in a process whose files may not grow any more."""
    resource = pytest.importorskip("resource")

    def child() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        work()

    process = processes.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_disk_takes_no_more(store: GraphStore, tmp_path: Path) -> None:
    expected = graphs(0, 300)

    def work() -> None:
        with pytest.raises(
            PolysenseError, match=f"cannot be stored in {store.folder} .*what was stored before is kept"
        ):
            store.write(graphs(300, 900))
        assert store.read(list(graphs(0, 900))) == expected

    limited(work)
    assert GraphStore(tmp_path, IDENTITY).read(list(graphs(0, 900))) == expected
    store.write(graphs(300, 900))
    assert store.read(list(graphs(0, 900))) == graphs(0, 900)


def test_may_not_write(store: GraphStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the folder should be, and a lock that cannot be opened."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PolysenseError, match="cannot be stored in"):
        GraphStore(tmp_path / "file", IDENTITY).write(graphs(0, 1))
    (store.folder / "writer.lock").unlink(missing_ok=True)
    (store.folder / "writer.lock").mkdir()
    with pytest.raises(PolysenseError, match="cannot be stored in"):
        store.write(graphs(300, 310))
    assert store.read(list(graphs(0, 310))) == graphs(0, 300)


def test_unreadable(store: GraphStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Something that is no file stands in the way: reading warns, writing says so."""
    store.database.unlink()
    store.database.mkdir()
    again = GraphStore(tmp_path, IDENTITY)
    assert again.read(list(graphs(0, 10))) == {}
    assert len(caplog.records) == 1
    with pytest.raises(PolysenseError, match="cannot be stored in"):
        again.write(graphs(0, 10))


def test_a_moment_of_waiting_too_long_is_only_a_moment(
    store: GraphStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "_TIMEOUT", 0.1)
    other = sqlite3.connect(store.database, isolation_level=None)
    again = GraphStore(tmp_path, IDENTITY)
    other.execute("BEGIN EXCLUSIVE")
    assert again.read(list(graphs(0, 10))) == {}
    assert "locked" in caplog.text
    other.execute("ROLLBACK")
    other.close()
    assert again.read(list(graphs(0, 10))) == graphs(0, 10)


def test_a_last_page_that_is_cut_is_said(store: GraphStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite reads what is missing of it as zeros, and would find no rows there without a word."""
    corrupt(store.database, lambda data: data[:-2000])
    expected = graphs(0, 300)
    again = GraphStore(tmp_path, IDENTITY)
    assert again.read(list(expected)) == {}
    assert "is cut short" in caplog.text
    again.write(expected)
    assert GraphStore(tmp_path, IDENTITY).read(list(expected)) == expected


@pytest.mark.parametrize("read_first", [True, False])
def test_a_schema_that_is_no_text(store: GraphStore, tmp_path: Path, read_first: bool) -> None:
    """The message of SQLite's error quotes it, and Python cannot decode that."""
    corrupt(store.database, lambda data: data.replace(b"CREATE TABLE graphs", b"CREATE \xff\xfeBLE graphs"))
    expected = graphs(0, 300)
    again = GraphStore(tmp_path, IDENTITY)
    if read_first:
        assert again.read(list(expected)) == {}
    again.write(expected)
    assert GraphStore(tmp_path, IDENTITY).read(list(expected)) == expected
