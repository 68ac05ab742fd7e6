"""Every text is read back by a plain parser of its own and checked against the scene's objects."""

import re

import numpy as np
import pytest

from polysense.vision_language.world.captions import make_captions
from polysense.vision_language.world.entailments import UNTOLD, make_entailments
from polysense.vision_language.world.expressions import make_expressions
from polysense.vision_language.world.questions import make_questions
from polysense.vision_language.world.scene import SIDE
from polysense.vision_language.world.sprites import mask
from polysense.vision_language.world.statements import make_statements

COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
WORDS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
RELATIONS = {
    "to the left of": "left", "left of": "left", "to the right of": "right", "right of": "right", "above": "above",
    "higher up than": "above", "below": "below", "further down than": "below", "in front of": "front",
    "behind": "behind", "partly hidden by": "behind",
}  # fmt: skip
RELATION = "(" + "|".join(RELATIONS) + ")"
FACT = "(?:" + "|".join(UNTOLD) + ")"


class Reader:
    def __init__(self, things):
        self.singular = {thing.name: thing.name for thing in things}
        self.plural = {thing.plural: thing.name for thing in things}

    def kind(self, phrase, number=None):
        """(size, colour, name); the noun in the form that goes with the number, either where it is None."""
        words = phrase.split()
        size = words.pop(0) if words[0] in ("small", "large") else ""
        colour = words.pop(0) if words[0] in COLOURS else None
        noun = " ".join(words)
        known = {1: self.singular, None: self.singular | self.plural}.get(number, self.plural)
        assert noun in known, (phrase, number)
        return size, colour, known[noun]

    def some(self, phrase):
        word, _, rest = phrase.partition(" ")
        number = WORDS[word.lower()]
        if word.lower() in ("a", "an"):
            sounds_vowel = rest[0] in "aeio" or rest.startswith(("umbrella", "hourglass"))
            assert (word.lower() == "an") == sounds_vowel, phrase
        return number, self.kind(rest, number)

    def one(self, phrase):
        return self.some(phrase)[1]


@pytest.fixture(scope="module")
def reader(things):
    return Reader(things)


def found(scene, kind):
    size, colour, name = kind
    return [
        i for i, each in enumerate(scene.objects)
        if each.thing.name == name and size in ("", each.size) and colour in (None, each.colour)
    ]  # fmt: skip


def middle(placed, axis):
    return (placed.box[axis] + placed.box[axis + 2]) / 2


def covers(scene, back, front):
    """Whether a pixel of the one would show if the other were not there."""
    if back > front:
        return False
    masks = []
    for each in (scene.objects[back], scene.objects[front]):
        opaque, whole = mask(each.file, each.side, each.mirrored), np.zeros((SIDE, SIDE), dtype=bool)
        whole[each.top : each.top + opaque.shape[0], each.left : each.left + opaque.shape[1]] = opaque
        masks.append(whole)
    return (masks[0] & masks[1]).sum() > 0.05 * masks[0].sum()


def related(scene, one, relation, other):
    if relation in ("front", "behind"):
        return covers(scene, *((one, other) if relation == "behind" else (other, one)))
    axis, sign = {"left": (0, 1), "right": (0, -1), "above": (1, 1), "below": (1, -1)}[relation]
    return sign * (middle(scene.objects[other], axis) - middle(scene.objects[one], axis)) > 20


def only(scene, kind):
    (index,) = found(scene, kind)
    return index


def by_name(scenes):
    return {scene.identity: scene for part in scenes.values() for scene in part}


def test_captions(scenes, reader):
    kinds = set()
    for part in scenes.values():
        captions, pictures = list(make_captions(part)), by_name({"": part})
        assert len(captions) == 2 * len(part)
        for caption in captions:
            scene = pictures[caption.picture]
            text = caption.text[0].lower() + caption.text[1:]
            assert text.endswith(".") and caption.text[0].isupper()
            text = text[:-1]
            if verb := re.match(r"there (is|are) (\w+)", text):
                assert (verb[1] == "is") == (verb[2] in ("a", "an")), text
            text = re.sub(r"^(there is |there are |a picture of |this picture shows )| in one picture$", "", text)
            if pair := re.fullmatch(rf"(.+?) (?:is )?{RELATION} (.+)", text):
                ones, others = found(scene, reader.one(pair[1])), found(scene, reader.one(pair[3]))
                assert any(i != j and related(scene, i, RELATIONS[pair[2]], j) for i in ones for j in others), text
                kinds.add(RELATIONS[pair[2]])
            else:
                for phrase in re.split(", | and ", text):
                    number, kind = reader.some(phrase)
                    assert len(found(scene, kind)) == number, text
                    kinds.add(number)
    assert kinds == {1, 2, 3, 4, *RELATIONS.values()}


