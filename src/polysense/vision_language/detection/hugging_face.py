"""Regions by the detectors of the Hugging Face hub: DETR and its kin."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from polysense.errors import PolysenseError
from polysense.loading import check_model, hub_errors, open_auto
from polysense.pictures.opening import stretched
from polysense.vision_language.regions import Regions

MOST = 36
_VERSION = 1  # raised with any change that alters a region


class HuggingFaceDetector:
    """Regions by a model of `AutoModelForObjectDetection`.

    A region is a query of the model whose likeliest class has a probability of at least `threshold`, the surest first.
    Its feature is the query's last hidden state, its tag the class's name. Models of the DETR family are known by their
    outputs: `logits` and `pred_boxes` (centre, width and height, as shares of the picture) for each query, and the
    queries' states as the last of `last_hidden_state` (DETR, Deformable and Conditional DETR, RT-DETR, YOLOS, ...).

    Args:
        source: a local folder or a hub id; weights are read from safetensors only, and no remote code is run.
        threshold: 0 to 1.
        most: regions a picture, at least 1.

    Raises:
        PolysenseError: no such model, one without queries, or an argument out of range.
    """

    def __init__(self, source: str | Path, *, threshold: float = 0.5, most: int = MOST) -> None:
        if not 0 <= threshold <= 1:
            raise PolysenseError(f"detector {source}: a threshold of {threshold:g}; give one from 0 to 1")
        if most < 1:
            raise PolysenseError(f"detector {source}: at most {most} regions; give 1 or more")
        self._threshold, self._most = threshold, most
        with hub_errors("detector", str(source)):
            check_model(source, use_safetensors=True)
            self._processor = open_auto(AutoImageProcessor, source)
            model = AutoModelForObjectDetection.from_pretrained(
                str(source), use_safetensors=True, trust_remote_code=False
            )
        self._model = model.eval().requires_grad_(False)
        self._source = str(source)
        self._identity = self._digest()
        self._width = self.detect(Image.new("RGB", (64, 64))).features.shape[1]

    @property
    def width(self) -> int:
        """The size of the model's hidden states."""
        return self._width

    @property
    def identity(self) -> str:
        """A digest of the weights, of how pictures are prepared, and of the arguments."""
        return self._identity

    @torch.inference_mode()
    def detect(self, picture: Image.Image) -> Regions:
        """The regions of an RGB picture."""
        # Boxes are shares of the picture, so stretching moves none.
        inputs = self._processor(images=stretched(picture, 4), return_tensors="pt")
        accepted = inspect.signature(self._model.forward).parameters
        outputs = self._model(**{name: value for name, value in inputs.items() if name in accepted})
        try:
            logits, shares = outputs.logits[0].float(), outputs.pred_boxes[0].float()
            states = outputs.last_hidden_state[0, -len(logits) :].float()
        except (AttributeError, TypeError):
            raise PolysenseError(
                f"detector {self._source}: {type(self._model).__name__} gives no boxes and states of queries; "
                "give a model of the DETR family"
            ) from None
        scores, classes = self._probabilities(logits).max(dim=1)
        limits = torch.tensor([picture.width, picture.height] * 2)
        centres, sides = shares[:, :2], shares[:, 2:]
        boxes = (torch.cat([centres - sides / 2, centres + sides / 2], dim=1).clamp(0, 1) * limits).float()
        # Queries may lie outside the picture or have no area; such are nothing that can be seen.
        good = (scores >= self._threshold) & (boxes[:, 2:] - boxes[:, :2] >= 1e-3).all(dim=1)
        kept = torch.nonzero(good)[:, 0]
        kept = kept[scores[kept].argsort(descending=True, stable=True)][: self._most]
        return Regions(
            states[kept].numpy(),
            boxes[kept].numpy(),
            picture.width,
            picture.height,
            tuple(self._name(i) for i in classes[kept].tolist()),
            scores[kept].numpy(),
        )

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """(Q, classes): DETR's softmax has "no object" as a class more, its successors have a sigmoid a class."""
        if logits.shape[1] == len(self._model.config.id2label) + 1:
            return logits.softmax(dim=1)[:, :-1]
        return logits.sigmoid()

    def _name(self, index: int) -> str:
        name = str(self._model.config.id2label.get(index, ""))
        return "" if name.upper() in ("N/A", f"LABEL_{index}") else name  # COCO's gaps, and classes without names

    def _digest(self) -> str:
        found = hashlib.sha256(f"{_VERSION} {self._threshold!r} {self._most} ".encode())
        found.update(self._processor.to_json_string().encode())
        found.update(str(sorted(self._model.config.id2label.items())).encode())
        for name, value in sorted(self._model.state_dict().items()):
            found.update(name.encode())
            found.update(np.ascontiguousarray(value.float().numpy()).tobytes())
        return found.hexdigest()[:16]
