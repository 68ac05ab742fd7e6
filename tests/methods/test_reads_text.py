"""Whether a method trains its backbone, as it says, against the gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polysense.methods.catalog import MethodConfig, method_config
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from support import save_bert, save_clip, sentences

METHODS = {
    "text": method_config("text"),
    "mpb": method_config("mpb"),
    "macsc": method_config("macsc"),
    "mase": method_config("mase"),
    "tower": method_config("tower"),
    "tower, selected by the text": method_config("tower").with_options({"select": 2}),
    "MaCSC's prototypes alone": method_config("macsc", combination="towers", regulariser="none"),
    "MASE's prototypes alone": method_config("mase", combination="towers", regulariser="none"),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_methods_that_read_the_text_train_the_backbone(tmp_path: Path, method: MethodConfig) -> None:
    bert, clip = save_bert(tmp_path / "bert"), save_clip(tmp_path / "clip")
    towers = {"image": str(clip)} if method.multimodal else {}
    processor = PolysenseProcessor.from_backbone(str(bert), towers, store=False, scene_graphs=method.uses_graph)
    config = PolysenseConfig(method=method.to_dict(), widths=processor.widths, num_labels=2)
    model = PolysenseForSequenceClassification.from_backbone(str(bert), config)
    model(**processor(sentences(4, 6)), labels=torch.arange(4) % 2).loss.backward()
    gradients = [p.grad for p in model.backbone.parameters() if p.grad is not None]
    assert method.reads_text == any(bool(gradient.any()) for gradient in gradients)
