from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.folder import CHECKSUMS, check_files, check_free, whole_folder, working_folder, write_json, write_whole
from polysense.tasks import Defaults
from polysense.training.settings import TrainingSettings
from polysense.training.train import train


def test_a_tasks_defaults_and_what_is_given():
    settings = TrainingSettings.for_task(Defaults(epochs=7, method_learning_rate=1e-3), epochs=None, batch_size=4)
    assert (settings.epochs, settings.batch_size, settings.method_learning_rate) == (7, 4, 1e-3)
    assert settings.learning_rate == Defaults().learning_rate
    TrainingSettings(dropout=0, weight_decay=0, warmup=0, seed=0, epochs=0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, 0) for name in ("learning_rate", "batch_size", "epochs", "max_length", "k", "method_learning_rate")],
        ("gradient_accumulation", 0),
        ("gradient_accumulation", 1.5),
        ("compile", "yes"),
        *[(name, -1) for name in ("epochs", "weight_decay", "dropout", "seed", "warmup", "k")],
        *[(name, float("nan")) for name in ("learning_rate", "dropout", "epochs")],
        ("epochs", float("inf")),
        ("epochs", "three"),
        ("k", 2.5),
        ("batch_size", True),
        ("dropout", 1.5),
        ("seed", 2**32),
        ("bf16", 1),
        ("group_by_length", "yes"),
    ],
)
def test_bad_values_are_named(name: str, value: Any):
    with pytest.raises(PolysenseError) as caught:
        TrainingSettings.for_task(Defaults(), **{name: value})
    assert str(caught.value).startswith(name.replace("_", "-"))


def test_settings_of_later_versions_change_the_name_of_a_run_only_where_they_are_used():
    plain = TrainingSettings().identity()
    assert {"compile", "gradient_accumulation"}.isdisjoint(plain) and plain["bf16"] is False
    assert TrainingSettings(gradient_accumulation=2).identity() == {**plain, "gradient_accumulation": 2}


def test_an_unknown_setting_gets_a_suggestion():
    with pytest.raises(PolysenseError, match=r"'epoch' \(did you mean 'epochs'\?\)"):
        TrainingSettings.for_task(Defaults(), epoch=3)


def test_a_folder_is_whole_or_as_it_was(tmp_path: Path):
    folder = tmp_path / "a" / "out"
    with whole_folder(folder) as staged:
        (staged / "x").write_text("1")
        assert not folder.exists()
    assert (folder / "x").read_text() == "1"

    def fail_half_way() -> None:
        with whole_folder(folder) as staged:
            (staged / "y").write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert {file.name for file in folder.iterdir()} == {"x", CHECKSUMS}
    assert [file.name for file in folder.parent.iterdir()] == ["out"]
    (working_folder(folder) / "checkpoint-1").mkdir(parents=True)
    with pytest.raises(RuntimeError):
        fail_half_way()
    assert [file.name for file in working_folder(folder).iterdir()] == ["checkpoint-1"]
    with whole_folder(folder) as staged:
        assert list(staged.iterdir()) == []  # nothing of the failed one
        (staged / "z").write_text("3")
    assert {file.name for file in folder.iterdir()} == {"z", CHECKSUMS}
    check_files(folder)
    assert [file.name for file in folder.parent.iterdir()] == ["out"]


def test_the_working_folder_of_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert working_folder(Path("x")) == tmp_path / "x.partial"
    assert working_folder(Path()).parent == tmp_path.parent


def test_what_may_be_written_to(tmp_path: Path):
    check_free(tmp_path / "new", overwrite=False, marker="mine")
    check_free(tmp_path, overwrite=False, marker="mine")  # empty
    (tmp_path / "file").write_text("")
    for overwrite in (False, True):
        with pytest.raises(PolysenseError, match="is a file"):
            check_free(tmp_path / "file", overwrite, "mine")
        with pytest.raises(PolysenseError, match="no mine in it"):
            check_free(tmp_path, overwrite, "mine")
    (tmp_path / "mine").write_text("{}")
    with pytest.raises(PolysenseError, match="--overwrite"):
        check_free(tmp_path, overwrite=False, marker="mine")
    check_free(tmp_path, overwrite=True, marker="mine")


def test_a_file_is_whole_or_as_it_was(tmp_path: Path):
    file = tmp_path / "new" / "file"
    write_whole(file, "é")
    assert file.read_bytes() == "é".encode()
    with pytest.raises(TypeError):
        write_json(file, {"x": object()})
    assert file.read_bytes() == "é".encode()
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("way", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_divided_weights_are_refused_before_any_work(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{way}", "true")
    with pytest.raises(PolysenseError, match=f"{way} divides between processes cannot be written whole: launch with"):
        train(tmp_path / "m", train_file=tmp_path / "none.jsonl")
    monkeypatch.setenv(f"ACCELERATE_USE_{way}", "false")
    with pytest.raises(PolysenseError, match=r"none\.jsonl"):
        train(tmp_path / "m", train_file=tmp_path / "none.jsonl")
