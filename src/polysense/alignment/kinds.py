"""What aligning takes of each modality: which files count, how their features are made, how captions are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from polysense.alignment import clips, pictures, sounds
from polysense.alignment.media import MediaFeatures
from polysense.errors import PolysenseError
from polysense.pictures.opening import ENDINGS


class Features(Protocol):
    """What makes raw features of files; see `pictures.picture_features`."""

    def __call__(
        self, files: Sequence[Path], *, progress: bool = False, cache: Path | None = None
    ) -> MediaFeatures: ...


@dataclass(frozen=True)
class Kind:
    """The items of one modality.

    Attributes:
        item: what one is called.
        endings: file names that count as items in a folder, in lower case.
        folders: whether a folder may be an item, too.
        features: raw features of files by part.
        prompts: captions are read alone and inside these sentences, as tokens will be in use: the size of a tower's
            features is learnt from them.
        encoder: where the features come from, with licences, for a tower's card.
    """

    item: str
    endings: frozenset[str]
    folders: bool
    features: Features
    prompts: tuple[str, ...]
    encoder: str


_SEEN = "EfficientNet-Lite0 (ImageNet weights, Apache-2.0)"
KINDS: Mapping[str, Kind] = {
    "image": Kind(
        "picture", ENDINGS, False, pictures.picture_features,
        ("{}", "a photo of a {}", "the color of a {}"),
        f"{_SEEN} and histograms of colours",
    ),
    "audio": Kind(
        "sound", sounds.ENDINGS, False, sounds.sound_features,
        ("{}", "the sound of a {}", "you can hear a {}"),
        "aiSFX's encoder of sound effects (Alison Bernice Ma and Alexander Lerch, CC-BY-4.0) and statistics of log-mel "
        "spectrograms",
    ),
    "video": Kind(
        "clip", clips.ENDINGS, True, clips.clip_features,
        ("{}", "a video of a {}", "the movement of a {}"),
        f"{_SEEN}, mean and change over the frames, and histograms of colours",
    ),
}  # fmt: skip
"""By modality."""


def kind_of(modality: str) -> Kind:
    """The kind of items of a modality.

    Raises:
        PolysenseError: there is none.
    """
    if modality not in KINDS:
        raise PolysenseError(f"modality {modality}: towers can be aligned to {', '.join(KINDS)}")
    return KINDS[modality]
