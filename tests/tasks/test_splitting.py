from collections import Counter

import pytest

from polysense.tasks.splitting import split_rows


def test_shares_are_kept_in_every_class_and_rows_are_divided():
    labels = [0] * 60 + [1] * 30 + [2] * 10
    kept, drawn = split_rows(labels, "classification", 0.1, 0, "x")
    assert Counter(labels[row] for row in drawn) == {0: 6, 1: 3, 2: 1}
    assert sorted(kept + drawn) == list(range(100))
    assert kept == sorted(kept) and drawn == sorted(drawn)


def test_the_seed_decides():
    labels = [0, 1] * 50
    assert split_rows(labels, "classification", 0.2, 1, "x") == split_rows(labels, "classification", 0.2, 1, "x")
    assert split_rows(labels, "classification", 0.2, 1, "x") != split_rows(labels, "classification", 0.2, 2, "x")


def test_the_whole_is_right_to_a_row():
    labels = [number % 7 for number in range(100)]
    for share in (0.01, 0.1, 0.25, 0.5):
        assert len(split_rows(labels, "classification", share, 0, "x")[1]) == round(100 * share)


def test_a_class_of_one_row_stays_in_training():
    labels = [0] * 20 + [1]
    for seed in range(20):
        assert 20 in split_rows(labels, "classification", 0.5, seed, "x")[0]


def test_at_least_one_row_is_drawn():
    assert len(split_rows([0, 0, 1], "classification", 0.01, 0, "x")[1]) == 1


def test_targets_are_divided_over_their_range():
    _, drawn = split_rows([float(number) for number in range(100)][::-1], "regression", 0.1, 3, "x")
    assert sorted((99 - row) // 10 for row in drawn) == list(range(10))
    assert len(split_rows([0.5, 1.5, 2.5], "regression", 0.1, 0, "x")[1]) == 1


def test_nothing_to_spare_and_bad_shares(fails):
    fails(["my.csv", "too few rows a label", "validation file"], split_rows, [0, 1], "classification", 0.5, 0, "my.csv")
    for share in (0, 1, -0.1, 2, float("nan")):
        with pytest.raises(Exception, match="validation_share"):
            split_rows([0, 1] * 9, "classification", share, 0, "x")
