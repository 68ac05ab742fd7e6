"""Which of a saved model's files are the model's, and which the processor's beside it."""

from __future__ import annotations

_CONFIGURATIONS = ("config.json", "generation_config.json")
_PAGES = (".html", ".png", ".svg", ".md")


def is_of_model(name: str) -> bool:
    """Whether a model reads it: configuration and weights.

    Args:
        name: path in the folder.
    """
    return name in _CONFIGURATIONS or ("/" not in name and name.endswith(".safetensors"))


def is_of_processor(name: str) -> bool:
    """Whether a processor reads it: tokenizer, settings, the model's own towers; no results, logs and pages."""
    told = name in ("results.json", "training_log.json") or name.startswith("logs/") or name.endswith(_PAGES)
    return not (is_of_model(name) or told)
