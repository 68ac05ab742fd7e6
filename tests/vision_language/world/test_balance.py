"""No answer, label or truth value can be told from the text alone."""

import itertools
import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from polysense.vision_language.world.balance import Balance
from polysense.vision_language.world.captions import make_captions
from polysense.vision_language.world.entailments import make_entailments
from polysense.vision_language.world.expressions import make_expressions
from polysense.vision_language.world.questions import KINDS, make_questions
from polysense.vision_language.world.scene import draw_scene
from polysense.vision_language.world.statements import make_statements


@pytest.fixture(scope="module")
def many(parts):
    return [draw_scene("train", i, parts["train"], 1) for i in range(2400)]


def guessed(texts, labels):
    """Accuracy on the second half of naive Bayes on words and word pairs, learnt from the first half."""
    half = len(texts) // 2
    counts, totals = defaultdict(Counter), Counter(labels[:half])

    def features(text):
        words = text.lower().rstrip(".?").split()
        return {*words, *itertools.pairwise(words)}

    for text, label in zip(texts[:half], labels[:half], strict=True):
        counts[label].update(features(text))
    right = 0
    for text, label in zip(texts[half:], labels[half:], strict=True):
        scores = {
            each: np.log(total) + sum(np.log((counts[each][word] + 0.5) / (total + 1)) for word in features(text))
            for each, total in totals.items()
        }
        right += max(scores, key=scores.__getitem__) == label
    return right / (len(texts) - half)


def test_balance_takes_what_is_seldom_whenever_it_can():
    class Tie:
        def random(self):
            return 0.5

    balance = Balance({"often": 1.0, "seldom": 1.0})
    taken = Counter(balance.choose(Tie(), ["often", "seldom"] if i % 3 == 0 else ["often"]) for i in range(30))
    assert taken["seldom"] >= 9
    balance = Balance({"x": 3.0, "y": 1.0})
    assert Counter(balance.choose(Tie(), ["x", "y"]) for _ in range(40)) == {"x": 30, "y": 10}


def test_questions(many, parts):
    questions = list(make_questions(many, parts["train"]))
    by_kind = defaultdict(list)
    for question in questions:
        by_kind[question.kind].append(question)
    assert {*by_kind} == {*KINDS}
    for kind, asked in by_kind.items():
        answers = [question.answers[0] for question in asked]
        shares = Counter(answers)
        assert max(shares.values()) < 1.15 * min(shares.values()), kind
        chance = 1 / len(shares)
        assert len(asked) > len(questions) / 8
        assert guessed([question.text for question in asked], answers) < chance + 0.08, kind


def test_entailments(many, parts):
    entailments = list(make_entailments(many, parts["train"]))
    labels = [each.label for each in entailments]
    assert max(Counter(labels).values()) - min(Counter(labels).values()) < 0.03 * len(labels)
    assert guessed([each.text for each in entailments], labels) < 0.46 + 0.04
    # The words that no picture can confirm come with every label.
    untold = Counter(each.label for each in entailments if "got lost last year" in each.text)
    assert min(untold.values()) > 0.15 * untold.total()


def test_statements(many):
    statements = list(make_statements(many))
    assert abs(len(statements) - len(many)) <= 4
    told = defaultdict(Counter)
    for each in statements:
        told[each.text][each.label] += 1
    assert all(labels[True] == labels[False] for labels in told.values())
    assert len({each.identity for each in statements}) == len(statements)
    shared = Counter(each.label for each in statements if each.text.startswith(("Both", "There is", "Each")))
    assert abs(shared[True] - shared[False]) == 0


def test_texts_of_fewer_scenes_are_the_first_of_more(many, parts):
    def texts(scenes):
        return {
            "question": list(make_questions(scenes, parts["train"])),
            "entailment": list(make_entailments(scenes, parts["train"])),
            "statement": list(make_statements(scenes)),
        }

    few, more = texts(many[:100]), texts(many[:300])
    for kind, examples in few.items():
        assert more[kind][: len(examples)] == examples, kind


def test_no_part_names_objects_of_another(scenes, parts):
    every = {split: {word for thing in part for word in (thing.name, thing.plural)} for split, part in parts.items()}
    heads = {split: {thing.head for thing in part} for split, part in parts.items()}
    for split, part in scenes.items():
        told = [*make_captions(part), *make_expressions(part), *make_statements(part)]
        told += [*make_questions(part, parts[split]), *make_entailments(part, parts[split])]
        text = " ".join(each.text.lower() for each in told)
        words = {*re.findall(r"[\w'-]+", text)}
        for other in parts:
            if parts[other] != parts[split]:
                assert (heads[other] | every[other]) & words == set()
                assert not [name for name in every[other] if " " in name and re.search(rf"\b{name}\b", text)]
