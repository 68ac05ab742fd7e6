"""How a run is begun, gone on with and replaced."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.folder import CHECKSUMS, RESULTS_FILE, only_writer, whole_folder, working_folder, write_checksums
from polysense.training.runs import RUN_FILE, SEARCH_FOLDER, run_folder, what_is_kept


def begin(folder: Path, run: dict[str, Any], *, overwrite: bool, resume: bool) -> Path:
    with run_folder(folder, run, overwrite=overwrite, resume=resume) as partial:
        return partial


def interrupted(folder: Path) -> Path:
    """The checkpoints of a run that was broken off."""
    partial = begin(folder, {"task": "vqa", "steps": [1, 2]}, overwrite=False, resume=False)
    (partial / "checkpoint-500").mkdir()
    return partial


def test_the_same_run_goes_on(tmp_path):
    partial = interrupted(tmp_path / "m")
    assert begin(tmp_path / "m", {"task": "vqa", "steps": (1, 2)}, overwrite=False, resume=True) == partial
    assert (partial / "checkpoint-500").is_dir()


def test_another_run_neither_goes_on_nor_replaces_unasked(tmp_path):
    interrupted(tmp_path / "m")
    with pytest.raises(PolysenseError, match="had other steps: give the same as then"):
        begin(tmp_path / "m", {"task": "vqa", "steps": [3]}, overwrite=False, resume=True)
    with pytest.raises(PolysenseError, match="add --resume to go on, or --overwrite"):
        begin(tmp_path / "m", {"task": "rec"}, overwrite=False, resume=False)


def test_a_run_that_replaces_another_leaves_none_of_its_checkpoints(tmp_path):
    """Else `resume`, after a kill before the first step, would go on with the other's weights."""
    interrupted(tmp_path / "m")
    partial = begin(tmp_path / "m", {"task": "rec"}, overwrite=True, resume=False)
    assert json.loads((partial / RUN_FILE).read_text()) == {"task": "rec"}
    with pytest.raises(PolysenseError, match="nothing to resume"):
        begin(tmp_path / "m", {"task": "rec"}, overwrite=False, resume=True)


def test_nothing_to_go_on_with(tmp_path):
    with pytest.raises(PolysenseError, match=f"nothing to resume: {working_folder(tmp_path / 'm')}"):
        begin(tmp_path / "m", {}, overwrite=False, resume=True)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_note_of_what_the_run_was_told(tmp_path, content):
    partial = interrupted(tmp_path / "m")
    (partial / RUN_FILE).write_bytes(content)
    with pytest.raises(PolysenseError, match=f"{RUN_FILE} is damaged: begin anew with --overwrite"):
        begin(tmp_path / "m", {"task": "vqa", "steps": [1, 2]}, overwrite=False, resume=True)


def test_a_damaged_checkpoint(tmp_path):
    partial = interrupted(tmp_path / "m")
    (partial / "checkpoint-500" / "optimizer.pt").write_bytes(b"1234")
    write_checksums(partial / "checkpoint-500")
    (partial / "checkpoint-500" / "optimizer.pt").write_bytes(b"1235")
    with pytest.raises(
        PolysenseError, match=r"begin anew with --overwrite .*checkpoint-500/optimizer\.pt is not as it was written"
    ):
        begin(tmp_path / "m", {"task": "vqa", "steps": [1, 2]}, overwrite=False, resume=True)


def test_a_kill_while_the_older_checkpoint_was_deleted(tmp_path):
    partial = interrupted(tmp_path / "m")
    half, newest = partial / "checkpoint-500", partial / "checkpoint-1000"
    newest.mkdir()
    for checkpoint in (half, newest):
        (checkpoint / "optimizer.pt").write_bytes(b"1234")
        write_checksums(checkpoint)
    (half / "optimizer.pt").unlink()
    begin(tmp_path / "m", {"task": "vqa", "steps": [1, 2]}, overwrite=False, resume=True)


def test_a_run_of_more_processes_is_not_gone_on_with(tmp_path):
    interrupted(tmp_path / "m")  # from before their number was noted, as of one
    told = {"task": "vqa", "steps": [1, 2]}
    with pytest.raises(PolysenseError, match="had other processes: give the same as then"):
        begin(tmp_path / "m", {**told, "processes": 2}, overwrite=False, resume=True)
    begin(tmp_path / "m", {**told, "processes": 1}, overwrite=False, resume=True)


def test_two_runs_do_not_end_in_one_folder(tmp_path):
    code = f"""
from pathlib import Path
from polysense.folder import whole_folder
with whole_folder(Path({str(tmp_path / "m")!r})) as staged:
    (staged / "here").touch()
"""
    with run_folder(tmp_path / "m", {}, overwrite=False, resume=False):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"{tmp_path / 'm'}: another run is writing it; wait for its end" in done.stderr
        with whole_folder(tmp_path / "m") as staged:  # the run itself
            (staged / "model").touch()
    assert [file.name for file in (tmp_path / "m").iterdir() if file.name != CHECKSUMS] == ["model"]
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "m" / "here").exists()


def test_the_lock_of_another_run_stays(tmp_path):
    """Of one that began when this one's folder was gone, and this one had not yet ended."""
    with only_writer(tmp_path / "m"):
        shutil.rmtree(working_folder(tmp_path / "m"))
        working_folder(tmp_path / "m").mkdir()
        (working_folder(tmp_path / "m") / "writer.lock").touch()
    assert (working_folder(tmp_path / "m") / "writer.lock").exists()


def test_what_is_kept_of_a_run_that_was_stopped(tmp_path):
    folder, partial = tmp_path / "m", working_folder(tmp_path / "m")
    assert what_is_kept(folder) == "there was no checkpoint yet; the same command begins anew"
    folder.mkdir()
    (folder / RESULTS_FILE).write_text("{}")
    assert what_is_kept(folder) == f"{folder} holds a whole result"
    (partial / SEARCH_FOLDER).mkdir(parents=True)
    assert what_is_kept(folder).startswith(f"{partial} holds the finished trials of a search")
    (partial / "checkpoint-500").mkdir()
    assert what_is_kept(folder) == f"{partial} holds a checkpoint, from which its command goes on with --resume"


def test_a_result_that_came_while_the_run_was_prepared(tmp_path):
    """Two runs see that a folder is free, one ends while the other still reads its data."""
    with whole_folder(tmp_path / "m") as staged:
        (staged / RESULTS_FILE).write_text("{}")
    with pytest.raises(PolysenseError, match="already holds a result"):
        begin(tmp_path / "m", {}, overwrite=False, resume=False)
    assert begin(tmp_path / "m", {}, overwrite=True, resume=False)


def test_a_result_is_on_the_disk_before_the_old_one_goes(tmp_path, monkeypatch):
    """Else a power cut could take both."""
    flushed: list[str] = []
    fsync, remove = os.fsync, shutil.rmtree

    def flush(opened: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{opened}"))
        fsync(opened)

    def delete(folder: Path, **kwargs: Any) -> None:
        if folder.exists() and (folder / "replaced").exists():
            flushed.append("deleted")
        remove(folder, **kwargs)

    for content in ("old", "new"):
        with whole_folder(tmp_path / "m") as staged:
            (staged / "logs").mkdir()
            (staged / "logs" / "events").write_text(content)
            monkeypatch.setattr(os, "fsync", flush)
            monkeypatch.setattr(shutil, "rmtree", delete)
            flushed.clear()
    staged = tmp_path.resolve() / "m.partial" / "result"
    for path in (staged / "logs" / "events", staged / "logs", staged, tmp_path.resolve()):
        assert flushed.index(str(path)) < flushed.index("deleted"), path
