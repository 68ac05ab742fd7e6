from __future__ import annotations

import random
from itertools import combinations

import pytest

from polysense.errors import PolysenseError
from polysense.vision_language.answers import AnswerVocabulary, normalise_answer, soft_score, vqa_accuracy
from polysense.vision_language.examples import Question


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", "yes"),
        ("  a  Dog\n", "dog"),
        ("the man and an apple", "man and apple"),
        ("two", "2"),
        ("None", "0"),
        ("eleven", "eleven"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("couldntve", "couldntve"),
        ("somebody'd", "somebodyd"),
        ("it's", "it's"),
        ("its", "its"),
        ("red/white", "red white"),
        ("red / white", "red white"),
        ("red, white-blue", "red white blue"),
        ("t-shirt", "t shirt"),
        ("well- done", "well done"),
        ("1,000", "1000"),
        ("1,000/year", "1000year"),
        ("yes.", "yes"),
        ("2.5", "2.5"),
        ("u.s.a.", "usa"),
        ("st.5", "st.5"),
        ("5:30 pm", "5:30 pm"),
        ("what's up?", "what's up"),
        ("?!", ""),
        ("the", ""),
        ("ünï", "ünï"),
    ],
)
def test_normalise_answer(text: str, expected: str) -> None:
    assert normalise_answer(text) == expected


def test_marks_are_judged_one_by_one() -> None:
    # A comma with a space beside it leaves nothing wherever it stands; the slash, which has none, leaves a space.
    assert normalise_answer("a,b, c/d") == "ab c d"


def leave_one_out(matches: list[bool], enough: int) -> float:
    subsets = list(combinations(matches, len(matches) - 1))
    return sum(min(1.0, sum(subset) / enough) for subset in subsets) / len(subsets)


@pytest.mark.parametrize("people", [2, 3, 4, 5, 9, 10, 11])
def test_soft_score_leaves_one_person_out(people: int) -> None:
    for count in range(people + 1):
        matches = [i < count for i in range(people)]
        assert soft_score(count, people) == pytest.approx(leave_one_out(matches, min(3, people - 1)))
    assert soft_score(people, people) == 1


def test_soft_score_of_ten_is_the_published_table() -> None:
    assert [soft_score(count) for count in range(6)] == pytest.approx([0, 0.3, 0.6, 0.9, 1, 1])
    assert (soft_score(0, 1), soft_score(1, 1)) == (0, 1)


@pytest.mark.parametrize(("count", "people"), [(-1, 10), (11, 10), (0, 0)])
def test_soft_score_of_nonsense(count: int, people: int) -> None:
    with pytest.raises(PolysenseError, match="VQA score"):
        soft_score(count, people)


def test_vqa_accuracy() -> None:
    answers = ["a dog"] * 2 + ["Dog."] + ["cat"] * 6 + ["two"]
    assert vqa_accuracy("dog", answers) == pytest.approx(0.9)
    assert vqa_accuracy("CAT!", answers) == 1
    assert vqa_accuracy("2", answers) == pytest.approx(0.3)
    assert vqa_accuracy("bird", answers) == 0
    generator = random.Random(0)
    for _ in range(200):
        answers = generator.choices(["yes", "No", "the yes", "no.", "maybe"], k=10)
        for predicted in ("yes", "no", "maybe"):
            matches = [normalise_answer(answer) == predicted for answer in answers]
            assert vqa_accuracy(predicted, answers) == pytest.approx(leave_one_out(matches, 3))


def test_where_all_agree_nothing_is_normalised() -> None:
    assert vqa_accuracy(" two\n", ["two"] * 10) == 1
    assert vqa_accuracy("2", ["two"] * 10) == 0
    assert vqa_accuracy("2", ["two"] * 9 + ["2"]) == 1


def test_vqa_accuracy_with_few_answers() -> None:
    assert vqa_accuracy("yes", ["yes"]) == 1
    assert vqa_accuracy("yes", ["yes", "no"]) == 0.5
    assert vqa_accuracy("yes", ["yes"] * 3) == 1
    with pytest.raises(PolysenseError, match="without answers"):
        vqa_accuracy("yes", [])


def question(*answers: str) -> Question:
    return Question("1", "p", "?", answers)


def test_vocabulary_counts_a_question_once_for_its_commonest_answer() -> None:
    questions = [
        question("Yes", "no", "yes."),
        question("yes"),
        question("no", "no", "perhaps", "perhaps", "perhaps"),
        question("no"),
        question("the"),
        question("two", "2", "three"),
        question("Perhaps", "no"),
        question(),
    ]
    vocabulary = AnswerVocabulary.from_questions(questions, min_count=1)
    assert vocabulary.names == ["perhaps", "yes", "2", "no"]
    assert AnswerVocabulary.from_questions(questions, min_count=2).names == ["perhaps", "yes"]
    assert AnswerVocabulary.from_questions(questions, min_count=1, most=1).names == ["perhaps"]
    assert len(vocabulary) == 4
    with pytest.raises(PolysenseError, match="lower min_count"):
        AnswerVocabulary.from_questions(questions)
    with pytest.raises(PolysenseError, match="to 0 questions"):
        AnswerVocabulary.from_questions([])


def test_scores_are_soft_targets_by_class() -> None:
    vocabulary = AnswerVocabulary(["yes", "no", "2"])
    answers = ["Yes", "yes.", "no", "two", "two", "2", "2", "maybe", "maybe", "maybe"]
    scores = vocabulary.scores(question(*answers))
    assert scores == pytest.approx({0: 0.6, 1: 0.3, 2: 1.0})
    assert all(score == pytest.approx(vqa_accuracy(vocabulary.names[i], answers)) for i, score in scores.items())
    assert vocabulary.scores(question("maybe")) == vocabulary.scores(question()) == {}


def test_coverage() -> None:
    vocabulary = AnswerVocabulary(["yes", "no"])
    coverage = vocabulary.coverage(
        [question(*["yes"] * 10), question(*["yes"] + ["red"] * 9), question("blue"), question()]
    )
    assert (coverage.questions, coverage.reached) == (3, 2)
    assert coverage.best == pytest.approx((1 + 0.3) / 3)
    assert vocabulary.coverage([]).best == 0


@pytest.mark.parametrize(
    ("names", "message"), [([], "no answers"), (["a dog"], "name 0"), (["no", ""], "name 1"), (["no", "no"], "twice")]
)
def test_bad_vocabularies(names: list[str], message: str) -> None:
    with pytest.raises(PolysenseError, match=message):
        AnswerVocabulary(names)
