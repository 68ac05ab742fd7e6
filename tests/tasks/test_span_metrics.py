"""Against SQuAD's definitions, written out here a second time, and by hand."""

import math
import random
import string

import pytest
from sklearn.metrics import f1_score

from polysense.tasks import load_task
from polysense.tasks.span_metrics import best_threshold, exact_match, f1, score_spans

WORDS = ["the", "a", "An", "cat", "Cat,", "dog", "U.S.", "1,000", "--", "'s", "?", "\u00e9t\u00e9", "theatre", ""]


def plain(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    separated = "".join(c if c.isalnum() or c == "_" else f" {c} " for c in kept)
    # Articles are words of their own between other signs too, which then stay where they are.
    return (
        [word for word in kept.split() if word not in ("a", "an", "the")] if separated.split() == kept.split() else None
    )


def by_the_paper(prediction, answers):
    golds = [words for words in map(plain, answers) if words] or [[]]
    best_exact = best_f1 = 0.0
    said = plain(prediction)
    for gold in golds:
        best_exact = max(best_exact, float(said == gold))
        if not said or not gold:
            best_f1 = max(best_f1, float(said == gold))
            continue
        left, same = list(gold), 0
        for word in said:
            if word in left:
                left.remove(word)
                same += 1
        if same:
            precision, recall = same / len(said), same / len(gold)
            best_f1 = max(best_f1, 2 * precision * recall / (precision + recall))
    return best_exact, best_f1


def texts(generator, count=4):
    return " ".join(generator.choices(WORDS, k=generator.randrange(count)))


def test_random_texts():
    generator = random.Random(0)
    seen = set()
    for _ in range(3000):
        prediction = texts(generator, 6)
        answers = [texts(generator) for _ in range(generator.randrange(4))]
        expected = by_the_paper(prediction, answers)
        assert (exact_match(prediction, answers), pytest.approx(f1(prediction, answers))) == expected, answers
        seen.add((expected[0], 0 < expected[1] < 1))
    assert seen == {(0.0, True), (0.0, False), (1.0, False)}


def test_f1_of_different_words_is_scikit_learns():
    """Of which words of all there are the prediction and the answer have, each once."""
    generator = random.Random(2)
    known = ["cat", "dog", "red", "car", "sky", "theatre"]
    for _ in range(300):
        said, gold = (generator.sample(known, generator.randint(1, len(known))) for _ in range(2))
        had = [[word in words for word in known] for words in (gold, said)]
        assert f1(" ".join(said), [" ".join(gold)]) == pytest.approx(f1_score(*had))


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "overlap"),
    [
        ("The Eiffel Tower!", ["eiffel  tower"], 1, 1),
        ("Eiffel", ["the Eiffel Tower", "Paris"], 0, 2 / 3),
        ("cat cat", ["cat"], 0, 2 / 3),
        ("theatre", ["atre"], 0, 0),
        ("", [], 1, 1),
        ("a", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["cat"], 0, 0),
        ("the", ["the", "cat"], 0, 0),
        ("\u201ca\u201d", ["\u201c \u201d"], 1, 1),
    ],
)
def test_by_hand(prediction, answers, exact, overlap):
    assert exact_match(prediction, answers) == exact
    assert f1(prediction, answers) == pytest.approx(overlap)


def test_means_of_a_split():
    answers = {"1": ["cat", "the dog"], "2": [], "3": ["red car"], "4": []}
    predictions = {"4": "", "3": "a car", "2": "cat", "1": "Dog."}
    expected = {"exact_match": 2 / 4, "f1": (1 + 0 + 2 / 3 + 1) / 4}
    expected |= {"has_answer_exact_match": 1 / 2, "has_answer_f1": (1 + 2 / 3) / 2}
    expected |= {"no_answer_exact_match": 1 / 2, "no_answer_f1": 1 / 2}
    assert score_spans(predictions, answers) == pytest.approx(expected)
    answered = {i: answers[i] for i in ("1", "3")}
    assert set(score_spans({i: predictions[i] for i in answered}, answered)) == {"exact_match", "f1"}


def test_what_cannot_be_scored(fails):
    fails(["nothing to score"], score_spans, {}, {})
    fails(["1 of 2", "'2' has no prediction"], score_spans, {"1": ""}, {"1": [], "2": []})
    fails(["'3' is not in the split"], score_spans, {"1": "", "3": ""}, {"1": []})
    fails(["'1' has no prediction"], best_threshold, {}, {"1": ""}, {"1": []})
    fails(["'1'", "nan"], best_threshold, {"1": math.nan}, {"1": ""}, {"1": []})


@pytest.mark.parametrize("scores", ["apart", "tied", "below 0"])
def test_the_threshold_is_the_best_of_all(scores):
    generator = random.Random(1)
    for _ in range(100):
        ids = [str(i) for i in range(generator.randint(1, 12))]
        answers = {i: [texts(generator, 3) + "x"] if generator.random() < 0.5 else [] for i in ids}
        predictions = {i: answers[i][0] if answers[i] and generator.random() < 0.7 else texts(generator) for i in ids}
        draw = {
            "apart": generator.random,
            "tied": lambda: generator.randrange(3) / 2,
            "below 0": lambda: -generator.random(),
        }
        values = {i: draw[scores]() for i in ids}

        def means(threshold, values=values, predictions=predictions, answers=answers):
            said = {i: "" if values[i] > threshold else text for i, text in predictions.items()}
            return score_spans(said, answers)

        tried = [means(threshold) for threshold in (-9, *values.values())]
        best = best_threshold(values, predictions, answers)
        assert best.f1 == pytest.approx(max(found["f1"] for found in tried))
        assert best.f1 == pytest.approx(means(best.threshold)["f1"])
        assert best.exact_match == pytest.approx(max(found["exact_match"] for found in tried))
        assert best.exact_match == pytest.approx(means(best.exact_match_threshold)["exact_match"])
        assert math.isfinite(best.threshold)


def test_real_answers(real_data):
    data = load_task("squad_v2", real_data("squad_v2"))
    rows = data.splits["validation"].select(range(400)).to_list()
    generator = random.Random(0)
    compared = 0
    for row in rows:
        words = row["text_pair"].split()
        begin = generator.randrange(len(words))
        said = generator.choice(["", " ".join(words[begin : begin + 3]), *row["answers"]])
        if plain(said) is None or any(plain(answer) is None for answer in row["answers"]):
            continue
        compared += 1
        expected = by_the_paper(said, row["answers"])
        assert (exact_match(said, row["answers"]), pytest.approx(f1(said, row["answers"]))) == expected
    assert compared > 300
