import math
import warnings

import numpy as np
import pytest

from polysense.tasks import accuracy, compute, spearman


def test_accuracy_is_the_share_of_equal_classes():
    assert accuracy([0, 1, 2, 2], [0, 1, 1, 2]) == 0.75
    assert compute("accuracy", np.array([1, 1]), np.array([0, 0])) == 0.0


def test_spearman_ranks_and_averages_ties():
    assert spearman([1, 10, 100], [1, 2, 3]) == pytest.approx(1.0)
    assert spearman([3.0, 2.0, 1.0], [1, 2, 3]) == pytest.approx(-1.0)
    # Ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4, by hand: covariance 4.5 over sqrt(4.5 * 5).
    assert compute("spearman", [0, 0, 1, 2], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))


def test_spearman_takes_a_column_of_predictions():
    assert spearman(np.array([[1.0], [2.0], [3.0]]), [1, 2, 3]) == pytest.approx(1.0)


@pytest.mark.parametrize(("predictions", "labels"), [([2, 2, 2], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([1], [1])])
def test_constant_sides_score_zero_without_a_warning(predictions, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert spearman(predictions, labels) == 0.0


def test_what_cannot_be_scored(fails):
    fails(["3 predictions", "2 labels"], accuracy, [1, 2, 3], [1, 2])
    fails(["no rows"], accuracy, [], [])
    fails(["1 of 2 predictions", "NaN", "learning rate"], spearman, [math.nan, 1.0], [1.0, 2.0])
    fails(["1 of 2 labels"], spearman, [0.0, 1.0], [math.inf, 2.0])
    fails(["'f1'", "accuracy, spearman"], compute, "f1", [1], [1])
