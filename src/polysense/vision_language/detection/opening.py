"""Detectors by name."""

from __future__ import annotations

from polysense.vision_language.detection.detector import Detector
from polysense.vision_language.detection.hugging_face import HuggingFaceDetector
from polysense.vision_language.detection.proposals import METHODS, ProposalDetector


def open_detector(spec: str) -> Detector:
    """A detector: "segments", "grid" or "both" (`ProposalDetector`), a hub id or a folder (`HuggingFaceDetector`).

    Raises:
        PolysenseError: there is no such detector.
    """
    for method in METHODS:
        if spec == method:
            return ProposalDetector(method)
    return HuggingFaceDetector(spec)
