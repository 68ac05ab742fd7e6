"""Scripts of the papers' tables at their own scale, and of figures."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.experiments.reproduce import get_entry
from polysense.experiments.reproduce.scales import PAPER_TOWERS
from polysense.experiments.reproduce.script import script_of
from polysense.experiments.runs import Run


@pytest.fixture
def shell(tmp_path: Path) -> Any:
    """Runs a script where `polysense` only notes how it was called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "polysense"
    program.write_text(
        f'#!/bin/sh\nfor word in "$@"; do printf "%s\\t" "$word"; done >> {tmp_path}/log\necho >> {tmp_path}/log\n'
    )
    program.chmod(0o755)

    def run(script: str, *arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
        (tmp_path / "log").write_text("")
        (tmp_path / "x.sh").write_text(script)
        environment = {"PATH": f"{programs}:{os.environ['PATH']}", **variables}
        command = ["sh", "x.sh", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, check=False
        )
        return done, [line.split("\t")[:-1] for line in (tmp_path / "log").read_text().splitlines()]

    return run


def towers_in(folder: Path) -> None:
    for tower in PAPER_TOWERS.values():
        (folder / tower).mkdir(parents=True)


def test_the_papers_scale_is_a_script_of_single_runs(shell, tmp_path):
    script = script_of(get_entry("macsc-table2"), "paper", "x.sh", seeds=2)
    runs = 3 * 4 * 5 * 2  # backbones; versions and shares; lines; seeds
    done, log = shell(script, "count", PICTURES="p")
    assert (done.stdout, log) == (f"{runs}\n", [])
    done, _ = shell(script, PICTURES="p")
    assert done.returncode == 1 and "polysense towers convert ViT-B-32.pt --to towers/clip" in done.stderr
    towers_in(tmp_path)
    done, _ = shell(script)
    assert done.returncode != 0 and "PICTURES" in done.stderr

    done, log = shell(script, PICTURES="my shots", OUT="out put")
    assert done.returncode == 0, done.stderr
    assert len(log) == runs + 12 + 3
    assert log[0] == [
        "compare", "--task", "squad_v1", "--train-share", "0.05", "--backbone", "bert-base-uncased",
        "--cells", "out put/cells", "--run", "text", "--seeds", "1", "--first-seed", "0",
        "--output", "out put/cells/tables/1.json",
    ]  # fmt: skip
    assert [line[line.index("--first-seed") + 1] for line in log[:runs]] == ["0", "1"] * (runs // 2)
    assert log[2][10] == 'mpb,image="pictures:my shots,encoder=openai/clip-vit-base-patch32"'
    assert Run.parse(log[2][10]).towers == {"image": "pictures:my shots,encoder=openai/clip-vit-base-patch32"}
    backbones = {line[line.index("--backbone") + 1] for line in log[:-3]}
    assert backbones == {"bert-base-uncased", "roberta-base", "xlnet-large-cased"}
    assert log[-3] == [
        "reproduce", "macsc-table2", "--collect", "out put", "--base", "BERT-base",
        "--output", "out put/macsc-table2-bert-base.json",
    ]  # fmt: skip
    last = log[-4]
    assert last.count("--run") == 5 and last[-1] == "out put/xlnet-large-cased-squad_v2.json".replace("-cased", "")
    assert last[last.index("--seeds") + 1] == "2"

    done, log = shell(script, "4", PICTURES="p")
    assert done.returncode == 0 and len(log) == 1 and log[0][-1].endswith("/tables/4.json")
    assert "# No command" not in script
    assert "# No command: +VOKEN: not reimplemented" in script_of(get_entry("macsc-table1"), "paper", "x.sh")
    assert "learning_rate 3e-05, batch_size 12, epochs 3" in script


def test_a_figures_script_does_not_train_twice(shell, tmp_path):
    script = script_of(get_entry("mase-figure4"), "small", "x.sh")
    done, log = shell(script, OUT="o")
    assert done.returncode == 0, done.stderr
    assert [line[0] for line in log] == ["train", "train", "figure"]
    (tmp_path / "o" / "csqa").mkdir()
    done, log = shell(script, OUT="o")
    assert [line[:3] for line in log] == [["train", "--task", "sst2"], ["figure", "weights", "o/csqa"]]
    done, log = shell(script, "2", OUT="o")
    assert [line[:3] for line in log] == [["train", "--task", "sst2"]]
    done, log = shell(script, "count", OUT="o")
    assert (done.stdout, log) == ("2\n", [])


def test_a_table_at_small_scale_is_no_script():
    with pytest.raises(PolysenseError, match="is computed and needs no script"):
        script_of(get_entry("mase-table1"), "small", "x.sh")
