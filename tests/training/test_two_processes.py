"""`torchrun` or `accelerate launch`, two processes, against one with batches of twice the size."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed as dist
from torch import multiprocessing

import polysense
from polysense.errors import PolysenseError
from polysense.training.trainer import PolysenseTrainer
from support import save_bert
from tiny_runs import text_rows, write_rows

pytest_plugins = ("tiny_runs",)

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
# Its launcher of several processes on CPUs alone is MPI's; that of GPUs starts them anywhere.
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")  # fmt: skip


def train(
    folder: Path, processes: int, tiny: dict[str, Any], method: str, launcher: Sequence[str] = TORCHRUN, **more: Any
) -> subprocess.CompletedProcess[str]:
    """27 rows: the last global batch of an epoch has three, which two processes cannot share evenly."""
    rows = write_rows(folder / "rows.jsonl", text_rows(27))
    # Without dropout, which processes draw apart.
    backbone = save_bert(folder / "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    options = {
        "output-dir": folder / f"{method}-{processes}",
        "train-file": rows,
        "validation-file": tiny["train_file"],
        "backbone": backbone,
        "tower": tiny["towers"][0],
        "method": method,
        "epochs": 3,
        "dropout": 0,
        "batch-size": 8 // processes,
        "learning-rate": 1e-3,
        "kind": "classification",
        **more,
    }
    launch = ["-m", *launcher] if processes > 1 else []
    command = [sys.executable, *launch, "-m", "polysense", "train", "--json"]
    for name, value in options.items():
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False, timeout=200
    )


def results(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)  # one process alone has spoken
    return found


@pytest.mark.parametrize(
    ("method", "launcher", "more"),
    [
        ("macsc", TORCHRUN, {"group-by-length": True}),
        ("mase", TORCHRUN, {}),
        ("macsc", ACCELERATE, {"gradient-accumulation": 2}),
    ],
    ids=["macsc", "mase", "accelerate launch, gradients accumulated"],
)
def test_two_processes_train_what_one_does(
    tmp_path: Path, tiny: dict[str, Any], method: str, launcher: Sequence[str], more: dict[str, Any]
) -> None:
    one, two = (results(train(tmp_path, processes, tiny, method, launcher, **more)) for processes in (1, 2))
    weights = [load_file(tmp_path / f"{method}-{processes}" / "model.safetensors") for processes in (1, 2)]
    before = load_file(tmp_path / "bert" / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert (weights[0]["backbone.embeddings.word_embeddings.weight"] - before).abs().max() > 1e-3
    for name, weight in weights[0].items():
        if name.endswith("key.bias"):
            continue  # attention does not see it: its gradient is rounding, which Adam blows up
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-5, msg=name)
    assert two["scores"] == one["scores"]
    assert two["weights"].keys() == one["weights"].keys()
    assert [e["step"] for e in two["e_steps"]] == [e["step"] for e in one["e_steps"]]
    for got, expected in zip(two["e_steps"], one["e_steps"], strict=True):
        assert got["information"] == pytest.approx(expected["information"], abs=1e-3)
    logs = [json.loads((tmp_path / f"{method}-{p}" / "training_log.json").read_text())["log"] for p in (1, 2)]
    for got, expected in zip(*logs, strict=True):
        for name in [name for name in expected if name.startswith("loss")]:
            assert got[name] == pytest.approx(expected[name], abs=1e-4), name
    assert sorted(f.name for f in (tmp_path / f"{method}-2").iterdir()) == sorted(
        f.name for f in (tmp_path / f"{method}-1").iterdir()
    )


def test_a_search_takes_one_process(tmp_path: Path, tiny: dict[str, Any]) -> None:
    done = train(tmp_path, 2, tiny, "text", search=2)
    assert done.returncode != 0
    assert "a search (--search) runs in one process: start it without torchrun" in done.stderr


def start_two(work: Callable[..., None], *given: Any) -> None:
    """Run `work(number, port, ...)` in two processes that know of each other."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, *given), nprocs=2)


def meet(number: int, port: int) -> None:
    """What a launcher tells a process."""
    where = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": "2", **where}


def draw(number: int, port: int, folder: str, given: dict[str, Any]) -> None:
    """What a process would drop out first, and the weights that it begins with."""
    meet(number, port)

    def begin(trainer: Any, **_: Any) -> None:
        drawn = torch.nn.functional.dropout(torch.ones(1000))
        torch.save((drawn, dict(trainer.model.state_dict())), Path(folder) / f"{number}.pt")
        raise KeyboardInterrupt

    PolysenseTrainer.train = begin
    with suppress(KeyboardInterrupt):
        polysense.train(Path(folder) / "model", **given)
    dist.destroy_process_group()


def test_each_process_drops_out_for_itself(tmp_path: Path, tiny: dict[str, Any]) -> None:
    start_two(draw, str(tmp_path), {**tiny, "method": "text"})
    (one, weights), (other, others) = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in range(2))
    assert 300 < (one == other).sum() < 700
    assert all(torch.equal(weight, others[name]) for name, weight in weights.items())


def train_on(number: int, port: int, folder: str, stops: bool, given: dict[str, Any]) -> None:
    """Train to the end, or until a checkpoint is there."""
    meet(number, port)
    save = PolysenseTrainer._save_checkpoint

    def save_and_stop(trainer: Any, *args: Any) -> None:
        save(trainer, *args)
        if stops:
            raise KeyboardInterrupt

    PolysenseTrainer._save_checkpoint = save_and_stop
    with suppress(KeyboardInterrupt):
        polysense.train(folder, **given)
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_go_on_to_the_very_same_weights(tmp_path: Path, tiny: dict[str, Any]) -> None:
    given = {**tiny, "epochs": 3, "dropout": 0.3, "store": tmp_path / "store"}
    start_two(train_on, str(tmp_path / "whole"), False, given)
    start_two(train_on, str(tmp_path / "m"), True, given)
    assert list(tmp_path.glob("m.partial/checkpoint-*")) and not (tmp_path / "m").exists()
    with pytest.raises(PolysenseError, match="had other processes"):
        polysense.train(tmp_path / "m", resume=True, **given)
    start_two(train_on, str(tmp_path / "m"), False, {**given, "resume": True})
    weights, expected = (load_file(tmp_path / name / "model.safetensors") for name in ("m", "whole"))
    assert all(torch.equal(weight, expected[name]) for name, weight in weights.items())