def answer(reader, scene, question):
    text = question.text[0].lower() + question.text[1:]
    if question.kind == "exists":
        phrase = re.fullmatch(r"(?:is there|does the picture show|can you see) (.+?)(?: in the picture)?\?", text)[1]
        return "yes" if found(scene, reader.one(phrase)) else "no"
    if question.kind == "count":
        ends = "are there|can you see|does the picture show|is there in the picture"
        phrase = re.fullmatch(rf"(?:how many|what number of) (.+?) (?:{ends})\?", text)[1]
        return str(len(found(scene, reader.kind(phrase, 2))))
    if question.kind == "colour":
        verb, phrase = re.fullmatch(
            r"(?:wh(?:at|ich) colou?r )(is|are|does|do) the (.+?)(?: have)?\?", text
        ).groups()  # fmt: skip
        several = verb in ("are", "do")
        which = found(scene, reader.kind(phrase, 2 if several else 1))
        assert (len(which) > 1) == several
        (colour,) = {scene.objects[i].colour for i in which}
        return colour
    if question.kind == "size":
        phrase = re.fullmatch(
            r"(?:how large is|what size is|is) the (.+?)(?: small or large| large or small)?\?", text
        )[1]
        return scene.objects[only(scene, reader.kind(phrase, 1))].size
    if question.kind == "relation":
        parsed = re.fullmatch(rf"(?:is|would you say that) the (.+?) (?:is )?{RELATION} the (.+)\?", text)
        one, other = only(scene, reader.kind(parsed[1], 1)), only(scene, reader.kind(parsed[3], 1))
        yes = related(scene, one, RELATIONS[parsed[2]], other)
        no = related(scene, other, RELATIONS[parsed[2]], one)
        assert yes != no, text
        return "yes" if yes else "no"
    parsed = re.fullmatch(r"where is the (.+?),? (?:seen from|in relation to) the (.+)\?", text)
    one, other = (
        (parsed[1], parsed[2])
        if parsed
        else re.fullmatch(r"on which side of the (.+) is the (.+)\?", text).groups()[::-1]
    )
    one, other = only(scene, reader.kind(one, 1)), only(scene, reader.kind(other, 1))
    asked = question.answers[0]
    return asked if related(scene, one, asked, other) else "unclear"


def test_questions(scenes, parts, reader):
    for split, part in scenes.items():
        questions = list(make_questions(part, parts[split]))
        pictures = by_name({split: part})
        assert len(questions) == 2 * len(part)
        assert len({question.identity for question in questions}) == len(questions)
        for question in questions:
            assert question.text[0].isupper() and question.text.endswith("?")
            assert len(question.answers) == 10 and len(set(question.answers)) == 1
            assert answer(reader, pictures[question.picture], question) == question.answers[0], question


def label(reader, scene, text):
    text = text[0].lower() + text[1:-1]

    def there(phrase, number=1):
        return bool(found(scene, reader.kind(phrase, number)))

    if parsed := re.fullmatch(rf"(?:there is no (.+) here that|no (.+) here) {FACT}", text):
        return "neutral" if there(parsed[1] or parsed[2]) else "entailment"
    if parsed := re.fullmatch(rf"(?:there is (an? .+) here that|at least one (.+) here) is (\w+) or {FACT}", text):
        name = reader.one(parsed[1])[2] if parsed[1] else reader.kind(parsed[2], 1)[2]
        if not found(scene, ("", None, name)):
            return "contradiction"
        return "entailment" if found(scene, ("", parsed[3], name)) else "neutral"
    if parsed := re.fullmatch(rf"(?:at least )?one of the (.+?) {FACT}", text):
        number = len(found(scene, reader.kind(parsed[1], 2)))
        assert number != 1
        return "neutral" if number else "contradiction"
    if parsed := re.fullmatch(rf"(?:the (.+?)|there is (an? .+) that) {FACT}", text):
        kind = reader.kind(parsed[1], 1) if parsed[1] else reader.one(parsed[2])
        assert len(found(scene, kind)) < 2
        return "neutral" if found(scene, kind) else "contradiction"
    if parsed := re.fullmatch(r"(?:there (?:is|are)|the picture shows) exactly (\w+) (.+)", text):
        number = WORDS[parsed[1]]
        assert not text.startswith("there") or ("there is" in text) == (number == 1)
        return "entailment" if len(found(scene, reader.kind(parsed[2], number))) == number else "contradiction"
    if parsed := re.fullmatch(rf"the (.+?) is {RELATION} the (.+)", text):
        one, other = only(scene, reader.kind(parsed[1], 1)), only(scene, reader.kind(parsed[3], 1))
        yes = related(scene, one, RELATIONS[parsed[2]], other)
        assert yes != related(scene, other, RELATIONS[parsed[2]], one)
        return "entailment" if yes else "contradiction"
    parsed = re.fullmatch(r"there is (an? .+?)(?: in the picture)?|the picture shows at least one (.+)", text)
    kind = reader.one(parsed[1]) if parsed[1] else reader.kind(parsed[2], 1)
    return "entailment" if found(scene, kind) else "contradiction"


def test_entailments(scenes, parts, reader):
    for split, part in scenes.items():
        entailments = list(make_entailments(part, parts[split]))
        pictures = by_name({split: part})
        assert [each.picture for each in entailments] == [scene.identity for scene in part]
        for each in entailments:
            assert each.text[0].isupper() and each.text.endswith(".")
            assert label(reader, pictures[each.picture], each.text) == each.label, each


