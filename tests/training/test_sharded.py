"""Weights sharded over two processes (`fully_shard`, which FSDP is made of) against one process with all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from polysense.methods.catalog import method_config
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.processes import mean_amount
from support import save_bert, save_clip, sentences

METHODS = ("macsc", "mase")
ROWS = 7
PARTS = (slice(0, 3), slice(3, ROWS))


def model_and_inputs(folder: Path, method: str, rows: slice) -> tuple[Any, dict[str, Any]]:
    """A model without dropout, and some rows of a batch."""
    torch.manual_seed(0)
    chosen = method_config(method)
    processor = PolysenseProcessor.from_backbone(
        str(folder / "bert"), {"image": str(folder / "clip")}, store=False, scene_graphs=chosen.uses_graph
    )
    config = PolysenseConfig(method=chosen.to_dict(), widths=processor.widths, num_labels=2, dropout=0.0)
    model = PolysenseForSequenceClassification.from_backbone(str(folder / "bert"), config).train()
    texts = sentences(ROWS, 6)[rows]
    return model, {**processor(texts), "labels": (torch.arange(ROWS) % 2)[rows]}


def step(model: Any, inputs: dict[str, Any]) -> tuple[float, dict[str, Tensor]]:
    """The loss, and the gradients in whole."""
    rows = len(inputs["labels"])
    loss = rows / mean_amount([rows]) * model(**inputs).loss
    loss.backward()
    gradients = {
        name: p.grad.full_tensor() if isinstance(p.grad, DTensor) else p.grad
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    return loss.item(), gradients


def work(rank: int, folder: str) -> None:
    """One of two processes."""
    root = Path(folder)
    dist.init_process_group("gloo", init_method=f"file://{root}/meeting", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    for method in METHODS:
        model, inputs = model_and_inputs(root, method, PARTS[rank])
        for layer in model.backbone.encoder.layer:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        sharded = sum(isinstance(p, DTensor) for p in model.parameters())
        torch.save((*step(model, inputs), sharded), root / f"{method}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes gave, and the models that they had."""
    folder = tmp_path_factory.mktemp("sharded")
    save_bert(folder / "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    save_clip(folder / "clip")
    multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_sharded_weights_have_the_gradients_of_whole_ones(both: Path, method: str) -> None:
    loss, expected = step(*model_and_inputs(both, method, slice(None)))
    found = [torch.load(both / f"{method}-{rank}.pt", weights_only=True) for rank in range(2)]
    assert (found[0][0] + found[1][0]) / 2 == pytest.approx(loss, abs=1e-5)
    for _, gradients, sharded in found:
        assert sharded > 20
        assert gradients.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=1e-5, msg=name)
