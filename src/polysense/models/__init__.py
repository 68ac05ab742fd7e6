"""Models that Hugging Face's `Auto*` classes know once Polysense is imported."""

from transformers import AutoConfig, AutoModelForSequenceClassification

from polysense.models.configuration import PolysenseConfig
from polysense.models.processing import PolysenseProcessor
from polysense.models.sequence_classification import PolysenseForSequenceClassification, PolysenseOutput

AutoConfig.register("polysense", PolysenseConfig)
AutoModelForSequenceClassification.register(PolysenseConfig, PolysenseForSequenceClassification)

__all__ = ["PolysenseConfig", "PolysenseForSequenceClassification", "PolysenseOutput", "PolysenseProcessor"]
