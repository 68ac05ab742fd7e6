"""A training step with MaCSC and one modality against text alone."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.timing import Benchmark, side_by_side
from polysense.methods.catalog import method_config
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification

BATCH, TOKENS, K, WIDTH = 32, 32, 4, 128


def training_step(method: str) -> Callable[[], None]:
    """Forward, backward and AdamW's step on one batch; prototypes were read before, as in training."""
    torch.manual_seed(0)
    chosen = method_config(method)
    widths = {"image": WIDTH} if chosen.multimodal else {}
    config = PolysenseConfig(method=chosen.to_dict(), widths=widths, num_labels=2)
    model = PolysenseForSequenceClassification.from_backbone("minilm", config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    inputs = {
        "input_ids": torch.randint(1000, 20000, (BATCH, TOKENS)),
        "attention_mask": torch.ones(BATCH, TOKENS, dtype=torch.long),
        "labels": torch.arange(BATCH) % 2,
        "prototypes": {m: torch.randn(BATCH, K, w) for m, w in widths.items()},
        "prototype_masks": {m: torch.ones(BATCH, K, dtype=torch.bool) for m in widths},
    }

    def step() -> None:
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def benchmarks() -> list[Benchmark]:
    """MaCSC with one modality against text alone."""
    name = f"training step, MaCSC T+I against text alone (MiniLM, batch {BATCH}, {TOKENS} tokens)"
    return [side_by_side(name, training_step("macsc"), training_step("text"), goal=1.3, unit="ms a step")]
