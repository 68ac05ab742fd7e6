"""What the rest of the library asks of a detector."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from polysense.vision_language.regions import Regions


class Detector(Protocol):
    """Finds the regions of a picture."""

    @property
    def width(self) -> int:
        """W of the features."""

    @property
    def identity(self) -> str:
        """The same for detectors that find the same; anything else that could alter a region alters it."""

    def detect(self, picture: Image.Image) -> Regions:
        """The regions of an RGB picture of any size, the surest first."""
