"""Two processes on halves of a batch against one on all of it: losses, gradients, z, batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, multiprocessing, nn
from torch import distributed as dist
from torch.utils.data import BatchSampler

from polysense.methods.base import Regulariser, Sizes
from polysense.methods.macsc.contrast import SelfBalancingContrast
from polysense.methods.mase.contrast import CrossModalContrast
from polysense.methods.mase.token_information import TokenInformation, token_prior
from polysense.methods.row_targets import ChoiceTarget
from polysense.methods.targets import ClassTarget, Target
from polysense.processes import SharedBatches, add_up, gather_objects, mean_amount

SIZES = Sizes(6, {"image": 4, "audio": 4})
CLOSE = {"rtol": 0, "atol": 1e-6}


class Contrasted(nn.Module):
    """What a regulariser does in a model: features and predictions of the rows, and its own weights."""

    def __init__(self, regulariser: type[Regulariser], target: Target) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.ModuleDict({m: nn.Linear(5, 6) for m in SIZES.modalities})
        self.heads = nn.ModuleDict({m: nn.Linear(6, 3) for m in SIZES.modalities})
        self.regulariser: Any = regulariser(SIZES, target)

    def forward(self, rows: Tensor, silent: Tensor, labels: Tensor) -> Tensor:
        features = {m: layer(rows) for m, layer in self.layers.items()}
        features["image"] = features["image"] * ~silent[:, None]
        logits = {m: self.heads[m](features[m]) for m in features}
        prediction = nn.functional.cross_entropy(sum(logits.values()), labels)
        return prediction + self.regulariser(features, logits, labels)


MODELS: dict[str, Callable[[], Contrasted]] = {
    "macsc": lambda: Contrasted(SelfBalancingContrast, ClassTarget([0.5, 0.3, 0.2])),
    "macsc, rows of their own": lambda: Contrasted(SelfBalancingContrast, ChoiceTarget()),
    "mase": lambda: Contrasted(CrossModalContrast, ClassTarget([0.5, 0.3, 0.2])),
}


def global_batch() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows, labels = torch.randn(7, 5, generator=generator), torch.tensor([0, 1, 2, 0, 0, 1, 2])
    return rows, torch.tensor([0, 0, 1, 0, 0, 1, 0], dtype=torch.bool), labels


def part(rank: int, even: bool) -> slice:
    """Of six rows three and three, or of seven two and five."""
    return (slice(0, 3), slice(3, 6))[rank] if even else (slice(0, 2), slice(2, 7))[rank]


def step(model: Contrasted, rows: slice) -> dict[str, Any]:
    """Loss and gradients, as DDP averages them."""
    features, silent, labels = (tensor[rows] for tensor in global_batch())
    loss = len(labels) / mean_amount([len(labels)]) * model(features, silent, labels)
    loss.backward()
    processes = dist.get_world_size() if dist.is_initialized() else 1
    gradients = {
        name: (add_up(p.grad) / processes).tolist() for name, p in model.named_parameters() if p.grad is not None
    }
    return {"loss": add_up(loss.detach()).item() / processes, "gradients": gradients}


def evaluated(rows: slice) -> float:
    """The loss of rows out of training."""
    loss: float = MODELS["macsc"]().eval()(*(tensor[rows] for tensor in global_batch())).item()
    return loss


def information(rank: int | None) -> float:
    """What 20 tokens' logits say, in two batches: both, or one a process."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, (20,), generator=generator)
    logits = torch.randn(20, 5, generator=generator) + 2 * nn.functional.one_hot(tokens, 5)
    found = TokenInformation(token_prior(tokens, 5))
    for batch in (0, 1) if rank is None else (rank,):
        rows = slice(12 * batch, 12 * (batch + 1))
        found.add(logits[rows], tokens[rows], torch.ones_like(tokens[rows], dtype=torch.bool))
    return found.join().value()


def batches(rows: int) -> list[list[int]]:
    return list(SharedBatches(BatchSampler(range(rows), batch_size=4, drop_last=False)))


def work(rank: int, folder: str) -> None:
    """One of two processes."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {
        "steps": {
            f"{name}, {even}": step(model(), part(rank, even))
            for name, model in MODELS.items()
            for even in (True, False)
        },
        "information": information(rank),
        "evaluated": evaluated(part(rank, False)),
        "objects": gather_objects({"from": rank}),
        "batches": {rows: batches(rows) for rows in (16, 19, 17, 9, 1)},
        "lengths": {
            rows: len(SharedBatches(BatchSampler(range(rows), 4, drop_last=False))) for rows in (16, 19, 17, 9, 1)
        },
    }
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("two")
    multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("name", list(MODELS))
def test_loss_and_gradients_of_two_are_those_of_one(two: list[dict[str, Any]], name: str, even: bool) -> None:
    expected = step(MODELS[name](), slice(0, 6 if even else 7))
    for found in two:
        got = found["steps"][f"{name}, {even}"]
        assert got["loss"] == pytest.approx(expected["loss"], abs=1e-6)
        assert got["gradients"].keys() == expected["gradients"].keys()
        for parameter, gradient in expected["gradients"].items():
            torch.testing.assert_close(torch.tensor(got["gradients"][parameter]), torch.tensor(gradient), **CLOSE)
    own = MODELS[name]()
    halves = [own(*(tensor[part(rank, True)] for tensor in global_batch())).item() for rank in range(2)]
    assert abs(sum(halves) / 2 - two[0]["steps"][f"{name}, True"]["loss"]) > 1e-3  # the others' rows do matter


def test_evaluation_looks_at_its_own_rows_alone(two: list[dict[str, Any]]) -> None:
    for rank, found in enumerate(two):
        assert found["evaluated"] == pytest.approx(evaluated(part(rank, False)))


def test_information_of_tokens_adds_up_over_processes(two: list[dict[str, Any]]) -> None:
    alone = information(None)
    assert alone > 0.1
    assert [found["information"] for found in two] == pytest.approx([alone, alone])


def test_objects_are_gathered_in_order(two: list[dict[str, Any]]) -> None:
    assert [found["objects"] for found in two] == [[{"from": 0}, {"from": 1}]] * 2
    assert gather_objects("alone") == ["alone"]


def test_processes_share_an_epochs_last_rows_and_read_none_twice(two: list[dict[str, Any]]) -> None:
    first, second = (found["batches"] for found in two)
    assert first["16"] == [[0, 1, 2, 3], [8, 9, 10, 11]] and second["16"] == [[4, 5, 6, 7], [12, 13, 14, 15]]
    assert (first["19"][-1], second["19"][-1]) == ([16], [17, 18])
    assert (first["17"], second["17"]) == (first["16"], second["16"])  # the one row that is left is left out
    assert (first["9"], second["9"]) == ([[0, 1, 2, 3]], [[4, 5, 6, 7]])
    assert first["1"] == second["1"] == []
    for found in two:
        assert found["lengths"] == {rows: len(batches) for rows, batches in found["batches"].items()}


def test_the_first_process_may_read_for_hours() -> None:
    """While the others wait, which torch would end after ten or thirty minutes."""
    code = """
from torch.distributed import distributed_c10d as dist
from polysense.processes import join
join()
print(dist._get_default_group()._get_backend(dist.torch.device("cpu")).options._timeout.total_seconds())
"""
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **alone}
    )
    assert float(done.stdout) > 24 * 3600
