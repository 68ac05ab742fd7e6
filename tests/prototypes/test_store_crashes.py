"""Writers that are killed, meet each other or run out of room: what is stored is whole, and the next run goes on."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polysense import durable
from polysense.errors import PolysenseError
from polysense.text import text_keys
from store_support import TEXTS, absent, contents, fill, prototypes, tiny_store

resource = pytest.importorskip("resource", reason="processes are forked here, and killed by signals")
processes = multiprocessing.get_context("fork")
MANY = [f"sentence {i}" for i in range(2000)]


def start(work: Callable[..., None], *args: Any) -> Any:
    process = processes.Process(target=work, args=args)
    process.start()
    return process


def fill_anew(root: Path, texts: list[str], chunk: int) -> None:
    fill(tiny_store(root), texts, chunk)


def kill_at(root: Path, step: int) -> None:
    """Fill the table, and be killed before the given step on its files; at a flush, with half a file on the disk."""
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event in steps and str(root) in str(args[0]):
            count()

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if left == 0 and stat.S_ISREG(status.st_mode):  # killed with only a part on the disk
            os.truncate(descriptor, status.st_size // 2)
        count()
        real(descriptor)

    steps = ("open", "os.mkdir", "os.rename", "os.remove", "os.scandir", "os.listdir")
    real, durable.os.fsync = os.fsync, fsync  # type: ignore[attr-defined]
    sys.addaudithook(audit)
    fill(tiny_store(root), TEXTS, chunk=15)


def test_killed_at_any_step(tmp_path: Path) -> None:
    fill(tiny_store(tmp_path / "whole"), TEXTS, chunk=15)
    expected = contents(tiny_store(tmp_path / "whole"))
    for step in range(200):
        root = tmp_path / str(step)
        process = start(kill_at, root, step)
        process.join()
        store = tiny_store(root)
        assert set(absent(store, TEXTS)) in [set(TEXTS[done:]) for done in (0, 15, 30, 40)]
        fill(store, TEXTS, chunk=15)
        assert contents(store) == expected
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert 30 < step < 199


def fill_for_a_while(root: Path, seconds: float, used: Any) -> None:
    """Fill the table, and be ended by the system after so much time on the processor (0: never)."""
    begin = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    fill(tiny_store(root), MANY, chunk=100)
    used.value = time.process_time() - begin


def test_killed_at_random_moments(tmp_path: Path) -> None:
    used = processes.Value("d", 0.0)
    start(fill_for_a_while, tmp_path / "whole", 0, used).join()
    expected = contents(tiny_store(tmp_path / "whole"))
    assert len(expected) == 20 + 3
    longest, kills = used.value, 0
    random = np.random.default_rng()
    for run in range(4):
        exitcode, most = None, 0.3 * longest
        while exitcode != 0:  # killed again and again, but later and later
            process = start(fill_for_a_while, tmp_path / str(run), random.uniform(0.05, 1) * most, used)
            process.join()
            most *= 1.4
            exitcode = process.exitcode
            assert exitcode in (0, -signal.SIGPROF)
            kills += exitcode != 0
        assert contents(tiny_store(tmp_path / str(run))) == expected
    assert kills


def hold(root: Path, held: Any) -> None:
    with tiny_store(root).writing():
        held.set()
        time.sleep(60)


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    held = processes.Event()
    process = start(hold, tmp_path, held)
    assert held.wait(30)
    process.kill()
    process.join()
    assert fill(tiny_store(tmp_path)) == [10, 10, 10, 10]  # or this waits for ever


class Announce(logging.Handler):
    """Sets an event at a message, and keeps it."""

    def __init__(self, event: Any) -> None:
        super().__init__()
        self.event = event
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.event.set()


def wait_and_fill(root: Path, may_start: Any, waiting: Any, results: Any) -> None:
    handler = Announce(waiting)
    logging.getLogger("polysense").addHandler(handler)
    assert may_start.wait(30)
    results.put((fill(tiny_store(root), TEXTS), handler.messages))


def test_the_second_writer_waits_and_finds_what_the_first_wrote(tmp_path: Path) -> None:
    may_start, waiting, results = processes.Event(), processes.Event(), processes.Queue()
    process = start(wait_and_fill, tmp_path, may_start, waiting, results)
    store = tiny_store(tmp_path)
    with store.writing():
        may_start.set()
        assert waiting.wait(30)
        store.write(text_keys(TEXTS[:25]), prototypes(TEXTS[:25]))
    computed, messages = results.get(timeout=30)
    process.join()
    assert computed == [0, 0, 5, 10]
    assert len(messages) == 1 and f"waiting for {store.folder / 'writer.lock'}" in messages[0]
    assert fill(store) == [0, 0, 0, 0]


def test_many_writers_at_once_store_each_text_once(tmp_path: Path) -> None:
    writers = [start(fill_anew, tmp_path, MANY[i * 200 : 1000 + i * 200], 50) for i in range(4)]
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = tiny_store(tmp_path)
    assert absent(store, MANY[:1600]) == []
    assert len(store) == 1600
    assert len(list(store.folder.glob("*.arrow"))) == 1600 // 50


def fill_with_little_room(root: Path, results: Any) -> None:
    """Files may have 30,000 bytes at most: as on a disk that is full, but for the errno."""
    store = tiny_store(root)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    try:
        with store.writing():
            for size, begin in [(200, 0), (1000, 200)]:
                texts = MANY[begin : begin + size]
                store.write(text_keys(texts), prototypes(texts))
    except PolysenseError as error:
        results.put((str(error), len(absent(store, MANY))))
    else:
        results.put(("no error", 0))


def test_a_file_that_cannot_grow(tmp_path: Path) -> None:
    results = processes.Queue()
    process = start(fill_with_little_room, tmp_path, results)
    message, missing = results.get(timeout=30)
    process.join()
    store = tiny_store(tmp_path)
    assert f"cannot be stored in {store.folder} (File too large): make room" in message
    assert missing == len(MANY) - 200
    assert absent(store, MANY) == MANY[200:]
    assert sorted(contents(store)) == ["000000.arrow", "index.bin", "table.json", "writer.lock"]


@pytest.mark.parametrize("full_at", ["write", "fsync", "rename"])
def test_a_full_disk(tmp_path: Path, full_at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tiny_store(tmp_path)
    fill(store, TEXTS[:10])
    before = contents(store)

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.writing(), monkeypatch.context() as patch:
        if full_at == "write":
            patch.setattr("pyarrow.ipc.RecordBatchFileWriter.write_batch", full)
        elif full_at == "fsync":
            patch.setattr(durable.os, "fsync", full)
        else:
            patch.setattr(Path, "replace", full)
        with pytest.raises(PolysenseError, match=r"cannot be stored in .*\(No space left on device\): make room there"):
            store.write(text_keys(TEXTS[10:20]), prototypes(TEXTS[10:20]))
    assert contents(store) == before
    assert absent(store, TEXTS) == absent(tiny_store(tmp_path), TEXTS) == list(TEXTS[10:])
    assert fill(store) == [0, 10, 10, 10]  # as soon as there is room


def test_no_room_for_the_index_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = tiny_store(tmp_path)

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.writing():
        store.write(text_keys(TEXTS), prototypes(TEXTS))
        monkeypatch.setattr("polysense.prototypes.key_index.KeyIndex.save", full)
    assert "index.bin cannot be written" in caplog.text
    monkeypatch.undo()
    assert absent(store, TEXTS) == absent(tiny_store(tmp_path), TEXTS) == []
    fill(store)
    assert (store.folder / "index.bin").exists()


def test_no_room_for_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    store = tiny_store(tmp_path)
    with pytest.raises(PolysenseError, match="No space left on device"), store.writing():
        pass
    assert not any(tmp_path.iterdir())


def test_an_error_between_two_shards_keeps_the_first(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)

    def interrupted() -> None:
        with store.writing():
            store.write(text_keys(TEXTS[:10]), prototypes(TEXTS[:10]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (store.folder / "index.bin").exists()
    assert absent(tiny_store(tmp_path), TEXTS) == list(TEXTS[10:])
    assert fill(store) == [0, 10, 10, 10]
