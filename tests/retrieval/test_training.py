"""Pictures, selections and towers alone as baselines: trained, saved, opened, asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModel

from polysense.errors import PolysenseError
from polysense.explain.explanation import explain
from polysense.retrieval.index import CONSENT
from polysense.training.predict import Predictor
from polysense.training.train import train

pytest_plugins = ("tiny_runs",)


@pytest.mark.parametrize("method", ["mpb", "macsc", "mase", "tower"])
def test_pictures_in_the_place_of_prototypes(
    method: str,
    tiny: dict[str, Any],
    pictures: Path,
    clip_pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if method == "mase":
        pytest.importorskip("spacy", reason="scene graphs need spaCy")
        pytest.importorskip("torch_geometric", reason="MASE needs PyTorch Geometric")
    spec = f"pictures:{pictures},encoder={clip_pictures}"
    results = train(tmp_path / "model", method=method, k=2, **{**tiny, "towers": [f"image={spec}"]})
    with pytest.raises(PolysenseError, match=f"finds pictures in {pictures}, which is not read unasked"):
        Predictor.load(tmp_path / "model")
    monkeypatch.setenv(CONSENT, str(pictures))
    predictor = Predictor.load(tmp_path / "model")
    texts = ["the yellow banana", "", "a red cat sits on the mat"]
    assert results["modalities"] == ["text", "image"]
    assert [p.label for p in predictor.predict(texts)] == [predictor.predict(text)[0].label for text in texts]
    shown = explain(predictor, texts[0]).modalities["image"].prototypes
    assert shown is not None
    assert shown.tokens[0] == "yellow banana"
    Image.new("RGB", (24, 16), "black").save(pictures / "blue_sky.png")
    with pytest.raises(PolysenseError, match=f"its image tower {spec} has changed since the model was trained"):
        Predictor.load(tmp_path / "model")


def test_the_tower_alone_with_a_classifier(tiny: dict[str, Any], tmp_path: Path) -> None:
    """MaCSC Table 4, "CLIP +None": one feature a text; the backbone neither counts nor learns."""
    train(tmp_path / "model", method="tower", selection="pooled", learning_rate=1e-2, **tiny)
    predictor = Predictor.load(tmp_path / "model")
    assert explain(predictor, "the cat").modalities["image"].prototypes.tokens == ("(whole text)",)
    fresh = AutoModel.from_pretrained(tiny["backbone"]).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in predictor.model.backbone.state_dict().items())
    before = list(predictor.scores(["the cat", "a dog"]))
    with torch.no_grad():
        for parameter in predictor.model.backbone.parameters():
            parameter.add_(1.0)
    for one, other in zip(before, predictor.scores(["the cat", "a dog"]), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("method", ["mpb", "tower"])
def test_a_learnt_selection_of_many_candidates(method: str, tiny: dict[str, Any], tmp_path: Path) -> None:
    train(tmp_path / "model", method=method, k=6, options={"select": 2}, **tiny)
    predictor = Predictor.load(tmp_path / "model")
    assert predictor.model.interaction.project.selection.keep == 2
    first, again = (list(predictor.scores(["the cat sits on the mat"])) for _ in range(2))
    assert torch.equal(first[0], again[0])
