"""Training that has left all measure."""

from __future__ import annotations

import numpy as np

from polysense.errors import PolysenseError


def check_finite(predictions: np.ndarray) -> None:
    """Refuse predictions that are no numbers.

    Raises:
        PolysenseError: one is NaN.
    """
    if np.isnan(predictions).any():
        raise PolysenseError("training diverged (the model predicts NaN): lower the learning rate")
