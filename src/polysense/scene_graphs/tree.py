"""What spaCy says of the words of a text, as plain lists: quick to walk, and free of spaCy's objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

HYPHENS = ("-", "–")
NOMINAL = ("NOUN", "PROPN")


@dataclass(frozen=True, slots=True)
class Tree:
    """The words of a text and how they depend on one another.

    Attributes:
        words: in lower case.
        pos, tag, dep: universal part of speech, Penn Treebank tag, and relation to the head (spaCy's names).
        head: number of the word that each depends on; its own for a root.
        start, end: characters of each word.
        children: numbers of the words that depend on each, in order.
    """

    words: list[str]
    pos: list[str]
    tag: list[str]
    dep: list[str]
    head: list[int]
    start: list[int]
    end: list[int]
    children: list[list[int]]

    @classmethod
    def of_doc(cls, doc: Any, offset: int) -> Tree:
        """The tree of a parsed spaCy document that begins at character `offset` of its text.

        What spaCy cut at hyphens ("double-decked") is one word here: the one that the others depend on, an adjective if
        one of them is no noun.
        """
        tokens = list(doc)
        head = [token.head.i for token in tokens]
        pos = [token.pos_ for token in tokens]
        dep = [token.dep_ for token in tokens]
        groups = list(_hyphenated(tokens))
        number = list(range(len(tokens)))
        if groups:
            depth = _depths(head)
            kept = [True] * len(tokens)
            for group in groups:
                main = min(group, key=lambda i: (depth[i], -i))
                if any(pos[i] in ("ADJ", "ADV", "NUM", "VERB") for i in group) and dep[main] in ("compound", "nmod"):
                    pos[main], dep[main] = "ADJ", "amod"
                for i in group:
                    number[i], kept[i] = main, i == main
            mains = [i for i in range(len(tokens)) if kept[i]]
        else:
            mains = number
        first = {number[i]: i for i in reversed(range(len(tokens)))}
        last = {number[i]: i for i in range(len(tokens))}
        place = {main: new for new, main in enumerate(mains)}
        tree = cls(
            words=[doc[first[i] : last[i] + 1].text.lower() if first[i] < last[i] else tokens[i].lower_ for i in mains],
            pos=[pos[i] for i in mains],
            tag=[tokens[i].tag_ for i in mains],
            dep=[dep[i] for i in mains],
            head=[place[number[head[i]]] for i in mains],
            start=[tokens[first[i]].idx + offset for i in mains],
            end=[tokens[last[i]].idx + len(tokens[last[i]]) + offset for i in mains],
            children=[[] for _ in mains],
        )
        for i, parent in enumerate(tree.head):
            if parent != i:
                tree.children[parent].append(i)
        return tree

    def __len__(self) -> int:
        return len(self.words)

    def of(self, i: int, *deps: str) -> list[int]:
        """The children of a word that have one of these relations to it, in order."""
        return [child for child in self.children[i] if self.dep[child] in deps]

    def is_clause(self, i: int) -> bool:
        """Whether a word is the verb of a clause of its own."""
        return self.pos[i] in ("VERB", "AUX") and self.dep[i] not in ("aux", "auxpass", "amod", "compound", "prep")

    def first_of_left(self, i: int) -> int:
        """The first word of what stands before a word without a gap and qualifies it ("very" of "very tall")."""
        first = i
        while (
            first > 0
            and first <= self.head[first - 1] <= i
            and self.dep[first - 1] not in ("det", "predet", "cc", "conj", "preconj", "poss", "case", "neg", "mark")
        ):
            first -= 1
        while first < i and self.pos[first] == "PUNCT":
            first += 1
        return first

    def with_negation(self, first: int) -> int:
        """The "not" or "never" that stands right before the word `first`, else `first`."""
        return first - 1 if first > 0 and self.dep[first - 1] == "neg" else first

    def has_letters(self, i: int) -> bool:
        """Whether a word holds a letter or digit; emoji and punctuation do not."""
        return any(character.isalnum() for character in self.words[i])


def _hyphenated(tokens: Sequence[Any]) -> Iterator[range]:
    """The tokens of each word that hyphens cut: no space stands between them."""
    i = 1
    while i < len(tokens) - 1:
        first = i - 1
        while i < len(tokens) - 1 and tokens[i].orth_ in HYPHENS and _glued(tokens, i):
            i += 2
        if i - 1 > first:
            yield range(first, i)
        i += 1


def _glued(tokens: Sequence[Any], i: int) -> bool:
    before, hyphen, after = tokens[i - 1 : i + 2]
    return not before.whitespace_ and not hyphen.whitespace_ and before.text[-1].isalnum() and after.text[0].isalnum()


def _depths(head: Sequence[int]) -> list[int]:
    """How many words are above each."""
    depths = [-1] * len(head)
    for i in range(len(head)):
        above: list[int] = []
        while depths[i] < 0:
            if head[i] == i:
                depths[i] = 0
            else:
                above.append(i)
                i = head[i]
        depth = depths[i]
        for word in reversed(above):
            depth += 1
            depths[word] = depth
    return depths
