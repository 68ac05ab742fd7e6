"""What a model makes of one text, in numbers; `terminal` and `page` show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from polysense.errors import PolysenseError
from polysense.methods.catalog import MethodConfig
from polysense.modality import TEXT
from polysense.models.processing import as_texts
from polysense.prototypes.extractor import TextPrototypes
from polysense.scene_graphs.graph import SceneGraph
from polysense.text import Text, clean
from polysense.training.predict import Prediction, Predictor


@dataclass(frozen=True)
class ModalityShare:
    """What one modality has to do with a prediction.

    Attributes:
        weight: what it counts for, the same for every text (rho of MaCSC, z of MASE); None for a method without
            weights.
        prototypes: None for the text itself.
        alone: what the model says from its representation only, which has met the text; None where it says nothing.
        without: what the model says when this modality is left out; None where nothing would be left.
    """

    weight: float | None
    prototypes: TextPrototypes | None
    alone: Prediction | None
    without: Prediction | None


@dataclass(frozen=True)
class Explanation:
    """One text, or a pair, as a model sees it.

    Attributes:
        model: the folder or name it was loaded from; empty for a model that was never saved.
        method: "macsc", ..., as tables print it.
        texts: one or two, valid Unicode.
        prediction: of the whole model.
        modalities: text first.
        graph: of the entities in the texts; None for a method that reads none.
    """

    model: str
    method: str
    texts: tuple[str, ...]
    prediction: Prediction
    modalities: Mapping[str, ModalityShare]
    graph: SceneGraph | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; spans count characters of `texts`, and features are left out."""
        return {
            "model": self.model,
            "method": self.method,
            "texts": list(self.texts),
            **self.prediction.to_dict(),
            "modalities": {name: _share_dict(share) for name, share in self.modalities.items()},
            "graph": asdict(self.graph) if self.graph else None,
        }


@torch.no_grad()
def explain(predictor: Predictor, text: str, text_pair: str | None = None) -> Explanation:
    """Run the model on one text: whole, and once without each modality.

    Args:
        predictor: a trained model with its processor.
        text: the text, maybe empty.
        text_pair: the second one, for a model of pairs.

    Raises:
        PolysenseError: the model predicts neither classes nor values, or was trained on pairs and this is none, or the
            other way round.
    """
    kind = predictor.model.config.target["kind"]
    if kind not in ("classification", "regression"):
        what = "learnt classes from prompts" if predictor.prompt is not None else f"is for {kind}"
        raise PolysenseError(
            f"{predictor.model.name_or_path} {what}: only models with classes or values of their own can be explained; "
            "train one on the same rows without --prompt, or on a task of classes or values"
        )
    texts = (clean(text),) if text_pair is None else (clean(text), clean(text_pair))
    (given,) = as_texts(*texts)
    predictor.check_texts([given], "--text-pair")
    with predictor.turn:
        return _explain(predictor, texts, given)


def _explain(predictor: Predictor, texts: tuple[str, ...], given: Text) -> Explanation:
    model, processor = predictor.model, predictor.processor
    method = model.config.method_config()
    inputs = processor(*texts).to(model.device)
    output = model(**inputs)
    weights = model.combination.weights()
    shares = {}
    for modality in _modalities(predictor, method):
        alone = output.modality_logits.get(modality)
        shares[modality] = ModalityShare(
            weight=weights.get(modality),
            prototypes=None if modality == TEXT else processor.extractors[modality].extract([given])[0],
            alone=None if alone is None else predictor.prediction(_mixed(predictor, alone)),
            without=predictor.prediction(model(**inputs, leave_out={modality}).logits[0])
            if _can_go(modality, method)
            else None,
        )
    return Explanation(
        model=model.name_or_path,
        method=method.name,
        texts=texts,
        prediction=predictor.prediction(output.logits[0]),
        modalities=shares,
        graph=processor.graphs.graphs([given])[0] if processor.graphs else None,
    )


def _modalities(predictor: Predictor, method: MethodConfig) -> list[str]:
    return predictor.model.config.sizes().modalities if method.multimodal else [TEXT]


def _can_go(modality: str, method: MethodConfig) -> bool:
    """Whether something is left to predict from without it."""
    return method.multimodal and (modality != TEXT or method.combination != "text")


def _mixed(predictor: Predictor, logits: torch.Tensor) -> torch.Tensor:
    """One modality's logits (1, outputs) as the log-probabilities (C,) or the value () that a model gives."""
    return predictor.model.target.mix(logits[:, None], logits.new_zeros(1))[0]


def _share_dict(share: ModalityShare) -> dict[str, Any]:
    prototypes = share.prototypes
    return {
        "weight": share.weight,
        "prototypes": None
        if prototypes is None
        else [
            {"token": token, "text": text, "start": start, "end": end, "saliency": float(saliency)}
            for token, (text, start, end), saliency in zip(
                prototypes.tokens, prototypes.spans, prototypes.saliency, strict=True
            )
        ],
        "alone": share.alone.to_dict() if share.alone else None,
        "without": share.without.to_dict() if share.without else None,
    }
