from __future__ import annotations

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.scoring import pair_consistency, referring_accuracy, retrieval_recall


def test_referring_accuracy() -> None:
    gold = [[0, 0, 10, 10]] * 4
    predicted = [[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4.9], [20, 20, 30, 30]]
    assert referring_accuracy(predicted, gold) == 0.5
    assert referring_accuracy(predicted, gold, threshold=0.4) == 0.75
    assert referring_accuracy(predicted, gold, threshold=0.9) == 0.25


def test_referring_accuracy_like_a_loop() -> None:
    generator = np.random.default_rng(0)
    corner, side = generator.uniform(0, 50, (2, 200, 2)), generator.uniform(5, 50, (2, 200, 2))
    boxes = np.concatenate([corner, corner + side], axis=2)
    right = 0
    for (ax, ay, bx, by), (cx, cy, dx, dy) in zip(*boxes.tolist(), strict=True):
        shared = max(0, min(bx, dx) - max(ax, cx)) * max(0, min(by, dy) - max(ay, cy))
        right += shared / ((bx - ax) * (by - ay) + (dx - cx) * (dy - cy) - shared) >= 0.5
    assert 0 < right < 200
    assert referring_accuracy(boxes[0], boxes[1]) == right / 200


@pytest.mark.parametrize(
    ("predicted", "gold"),
    [
        ([], []),
        ([[0, 0, 1, 1]], [[0, 0, 1, 1]] * 2),
        ([[0, 0, 1]], [[0, 0, 1]]),
        ([[0, 0, 1, float("nan")]], [[0, 0, 1, 1]]),
    ],
)
def test_referring_accuracy_of_nonsense(predicted: list[list[float]], gold: list[list[float]]) -> None:
    with pytest.raises(PolysenseError, match="referring accuracy"):
        referring_accuracy(predicted, gold)


def slow_ranks(scores: np.ndarray, gold: list[int]) -> tuple[list[int], list[int]]:
    texts, pictures = scores.shape
    to_picture = [
        1 + sum(scores[t, p] >= scores[t, gold[t]] for p in range(pictures) if p != gold[t]) for t in range(texts)
    ]
    to_text = []
    for p in range(pictures):
        own = [t for t in range(texts) if gold[t] == p]
        if own:
            best = max(scores[t, p] for t in own)
            to_text.append(1 + sum(scores[t, p] >= best for t in range(texts) if t not in own))
    return to_picture, to_text


@pytest.mark.parametrize("levels", [3, 10_000])
def test_retrieval_like_a_loop(levels: int) -> None:
    generator = np.random.default_rng(1)
    for _ in range(20):
        scores = generator.integers(0, levels, (30, 8)).astype(np.float32)
        gold = generator.integers(0, 8, 30).tolist()
        found = retrieval_recall(scores, gold, ks=(1, 2, 5))
        for recall, ranks in zip((found.to_picture, found.to_text), slow_ranks(scores, gold), strict=True):
            assert recall.at == {k: pytest.approx(np.mean([rank <= k for rank in ranks])) for k in (1, 2, 5)}
            assert recall.median_rank == np.median(ranks)


def test_retrieval_over_many_texts() -> None:
    scores = np.random.default_rng(2).normal(size=(2500, 7))
    gold = [text % 7 for text in range(2500)]
    found = retrieval_recall(scores, gold)
    ranks, _ = slow_ranks(scores, gold)
    assert found.to_picture.at[1] == pytest.approx(np.mean(np.array(ranks) == 1))


def test_ties_do_not_help() -> None:
    found = retrieval_recall(np.zeros((20, 20)), list(range(20)))
    assert found.to_picture.at == found.to_text.at == {1: 0, 5: 0, 10: 0}
    assert found.to_picture.median_rank == found.to_text.median_rank == 20


def test_any_caption_of_a_picture_is_right() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 9.0], [0.5, 3.0]])
    found = retrieval_recall(scores, [0, 0, 1], ks=(1,))
    assert found.to_picture.at[1] == pytest.approx(2 / 3)
    assert found.to_text.at[1] == 0.5  # picture 1's best text is text 1, which is picture 0's


@pytest.mark.parametrize(
    ("scores", "gold", "ks"),
    [
        (np.zeros((2, 2)), [0], (1,)),
        (np.zeros((2, 2)), [0, 2], (1,)),
        (np.zeros((2, 2)), [0, -1], (1,)),
        (np.zeros((2, 2)), [0, 0.5], (1,)),
        (np.full((2, 2), np.nan), [0, 1], (1,)),
        (np.zeros((0, 2)), [], (1,)),
        (np.zeros(2), [0, 1], (1,)),
        (np.zeros((2, 2)), [0, 1], (0,)),
        (np.zeros((2, 2)), [0, 1], ()),
    ],
)
def test_retrieval_of_nonsense(scores: np.ndarray, gold: list[int], ks: tuple[int, ...]) -> None:
    with pytest.raises(PolysenseError, match="retrieval"):
        retrieval_recall(scores, gold, ks)


def test_pair_consistency() -> None:
    identities = ["dev-1-0-0", "dev-1-1-0", "dev-1-0-1", "dev-1-2-0", "dev-2-0-0", "test1-1-0-0"]
    assert pair_consistency(identities, [True] * 6) == 1
    # "dev-1-*-0" is one sentence, "dev-1-*-1" another.
    assert pair_consistency(identities, [True, False, True, True, True, True]) == 0.75
    assert pair_consistency(identities, [True, True, False, True, False, True]) == 0.5


@pytest.mark.parametrize(
    ("identities", "right", "message"),
    [
        ([], [], "at least one"),
        (["dev-1-0-0"], [True, True], "as many"),
        (["dev-1"], [True], "four parts"),
        (["dev-1-0-0"] * 2, [True, True], "twice"),
    ],
)
def test_pair_consistency_of_nonsense(identities: list[str], right: list[bool], message: str) -> None:
    with pytest.raises(PolysenseError, match=message):
        pair_consistency(identities, right)


def test_retrieval_with_a_similarity_a_direction() -> None:
    right, wrong = np.eye(2), 1 - np.eye(2)
    found = retrieval_recall(right, [0, 1], (1,), to_text=wrong)
    assert found.to_picture.at == {1: 1.0} and found.to_text.at == {1: 0.0}
    with pytest.raises(PolysenseError, match=r"similarities \(2, 2\) and \(3, 2\); give the same shape"):
        retrieval_recall(right, [0, 1], to_text=np.zeros((3, 2)))
    with pytest.raises(PolysenseError, match="not finite"):
        retrieval_recall(right, [0, 1], to_text=right * np.nan)
