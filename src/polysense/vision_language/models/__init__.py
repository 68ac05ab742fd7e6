"""CMAL's models; Hugging Face's `Auto*` classes know the encoders once Polysense is imported."""

from transformers import AutoConfig, AutoModel

from polysense.vision_language.models.cmal import CmalModel
from polysense.vision_language.models.configuration import CmalConfig

AutoConfig.register("cmal", CmalConfig)
AutoModel.register(CmalConfig, CmalModel)

__all__ = ["CmalConfig", "CmalModel"]
