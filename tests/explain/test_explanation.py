"""The numbers of an explanation are the model's own."""

from __future__ import annotations

import json

import pytest
import torch

from polysense.explain.explanation import explain
from polysense.training.predict import Predictor
from polysense.training.train import train

pytest_plugins = ("tiny_runs",)

TEXT = "the cat sits on the yellow mat"


@pytest.fixture(scope="module")
def predictor(trained) -> Predictor:
    return Predictor.load(trained)


def probabilities(predictor: Predictor, log_probabilities: torch.Tensor) -> dict[str, float]:
    return dict(zip(predictor.label_names, log_probabilities.exp().tolist(), strict=True))


@torch.no_grad()
def test_macsc_whole_alone_and_without(predictor):
    """Eq. 10-11 by hand from the model's parts: heads, rho, and the forward pass with a modality left out."""
    explanation = explain(predictor, TEXT)
    inputs = predictor.processor([TEXT])
    output = predictor.model(**inputs)
    rho = predictor.model.combination.log_rho.softmax(0).tolist()
    assert explanation.texts == (TEXT,) and explanation.method == "macsc" and explanation.graph is None
    assert explanation.prediction.probabilities == pytest.approx(probabilities(predictor, output.logits[0]))
    assert list(explanation.modalities) == ["text", "image"]
    for (name, share), weight in zip(explanation.modalities.items(), rho, strict=True):
        assert share.weight == pytest.approx(weight)
        alone = output.modality_logits[name][0].log_softmax(-1)
        assert share.alone.probabilities == pytest.approx(probabilities(predictor, alone))
        without = predictor.model(**inputs, leave_out={name}).logits[0]
        assert share.without.probabilities == pytest.approx(probabilities(predictor, without))
        assert share.without.probabilities != pytest.approx(explanation.prediction.probabilities, abs=1e-6)
    mixed = sum(w * torch.tensor(list(s.alone.probabilities.values()))
                for w, s in zip(rho, explanation.modalities.values(), strict=True))  # fmt: skip
    assert mixed.tolist() == pytest.approx(list(explanation.prediction.probabilities.values()), abs=1e-5)


def test_prototypes_are_those_that_the_model_read(predictor):
    explanation = explain(predictor, TEXT)
    found = explanation.modalities["image"].prototypes
    (own,) = predictor.processor.extractors["image"].extract([TEXT])
    assert found.tokens == own.tokens and found.spans == own.spans and len(found.tokens) == 4
    assert explanation.modalities["text"].prototypes is None
    listed = explanation.to_dict()["modalities"]["image"]["prototypes"]
    assert [(p["token"], p["text"], p["start"], p["end"]) for p in listed] == [
        (token, *span) for token, span in zip(own.tokens, own.spans, strict=True)]  # fmt: skip


@pytest.mark.parametrize("text", ["", "odd \ud800 \0 text", "🙂", "cat " * 3000])
def test_any_text_is_explained_as_it_is_predicted(predictor, text):
    explanation = explain(predictor, text)
    assert explanation.prediction == predictor.predict(explanation.texts[0])[0]
    assert "\0" not in explanation.texts[0] and len(explanation.texts[0]) == len(text)
    assert json.loads(json.dumps(explanation.to_dict()))["prediction"] == explanation.prediction.label
    for _, start, end in explanation.modalities["image"].prototypes.spans:
        assert 0 <= start < end <= len(text)


def test_pairs_and_values(tmp_path, tiny):
    train(tmp_path / "m", **{**tiny, "text_columns": ["text", "other"], "label_column": "value"})
    predictor = Predictor.load(tmp_path / "m")
    explanation = explain(predictor, "the cat", "a yellow banana")
    assert explanation.texts == ("the cat", "a yellow banana")
    assert explanation.prediction == predictor.predict("the cat", "a yellow banana")[0]
    assert explanation.prediction.probabilities == {}
    shares = explanation.modalities.values()
    assert sum(s.weight * s.alone.label for s in shares) == pytest.approx(explanation.prediction.label, abs=1e-4)
    assert {part for part, _, _ in explanation.modalities["image"].prototypes.spans} == {0, 1}


@pytest.mark.parametrize("method", ["text", "mpb"])
def test_methods_without_weights(tmp_path, tiny, method):
    train(tmp_path / "m", method=method, **tiny)
    explanation = explain(Predictor.load(tmp_path / "m"), TEXT)
    assert list(explanation.modalities) == (["text"] if method == "text" else ["text", "image"])
    for share in explanation.modalities.values():
        assert share.weight is None and share.alone is not None
        assert (share.without is None) == (method == "text")


def test_mase_has_a_graph_and_its_weights(tmp_path, tiny):
    pytest.importorskip("spacy", reason="scene graphs need spaCy")
    pytest.importorskip("torch_geometric", reason="MASE's graphs need torch_geometric")
    train(tmp_path / "m", method="mase", **tiny)
    predictor = Predictor.load(tmp_path / "m")
    explanation = explain(predictor, TEXT)
    assert explanation.prediction == predictor.predict(TEXT)[0]
    words = [TEXT[node.start : node.end] for node in explanation.graph.nodes]
    assert "cat" in words and "yellow" in words and "mat" in words
    listed = explanation.to_dict()["graph"]
    assert [TEXT[node["start"] : node["end"]] for node in listed["nodes"]] == words
    assert {relation["kind"] for relation in listed["relations"]} >= {"attribute", "position"}
    assert [share.weight for share in explanation.modalities.values()] == pytest.approx(
        predictor.model.combination.z.tolist()
    )
    with torch.no_grad():
        without = predictor.model(**predictor.processor([TEXT]), leave_out={"text"}).logits[0]
    found = explanation.modalities["text"].without.probabilities
    assert found == pytest.approx(probabilities(predictor, without))
