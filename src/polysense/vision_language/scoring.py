"""Metrics of vision-language tasks: referring expressions, retrieval, and consistency over pairs of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polysense.errors import PolysenseError
from polysense.vision_language.regions import overlap

_ROWS = 1024


def referring_accuracy(predicted: ArrayLike, gold: ArrayLike, threshold: float = 0.5) -> float:
    """The share of expressions whose predicted box overlaps the gold one enough (RefCOCO's accuracy at IoU 0.5).

    Args:
        predicted, gold: (N, 4) boxes, (x1, y1, x2, y2) in pixels; N of at least 1.
        threshold: intersection over union from which on a box is right; RefCOCO's own is 0.5, itself included.

    Raises:
        PolysenseError: the shapes are not (N, 4) twice, N is 0, or a number is not finite.
    """
    boxes, others = np.asarray(predicted, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.shape != others.shape or not len(boxes):
        raise PolysenseError(
            f"referring accuracy: predicted boxes {boxes.shape}, gold boxes {others.shape}; give (N, 4) for both, N > 0"
        )
    if not np.isfinite(boxes).all() or not np.isfinite(others).all():
        raise PolysenseError("referring accuracy: a box has a number that is not finite; check the predictions")
    # Box by box: the matrix of all pairs would be N x N.
    shared = [overlap(box[None], other[None])[0, 0] for box, other in zip(boxes, others, strict=True)]
    return float(np.mean(np.array(shared) >= threshold))


@dataclass(frozen=True)
class Recall:
    """How early a search finds what it looks for.

    Attributes:
        at: share of searches whose (first) right answer is among the first k, by k.
        median_rank: of the (first) right answer, 1 is best.
    """

    at: dict[int, float]
    median_rank: float


@dataclass(frozen=True)
class RetrievalScores:
    """Both directions: a picture for each text, and texts for each picture.

    Attributes:
        to_picture: over texts.
        to_text: over pictures that have a text; any of its texts is right, and the best ranked one counts.
    """

    to_picture: Recall
    to_text: Recall


def retrieval_recall(
    similarity: ArrayLike, gold: Sequence[int], ks: Sequence[int] = (1, 5, 10), *, to_text: ArrayLike | None = None
) -> RetrievalScores:
    """Recall at k of image-text retrieval, in both directions.

    Ties never help: what is as similar as a right answer ranks before it, unless it is right as well. So a model that
    finds everything equally similar has the worst rank, not the best.

    Args:
        similarity: (N, M), of N texts to M pictures, larger is closer.
        gold: the picture of each text, indices 0 to M - 1; several texts may share one, pictures may have none.
        ks: how many answers are looked at.
        to_text: (N, M), where pictures order their texts by another similarity than texts their pictures.

    Raises:
        PolysenseError: the shapes do not fit, a number is not finite, an index is out of range, or a k is not positive.
    """
    scores, pictures = np.asarray(similarity), np.asarray(gold)
    text_scores = scores if to_text is None else np.asarray(to_text)
    if scores.ndim != 2 or not scores.size or pictures.shape != scores.shape[:1]:
        raise PolysenseError(
            f"retrieval: similarity {scores.shape} with {len(pictures)} gold pictures; give (texts, pictures) and one "
            "gold picture a text"
        )
    if text_scores.shape != scores.shape:
        raise PolysenseError(f"retrieval: similarities {scores.shape} and {text_scores.shape}; give the same shape")
    if not np.isfinite(scores).all() or not np.isfinite(text_scores).all():
        raise PolysenseError("retrieval: a similarity is not finite; check the model's output")
    if pictures.dtype.kind not in "iu" or pictures.min() < 0 or pictures.max() >= scores.shape[1]:
        raise PolysenseError(f"retrieval: a gold picture is no index of {scores.shape[1]} pictures; count from 0")
    if not ks or min(ks) < 1:
        raise PolysenseError(f"retrieval: k of {list(ks)}; give positive numbers")
    return RetrievalScores(
        _recall(_picture_ranks(scores, pictures), ks),
        _recall(_text_ranks(text_scores, pictures), ks),
    )


def _picture_ranks(scores: NDArray[Any], pictures: NDArray[np.integer]) -> NDArray[np.integer]:
    """Rank, from 1, of each text's picture: how many pictures are at least as similar, itself included."""
    ranks = []
    for start in range(0, len(scores), _ROWS):  # a part at a time: as many comparisons as scores would fill memory
        part = scores[start : start + _ROWS]
        own = np.take_along_axis(part, pictures[start : start + _ROWS, None], axis=1)
        ranks.append((part >= own).sum(axis=1))
    return np.concatenate(ranks)


def _text_ranks(scores: NDArray[Any], pictures: NDArray[np.integer]) -> NDArray[np.integer]:
    """Rank, from 1, of the best text of each picture that has one: wrong texts at least as similar come before it."""
    ranks = []
    for picture in np.unique(pictures):
        right = pictures == picture
        column = scores[:, picture]
        ranks.append(1 + int((column[~right] >= column[right].max()).sum()))
    return np.array(ranks)


def _recall(ranks: NDArray[np.integer], ks: Sequence[int]) -> Recall:
    return Recall({k: float(np.mean(ranks <= k)) for k in ks}, float(np.median(ranks)))


def pair_consistency(identities: Sequence[str], right: Sequence[bool]) -> float:
    """The share of sentences that are right on all their pairs of pictures (NLVR2's consistency).

    Args:
        identities: of the examples, as NLVR2 writes them: split, set, pair and sentence, as "dev-850-2-0". Those that
            differ in the third part only are one sentence with several pairs.
        right: whether the prediction for each example is right.

    Raises:
        PolysenseError: the lengths differ, there are none, an identity is there twice, or one has not four parts.
    """
    if len(identities) != len(right) or not len(identities):
        raise PolysenseError(
            f"consistency: {len(identities)} identities and {len(right)} results; give as many of both, at least one"
        )
    seen: set[str] = set()
    consistent: dict[tuple[str, ...], bool] = {}
    for identity, is_right in zip(identities, right, strict=True):
        parts = identity.split("-")
        if len(parts) != 4:
            raise PolysenseError(f"consistency: identity {identity!r}; NLVR2's have four parts, as 'dev-850-2-0'")
        if identity in seen:
            raise PolysenseError(f"consistency: identity {identity!r} is there twice; give each example once")
        seen.add(identity)
        sentence = (*parts[:2], parts[3])
        consistent[sentence] = consistent.get(sentence, True) and bool(is_right)
    return sum(consistent.values()) / len(consistent)