def referred(reader, scene, text):
    text = text.removeprefix("the ")
    ordinals = ["first", "second", "third", "fourth"]
    edges = {
        "leftmost": (0, 1), "furthest to the left": (0, 1), "on the far left": (0, 1),
        "rightmost": (0, -1), "furthest to the right": (0, -1), "on the far right": (0, -1),
        "topmost": (1, 1), "uppermost": (1, 1), "nearest to the top": (1, 1),
        "bottommost": (1, -1), "lowest": (1, -1), "nearest to the bottom": (1, -1),
    }  # fmt: skip
    if parsed := re.fullmatch(rf"({'|'.join(ordinals)}) (.+) from the (left|right)", text):
        which = sorted(found(scene, reader.kind(parsed[2], 1)), key=lambda i: middle(scene.objects[i], 0))
        return [(which if parsed[3] == "left" else which[::-1])[ordinals.index(parsed[1])]]
    for words, (axis, sign) in edges.items():
        if text.startswith(words + " ") or text.endswith(" " + words):
            noun = text.removeprefix(words).removesuffix(words).strip()
            which = sorted(found(scene, reader.kind(noun, 1)), key=lambda i: sign * middle(scene.objects[i], axis))
            assert len(which) > 1
            gap = sign * (middle(scene.objects[which[1]], axis) - middle(scene.objects[which[0]], axis))
            return which[:1] if gap > 10 else which
    if parsed := re.fullmatch(rf"(.+?) {RELATION} the (.+)", text):
        other = only(scene, reader.kind(parsed[3], 1))
        relation = RELATIONS[parsed[2]]
        rivals = found(scene, reader.kind(parsed[1], 1))
        if relation in ("front", "behind"):
            return [i for i in rivals if related(scene, i, relation, other)]
        axis, sign = {"left": (0, 1), "right": (0, -1), "above": (1, 1), "below": (1, -1)}[relation]
        return [i for i in rivals if sign * (middle(scene.objects[other], axis) - middle(scene.objects[i], axis)) > 0]
    return found(scene, reader.kind(text, 1))


def test_expressions(scenes, reader):
    distractors = 0
    for split, part in scenes.items():
        pictures = by_name({split: part})
        expressions = list(make_expressions(part))
        assert len(expressions) > 0.95 * len(part)
        for each in expressions:
            scene = pictures[each.picture]
            (index,) = referred(reader, scene, each.text)
            assert scene.objects[index].box == each.box, each
            distractors += sum(other.thing == scene.objects[index].thing for other in scene.objects) > 1
    assert distractors > 0.5 * sum(map(len, scenes.values()))


def statement_holds(reader, left, right, text):
    text = text[0].lower() + text[1:-1]

    def counts(kind):
        return len(found(left, kind)), len(found(right, kind))

    if parsed := re.fullmatch(r"there (is|are) (\w+) (.+) in all|the two pictures show (\w+) (.+) altogether", text):
        number = WORDS[parsed[2] or parsed[4]]
        assert parsed[1] is None or (parsed[1] == "is") == (number == 1)
        return sum(counts(reader.kind(parsed[3] or parsed[5], number))) == number
    if parsed := re.fullmatch(
        r"the (left|right) picture has more (.+) than the (?:left|right) one"
        r"|there are more (.+) in the (left|right) picture than in the (?:left|right) one",
        text,
    ):
        first, second = counts(reader.kind(parsed[2] or parsed[3], 2))
        return first > second if (parsed[1] or parsed[4]) == "left" else second > first
    if parsed := re.fullmatch(
        r"both pictures show the same number of (.+)|there are as many (.+) on the left as on the right", text
    ):
        first, second = counts(reader.kind(parsed[1] or parsed[2], 2))
        return first == second
    if parsed := re.fullmatch(r"(?:of the two pictures, )?only the (left|right) (?:picture shows|has) (.+)", text):
        first, second = counts(reader.one(parsed[2]))
        return bool(first and not second) if parsed[1] == "left" else bool(second and not first)
    if parsed := re.fullmatch(
        r"(?:exactly|only) one of the pictures (?:contains|shows) (.+)|there is (.+) in one picture but not in the "
        r"other",
        text,
    ):
        return sum(map(bool, counts(reader.one(parsed[1] or parsed[2])))) == 1
    parsed = re.fullmatch(
        r"both pictures show (.+)|there is (.+) in each picture|each of the pictures contains at least (one .+)", text
    )
    return all(counts(reader.one(parsed[1] or parsed[2] or parsed[3])))


def test_statements(scenes, reader):
    for split, part in scenes.items():
        pictures = by_name({split: part})
        statements = list(make_statements(part))
        assert len(statements) >= 0.98 * len(part)
        for each in statements:
            assert each.left != each.right and each.text[0].isupper() and each.text.endswith(".")
            assert statement_holds(reader, pictures[each.left], pictures[each.right], each.text) == each.label, each
