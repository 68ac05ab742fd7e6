"""Polysense gives language models the senses that their training text lacks.

Importing it makes its models known to Hugging Face's `Auto*` classes.
"""

from polysense.errors import PolysenseError
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.training import Predictor, evaluate, train
from polysense.version import __version__
from polysense.vision_language.models import CmalConfig, CmalModel

__all__ = [
    "CmalConfig",
    "CmalModel",
    "PolysenseConfig",
    "PolysenseError",
    "PolysenseForSequenceClassification",
    "PolysenseProcessor",
    "Predictor",
    "__version__",
    "evaluate",
    "train",
]
