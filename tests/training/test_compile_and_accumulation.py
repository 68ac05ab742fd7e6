"""A compiled backbone, and gradients of several batches in a step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from polysense.errors import PolysenseError
from polysense.methods.catalog import method_config
from polysense.training.fine_tune import check_settings
from polysense.training.settings import TrainingSettings
from polysense.training.train import train
from support import save_bert
from tiny_runs import text_rows, write_rows

pytest_plugins = ("tiny_runs",)


@pytest.fixture
def settings(tmp_path: Path, tiny: dict[str, Any]) -> dict[str, Any]:
    """Of a run without dropout."""
    backbone = save_bert(tmp_path / "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return {**tiny, "backbone": str(backbone), "dropout": 0.0, "learning_rate": 1e-3, "epochs": 2}


def trained_weights(folder: Path, **settings: Any) -> dict[str, Tensor]:
    """Of a run, without the biases whose gradients are rounding, which Adam blows up."""
    train(folder, **settings)
    return {name: w for name, w in load_file(folder / "model.safetensors").items() if not name.endswith("key.bias")}


@pytest.mark.parametrize("rows", [24, 29, 30])
def test_two_batches_a_step_are_one_of_twice_the_size(tmp_path: Path, settings: dict[str, Any], rows: int) -> None:
    """Of text alone: a contrast would see half as many rows at once. The last batches of an epoch may be smaller."""
    file = write_rows(tmp_path / "rows.jsonl", text_rows(rows))
    alone = {**settings, "method": "text", "towers": (), "train_file": file, "validation_file": file}
    found = [
        trained_weights(tmp_path / str(batch), **{**alone, "batch_size": batch}, gradient_accumulation=8 // batch)
        for batch in (8, 4)
    ]
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5)
    logs = [json.loads((tmp_path / name / "training_log.json").read_text())["log"] for name in "84"]
    assert len(logs[0]) == len(logs[1])
    # Adam forgets how large gradients are; the log does not.
    for one, other in zip(*logs, strict=True):
        told = [name for name in ("step", "loss", "grad_norm") if name in one]
        assert [other[name] for name in told] == pytest.approx([one[name] for name in told], rel=1e-3)


@pytest.mark.parametrize("method", ["macsc", "mase"])
def test_a_compiled_backbone_learns_the_same(
    tmp_path: Path, settings: dict[str, Any], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trained_weights(tmp_path / "plain", **settings, method=method)
    compiled: list[str] = []

    def trace_only(graph: Any, _inputs: Any) -> Any:
        compiled.append(str(graph.code))
        return graph

    compile_it = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **more: compile_it(function, backend=trace_only, **more))
    found = trained_weights(tmp_path / "compiled", **settings, method=method, compile=True)
    assert compiled
    torch.testing.assert_close(found, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("\nNo working C++ compiler found.\nmore"), r"No working C\+\+ compiler found\."),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_machine_that_compiles_nothing_is_told_of(
    tmp_path: Path, settings: dict[str, Any], error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_function: Any) -> Any:
        raise error

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(PolysenseError, match=rf"here: {said}; leave --compile out"):
        train(tmp_path / "m", **{**settings, "train_file": "nowhere"}, compile=True)  # before anything is read


def test_what_writes_is_not_compiled() -> None:
    with pytest.raises(PolysenseError, match="--compile is for models that read"):
        check_settings(method_config("macsc"), "generation", TrainingSettings(compile=True))
