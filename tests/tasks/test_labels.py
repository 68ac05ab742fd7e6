import math

import pytest

from polysense.tasks.labels import class_indices, class_names, infer_kind, targets
from polysense.tasks.tables import Table


def table(*labels):
    return Table("data.csv", {"y": list(labels)}, range(2, 2 + len(labels)))


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["good", "bad"], "classification"),
        (["0", "1", "1"], "classification"),
        ([1, 2, 3, 4, 5], "classification"),
        ([1.0, 2.0], "classification"),
        ([True, False], "classification"),
        (list(range(20)), "classification"),
        (list(range(21)), "regression"),
        (["0.5", "1"], "regression"),
        ([0.0, 2.25], "regression"),
        ([0.5] * 19 + ["n/a"], "regression"),
        ([0.5] * 5 + ["n/a"], "classification"),
        (["0.5", "nan", ""], "regression"),
        (["1_0", "2_5"] * 15, "classification"),
        ([], "classification"),
    ],
)
def test_kind_is_told_from_the_labels(labels, kind):
    assert infer_kind(labels) == kind


def test_names_are_sorted_whole_numbers_by_value():
    assert class_names(table("b", "a", "B", "a"), "y") == ("B", "a", "b")
    assert class_names(table("10", "9", "-1"), "y") == ("-1", "9", "10")
    assert class_names(table(1.0, "1", 0, "0.0"), "y") == ("0", "1")
    assert class_names(table("007", "7"), "y") == ("007", "7")
    assert class_names(table(True, False), "y") == ("false", "true")
    assert class_names(table(" yes", "no "), "y") == ("no", "yes")


def test_indices_follow_the_names():
    assert class_indices(table("b", "a", " b "), "y", ("a", "b")) == [1, 0, 1]


def test_numbers_count_as_indices_only_when_asked_and_unambiguous(fails):
    assert class_indices(table(1, "0", 1.0), "y", ("no", "yes"), by_index=True) == [1, 0, 1]
    fails(["unknown label '1', '0'"], class_indices, table(1, 0), "y", ("no", "yes"))
    fails(["unknown label '0'"], class_indices, table("yes", 0), "y", ("no", "yes"), by_index=True)
    fails(["unknown label '0'"], class_indices, table(0, 0), "y", ("1", "2"), by_index=True)
    fails(["unknown label '2'"], class_indices, table(0, 2), "y", ("no", "yes"), by_index=True)


def test_unknown_labels_are_named_with_their_lines(fails):
    message = fails(
        ["data.csv", "column 'y'", "lines 3, 5", "'postive', 'odd'", "did you mean 'positive'?", "'negative'"],
        class_indices,
        table("positive", "postive", "negative", "odd"),
        "y",
        ("negative", "positive"),
    )
    assert "line 2" not in message
    many = table(*[f"x{number}" for number in range(9)])
    fails(["lines 2, 3, 4, 5, 6 and 4 more", "'x4' and 4 more"], class_indices, many, "y", ("a", "b"))


@pytest.mark.parametrize("missing", [None, "", "  "])
def test_missing_labels_are_errors_with_their_lines(fails, missing):
    for function in (class_names, targets):
        fails(["data.csv", "column 'y'", "line 3", "missing"], function, table("1", missing, "2"), "y")


def test_one_class_and_labels_that_are_none(fails):
    fails(["every row has the label 'a'", "two classes"], class_names, table("a", "a "), "y")
    fails(["line 3", "is no label"], class_names, table("a", ["b"]), "y")
    fails(["line 2", "nan is no label"], class_names, table(math.nan, 1), "y")


def test_targets_are_finite_numbers():
    assert targets(table("1", 2, "0.5", "-1e3"), "y") == [1.0, 2.0, 0.5, -1000.0]


@pytest.mark.parametrize("bad", ["nan", "inf", "-Infinity", math.nan, math.inf, "1,5", "x", True, [1], "1_0", 10**400])
def test_bad_targets_are_errors_with_their_lines(fails, bad):
    message = fails(["data.csv", "column 'y'", "line 3", "not a finite number"], targets, table("1", bad, "2"), "y")
    assert message.endswith("mend or drop the rows")  # a benchmark's kind is not the user's to say
