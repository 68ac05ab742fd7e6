"""How a run is begun, gone on with and replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polysense.errors import PolysenseError
from polysense.folder import RESULTS_FILE, working_folder, write_checksums
from polysense.training.runs import RUN_FILE, SEARCH_FOLDER, begin_run, what_is_kept


def interrupted(folder: Path) -> Path:
    """The checkpoints of a run that was broken off."""
    partial = begin_run(folder, {"task": "vqa", "steps": [1, 2]}, overwrite=False, resume=False)
    (partial / "checkpoint-500").mkdir()
    return partial


def test_the_same_run_goes_on(tmp_path):
    partial = interrupted(tmp_path / "m")
    assert begin_run(tmp_path / "m", {"task": "vqa", "steps": (1, 2)}, overwrite=False, resume=True) == partial
    assert (partial / "checkpoint-500").is_dir()


def test_another_run_neither_goes_on_nor_replaces_unasked(tmp_path):
    interrupted(tmp_path / "m")
    with pytest.raises(PolysenseError, match="had other steps: give the same as then"):
        begin_run(tmp_path / "m", {"task": "vqa", "steps": [3]}, overwrite=False, resume=True)
    with pytest.raises(PolysenseError, match="add --resume to go on, or --overwrite"):
        begin_run(tmp_path / "m", {"task": "rec"}, overwrite=False, resume=False)


def test_a_run_that_replaces_another_leaves_none_of_its_checkpoints(tmp_path):
    """Else `resume`, after a kill before the first step, would go on with the other's weights."""
    interrupted(tmp_path / "m")
    partial = begin_run(tmp_path / "m", {"task": "rec"}, overwrite=True, resume=False)
    assert json.loads((partial / RUN_FILE).read_text()) == {"task": "rec"}
    with pytest.raises(PolysenseError, match="nothing to resume"):
        begin_run(tmp_path / "m", {"task": "rec"}, overwrite=False, resume=True)


def test_nothing_to_go_on_with(tmp_path):
    with pytest.raises(PolysenseError, match=f"nothing to resume: {working_folder(tmp_path / 'm')}"):
        begin_run(tmp_path / "m", {}, overwrite=False, resume=True)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_note_of_what_the_run_was_told(tmp_path, content):
    partial = interrupted(tmp_path / "m")
    (partial / RUN_FILE).write_bytes(content)
    with pytest.raises(PolysenseError, match=f"{RUN_FILE} is damaged: begin anew with --overwrite"):
        begin_run(tmp_path / "m", {"task": "vqa", "steps": [1, 2]}, overwrite=False, resume=True)


def test_a_damaged_checkpoint(tmp_path):
    partial = interrupted(tmp_path / "m")
    (partial / "checkpoint-500" / "optimizer.pt").write_bytes(b"1234")
    write_checksums(partial / "checkpoint-500")
    (partial / "checkpoint-500" / "optimizer.pt").write_bytes(b"1235")
    with pytest.raises(
        PolysenseError, match=r"begin anew with --overwrite .*checkpoint-500/optimizer\.pt is not as it was written"
    ):
        begin_run(tmp_path / "m", {"task": "vqa", "steps": [1, 2]}, overwrite=False, resume=True)


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
