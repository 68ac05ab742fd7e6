"""Predictions on plain pictures: detect regions, ask the model, and see what it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from polysense.errors import PolysenseError
from polysense.pictures.opening import open_picture
from polysense.vision_language.detection.opening import open_detector
from polysense.vision_language.fine_tuning import load_trained
from polysense.vision_language.regions import Box, Regions
from polysense.vision_language.tasks import Task

SHOWN_ANSWERS = 5


@dataclass(frozen=True)
class Looked:
    """A region, and how much the answer rests on it.

    Attributes:
        picture: which of the pictures, from 0.
        box: (x1, y1, x2, y2) in pixels.
        tag: the detector's name for it.
        weight: what the answer's probability loses without the region (below 0: gains); of a referring expression, the
            region's own probability.
    """

    picture: int
    box: Box
    tag: str
    weight: float


@dataclass(frozen=True)
class Prediction:
    """What a model says to a text about its pictures.

    Attributes:
        answer: the likeliest one; of a referring expression, the tag of the region.
        probability: of the answer.
        box: of the region that a referring expression means, else None.
        answers: the likeliest ones with their probabilities, at most 5; empty for referring expressions.
        regions: all regions, those that count most first.
    """

    text: str
    answer: str
    probability: float
    box: Box | None
    answers: dict[str, float]
    regions: list[Looked]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class PicturePredictor:
    """A trained model of a task, asked about plain pictures.

    Args:
        folder: that `vl train` wrote.
        detector: of the regions; None: the one that the model was trained with.

    Raises:
        PolysenseError: no such model, or no detector whose features it reads.
    """

    def __init__(self, folder: str | Path, detector: str | None = None) -> None:
        self.model, self.processor, self.task = load_trained(folder)
        if self.task.name == "retrieval":
            raise PolysenseError(
                f"{folder}: a model of retrieval answers no single picture; use a model of another task"
            )
        spec = detector or self.processor.settings.detector
        if not spec:
            raise PolysenseError(
                f"{folder}: this model was trained on regions from files, and no detector is known that makes such; "
                "name one with --detector"
            )
        self.detector = open_detector(spec)
        if self.detector.width != self.processor.settings.region_width:
            raise PolysenseError(
                f"detector {spec}: its features are {self.detector.width} wide, but {folder} reads "
                f"{self.processor.settings.region_width}; name the detector that the model was trained with"
            )

    def open(self, files: Sequence[str | Path]) -> list[Image.Image]:
        """The pictures of one text: two for NLVR2, else one."""
        wanted = 2 if self.task.name == "nlvr2" else 1
        if len(files) != wanted:
            raise PolysenseError(f"task {self.task.name}: it takes {wanted} picture(s), and {len(files)} were given")
        return [open_picture(Path(file)) for file in files]

    def predict(self, text: str, pictures: Sequence[Image.Image]) -> Prediction:
        """The model's answer to a text about its pictures."""
        regions = [self.detector.detect(picture) for picture in pictures]
        most = self.processor.settings.max_regions
        regions = [r.take(range(min(len(r), most))) for r in regions]
        if self.task.name == "rec":
            return self._refer(text, regions[0])
        return self._answer(text, regions)

    def _refer(self, text: str, regions: Regions) -> Prediction:
        if not len(regions):
            raise PolysenseError("no region was found in the picture, so that nothing can be referred to")
        shares = self._logits(text, [[regions]])[0].softmax(dim=-1)
        best = int(shares.argmax())
        looked = _sorted([_looked(0, regions, i, float(share)) for i, share in enumerate(shares)])
        return Prediction(text, regions.tags[best], float(shares[best]), _box(regions, best), {}, looked)

    def _answer(self, text: str, regions: Sequence[Regions]) -> Prediction:
        """The answer, and what it loses without each region: all in one batch."""
        versions, left_out = [list(regions)], []
        for p, of_picture in enumerate(regions):
            for i in range(len(of_picture)):
                without = of_picture.take([j for j in range(len(of_picture)) if j != i])
                versions.append([without if q == p else other for q, other in enumerate(regions)])
                left_out.append((p, i))
        probabilities = self._probabilities(self._logits(text, versions))
        whole = probabilities[0]
        best = int(whole.argmax())
        names = _names(self.task, self.model)
        order = whole.argsort(descending=True)[:SHOWN_ANSWERS].tolist()
        lost = (whole[best] - probabilities[1:, best]).tolist()
        looked = [_looked(p, regions[p], i, weight) for (p, i), weight in zip(left_out, lost, strict=True)]
        return Prediction(
            text, names[best], float(whole[best]), None, {names[i]: float(whole[i]) for i in order}, _sorted(looked)
        )

    @torch.no_grad()
    def _logits(self, text: str, versions: Sequence[Sequence[Regions]]) -> Tensor:
        """Logits of the text with each version of its pictures."""
        ids = [self.processor.tokenize(text)] * len(versions)
        flat = [regions for version in versions for regions in version]
        inputs = {**self.processor.text_inputs(ids), **self.processor.region_inputs(flat)}
        return self.model(**inputs).logits.float()

    def _probabilities(self, logits: Tensor) -> Tensor:
        """VQA's answers are scored one by one (its loss is binary); other tasks have exclusive classes."""
        return logits.sigmoid() if self.task.name == "vqa" else logits.softmax(dim=-1)


def _names(task: Task[Any], model: Any) -> list[str]:
    if task.name == "nlvr2":
        return ["false", "true"]
    return [name for _, name in sorted(model.config.id2label.items())]


def _box(regions: Regions, index: int) -> Box:
    x1, y1, x2, y2 = (float(value) for value in regions.boxes[index])
    return x1, y1, x2, y2


def _looked(picture: int, regions: Regions, index: int, weight: float) -> Looked:
    return Looked(picture, _box(regions, index), regions.tags[index], weight)


def _sorted(looked: Sequence[Looked]) -> list[Looked]:
    return [looked[i] for i in np.argsort([-region.weight for region in looked], kind="stable")]
