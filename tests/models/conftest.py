"""Inputs of models, and the methods that tests go through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from polysense.entity_graph import SELF_LOOP
from polysense.methods.catalog import MethodConfig, method_config
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification

WIDTHS = {"image": 6, "audio": 10, "video": 6}
METHODS = [
    method_config("text"),
    method_config("mpb"),
    method_config("macsc"),
    method_config("macsc", interaction="none"),
    method_config("macsc", combination="concatenation"),
    method_config("macsc", combination="text", regulariser="none"),
    method_config("macsc", regulariser="none"),
    method_config("mpb", interaction="cross_attention").with_options({"heads": 2, "residual": True}),
    method_config("mase"),
    method_config("mase", interaction="none"),
    method_config("mase", combination="even"),
    method_config("mase", regulariser="none"),
    method_config("mase", combination="late_fusion", regulariser="self_balancing").with_options({"heads": 2}),
    method_config("macsc").with_options({"stack": "joint", "heads": 4, "weight": 0.5, "temperature": 0.2}),
]
TARGETS: dict[str, dict[str, Any]] = {
    "classification": {"kind": "classification", "frequency": [0.5, 0.3, 0.2]},
    "regression": {
        "kind": "regression",
        "mean": 2.0,
        "std": 1.5,
        "edges": [1.0, 3.0],
        "centres": [0.5, 2.0, 4.0],
        "frequency": [0.3, 0.4, 0.3],
    },
}


class Make:
    """Makes models on the tiny backbone, and batches for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def model(
        self, method: MethodConfig, kind: str = "classification", widths: dict[str, int] | None = None, **settings: Any
    ) -> PolysenseForSequenceClassification:
        torch.manual_seed(7)  # not the seed of the pretrained backbone
        widths = (WIDTHS if widths is None else widths) if method.multimodal else {}
        config = PolysenseConfig(method=method.to_dict(), widths=widths, target=TARGETS[kind], **settings)
        model = PolysenseForSequenceClassification.from_backbone(str(self.folder), config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not name.startswith("backbone."):
                    # Far from the symmetric start, where some gradients are zero.
                    parameter.add_(torch.randn(parameter.shape) * 0.3)
        return model

    def batch(self, kind: str = "classification", labels: bool = True) -> dict[str, Any]:
        """Five sentences of several lengths; the last has no prototypes at all, the last two no entities."""
        generator = torch.Generator().manual_seed(1)
        lengths = torch.tensor([9, 7, 3, 4, 5])
        ids = torch.randint(5, 40, (5, 9), generator=generator)
        ids[:, 0] = 2
        mask = torch.arange(9) < lengths[:, None]
        counts = torch.tensor([4, 3, 1, 2, 0])
        batch: dict[str, Any] = {
            "input_ids": ids * mask,
            "attention_mask": mask.long(),
            "prototypes": {m: torch.randn(5, 4, width, generator=generator) for m, width in WIDTHS.items()},
            "prototype_masks": {m: torch.arange(4) < counts[:, None] for m in WIDTHS},
        }
        nodes = torch.tensor([0, 0, 1, 2, 2, 2])
        loops = torch.arange(6)
        batch["graph"] = {
            "sentence": nodes,
            "words": torch.tensor([[0, 1], [0, 2], [1, 4], [2, 3], [3, 1], [4, 2], [5, 1]]).T,
            "features": {m: torch.randn(6, width, generator=generator) for m, width in WIDTHS.items()},
            "edges": torch.cat([torch.tensor([[0, 1, 3, 4], [1, 0, 4, 3]]), loops.expand(2, -1)], dim=1),
            "types": torch.cat([torch.tensor([2, 3, 0, 1]), torch.full_like(loops, SELF_LOOP)]),
        }
        if labels:
            values = [0, 1, 0, 2, 1] if kind == "classification" else [0.2, 2.0, 0.9, 5.0, 2.5]
            batch["labels"] = torch.tensor(values)
        return batch

    @staticmethod
    def without_entities(batch: dict[str, Any]) -> dict[str, Any]:
        """The same sentences with an empty scene graph."""
        empty = {name: batch["graph"][name][..., :0] for name in ("sentence", "words", "edges", "types")}
        return {**batch, "graph": {**empty, "features": {m: f[:0] for m, f in batch["graph"]["features"].items()}}}


@pytest.fixture(scope="session")
def make(bert_folder: Path) -> Make:
    return Make(bert_folder)


@pytest.fixture(params=METHODS, ids=lambda method: method.name + ("+" if method.options else ""))
def method(request: pytest.FixtureRequest) -> MethodConfig:
    return request.param


@pytest.fixture(params=["classification", "regression"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def macsc() -> MethodConfig:
    return method_config("macsc")
