"""Answers to questions about pictures: the official VQA metric, and the vocabulary that a classifier answers from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from polysense.errors import PolysenseError
from polysense.vision_language.examples import Question

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(number) for number, word in enumerate(_WORDS)} | {"none": "0"}
_ARTICLES = frozenset({"a", "an", "the"})
# Each is mended where exactly one of its apostrophes is missing.
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_CONTRACTIONS = {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTED.split()
    for place, letter in enumerate(word)
    if letter == "'"
}
_CONTRACTIONS["somebody'd"] = "somebodyd"  # sic, in the official table
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")


@lru_cache(maxsize=65_536)  # data repeat few answers many times
def normalise_answer(text: str) -> str:
    """An answer as the official evaluation of VQA v2 compares it (visualqa.org/evaluation).

    Punctuation goes: a mark that has a space on either side anywhere in the answer leaves nothing, one that has none
    leaves a space, and any mark leaves nothing where a comma stands between digits. Periods go unless a digit follows.
    Then letters are lower case, number words from none to ten are digits, articles go, and contractions get the
    apostrophe that they lack.
    """
    return _processed(_stripped(text))


def _stripped(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _processed(text: str) -> str:
    plain = text
    digit_comma = _DIGIT_COMMA.search(text) is not None
    for mark in _PUNCTUATION:
        apart = mark + " " in text or " " + mark in text
        plain = plain.replace(mark, "" if apart or digit_comma else " ")
    words = (_NUMBERS.get(word, word) for word in _PERIOD.sub("", plain).lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def soft_score(count: int, answers: int = 10) -> float:
    """The VQA accuracy of an answer that `count` of the people gave: also its training target.

    The mean, over the subsets that leave one person out, of min(1, matches / 3). With 10 people that is 0.3, 0.6, 0.9
    and 1 for 1, 2, 3 and more matches, the targets of bottom-up-attention models; min(1, count / 3), which some code
    uses, is more than the metric gives. With A < 4 people a subset never holds 3 answers, so as many as it holds,
    A - 1, suffice; a single person's answer scores 1. So an answer that all gave scores 1 for any A.

    Args:
        count: people who gave the answer, 0 to `answers`.
        answers: A, people who were asked; at least 1.

    Raises:
        PolysenseError: `answers` is not positive, or `count` is not in 0 to `answers`.
    """
    if answers < 1 or not 0 <= count <= answers:
        raise PolysenseError(f"VQA score: {count} matches among {answers} answers; give 0 to {max(answers, 1)} matches")
    if answers == 1:
        return float(count)
    enough = min(3, answers - 1)
    # A person who is left out takes away a match if that person gave the answer.
    return (count * min(enough, count - 1) + (answers - count) * min(enough, count)) / (answers * enough)


def vqa_accuracy(predicted: str, answers: Sequence[str]) -> float:
    """The official VQA v2 accuracy of one predicted answer, 0 to 1 (see `soft_score` for other than 10 answers).

    As in the official evaluation, texts are normalised only where people's answers differ; where all wrote the same,
    the prediction has to be just that, apart from space around it.

    Raises:
        PolysenseError: `answers` is empty.
    """
    if not answers:
        raise PolysenseError("VQA accuracy: a question without answers; score questions whose answers are known")
    given = [_stripped(answer) for answer in answers]
    predicted = _stripped(predicted)
    if len(set(given)) > 1:
        given = [_processed(answer) for answer in given]
        predicted = _processed(predicted)
    return soft_score(given.count(predicted), len(given))


@dataclass(frozen=True)
class Coverage:
    """How far a vocabulary reaches.

    Attributes:
        questions: those with answers.
        reached: of these, those with at least one answer in the vocabulary.
        best: mean soft target of the best answer in the vocabulary over all of them; no classifier over the vocabulary
            trained on such targets can score more. 0 without questions.
    """

    questions: int
    reached: int
    best: float


class AnswerVocabulary:
    """The answers that a VQA classifier chooses from.

    Args:
        names: normalised answers, by class.

    Raises:
        PolysenseError: no names, one that is empty or not normalised, or one twice.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._classes = {name: index for index, name in enumerate(self.names)}
        if not self.names:
            raise PolysenseError("answer vocabulary: no answers; give at least one")
        if len(self._classes) < len(self.names):
            twice = next(name for index, name in enumerate(self.names) if self._classes[name] != index)
            raise PolysenseError(f"answer vocabulary: {twice!r} is there twice; keep one")
        for index, name in enumerate(self.names):
            if not isinstance(name, str) or not name or normalise_answer(name) != name:
                raise PolysenseError(f"answer vocabulary: name {index} is {name!r}; give answers that are normalised")

    @classmethod
    def from_questions(cls, questions: Iterable[Question], min_count: int = 9, most: int = 3129) -> AnswerVocabulary:
        """The commonest answers, most frequent first, equally frequent ones by alphabet.

        As in bottom-up-attention models, where the defaults give 3,129 answers on the training and validation sets of
        VQA v2: a question counts once, for the answer that most people gave it (of equally common ones, the first).

        Args:
            questions: those without answers are passed over.
            min_count: questions that an answer needs; lower it for small data.
            most: answers to keep at most.

        Raises:
            PolysenseError: no answer is frequent enough.
        """
        counts: Counter[str] = Counter()
        asked = 0
        for question in questions:
            given = _counts(question)
            if given:
                asked += 1
                counts[given.most_common(1)[0][0]] += 1
        counts.pop("", None)  # an article alone, or marks alone
        names = sorted((name for name, count in counts.items() if count >= min_count), key=lambda n: (-counts[n], n))
        if not names[:most]:
            raise PolysenseError(
                f"answer vocabulary: of {len(counts)} answers to {asked} questions none is the answer of {min_count}; "
                "lower min_count"
            )
        return cls(names[:most])

    def __len__(self) -> int:
        return len(self.names)

    def scores(self, question: Question) -> dict[int, float]:
        """Soft target by class (see `soft_score`) of the question's answers in the vocabulary; others are 0."""
        given = _counts(question)
        return {
            self._classes[name]: soft_score(count, given.total())
            for name, count in given.items()
            if name in self._classes
        }

    def coverage(self, questions: Iterable[Question]) -> Coverage:
        """How many questions the vocabulary can answer; those without answers are not counted."""
        best = [max(self.scores(question).values(), default=0.0) for question in questions if question.answers]
        return Coverage(len(best), sum(score > 0 for score in best), sum(best) / max(len(best), 1))


def _counts(question: Question) -> Counter[str]:
    """How often each normalised answer was given, in the order in which they were first given."""
    return Counter(map(normalise_answer, question.answers))
