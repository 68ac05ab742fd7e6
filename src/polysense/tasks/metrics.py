"""The scores of the tasks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from polysense.errors import PolysenseError


def _pair(predictions: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    flat = [np.asarray(values, dtype=np.float64).reshape(-1) for values in (predictions, labels)]
    if len(flat[0]) != len(flat[1]):
        raise PolysenseError(
            f"{len(flat[0])} predictions cannot be scored against {len(flat[1])} labels: give one prediction a label"
        )
    if not len(flat[0]):
        raise PolysenseError("there is nothing to score: the split has no rows")
    for values, what in zip(flat, ("predictions", "labels"), strict=True):
        if not np.isfinite(values).all():
            raise PolysenseError(
                f"{int((~np.isfinite(values)).sum())} of {len(values)} {what} are NaN or infinite and cannot be scored"
                + (": if training diverged, lower the learning rate" if what == "predictions" else "")
            )
    return flat[0], flat[1]


def accuracy(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Share, 0 to 1, of rows whose predicted class is the label.

    Args:
        predictions: (n,) class indices (not logits).
        labels: (n,) class indices.

    Raises:
        PolysenseError: no rows, unequal lengths, or NaN or infinite values.
    """
    predicted, gold = _pair(predictions, labels)
    return float((predicted == gold).mean())


def spearman(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Spearman's rank correlation, -1 to 1, ties by mean rank (scipy); 0.0 where either side is constant.

    Args:
        predictions: (n,) or (n, 1) predicted values.
        labels: (n,) target values.

    Raises:
        PolysenseError: no rows, unequal lengths, or NaN or infinite values.
    """
    predicted, gold = _pair(predictions, labels)
    if np.ptp(predicted) == 0 or np.ptp(gold) == 0:
        return 0.0  # undefined; a model that ranks nothing has earned no credit
    return float(spearmanr(predicted, gold).statistic)


METRICS = {"accuracy": accuracy, "spearman": spearman}
"""Every score by its name; higher is better in each."""


def compute(metric: str, predictions: ArrayLike, labels: ArrayLike) -> float:
    """The score "accuracy" or "spearman" of predictions (n,) against labels (n,); raises PolysenseError as they do."""
    if metric not in METRICS:
        raise PolysenseError(f"unknown metric {metric!r}; the metrics are {', '.join(METRICS)}")
    return METRICS[metric](predictions, labels)
