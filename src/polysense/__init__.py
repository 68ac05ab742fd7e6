"""Polysense gives language models the senses that their training text lacks.

Importing it makes its models known to Hugging Face's `Auto*` classes.
"""

from polysense.errors import PolysenseError
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.training import Predictor, evaluate, train
from polysense.version import __version__

__all__ = [
    "PolysenseConfig",
    "PolysenseError",
    "PolysenseForSequenceClassification",
    "PolysenseProcessor",
    "Predictor",
    "__version__",
    "evaluate",
    "train",
]
