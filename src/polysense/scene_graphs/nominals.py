"""Things and what they are like: the entities of a text, and the attributes within their noun phrases."""

from __future__ import annotations

from polysense.scene_graphs.tree import NOMINAL, Tree
from polysense.scene_graphs.words import APOSTROPHES, BRACKETS, QUANTITY, SPATIAL, TORN

MOST_CONJUNCTS = 16
"""Members of one list that a relation is distributed over; the rest stay entities. Keeps a list of lists linear."""

ATTRIBUTIVE = ("ADJ", "VERB", "NUM", "ADV")


class Nominals:
    """Which words of a text are entities, which are attributes of them, and which only lead to another entity.

    Attributes:
        first: the first word of each entity, by its head noun.
        attributes: (entity, first word, last word) of each attribute within a noun phrase.
        through: the noun that stands for an entity instead of a word: "people" for "group" in "a group of people".
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.first: dict[int, int] = {}
        self.attributes: list[tuple[int, int, int]] = []
        self.through: dict[int, int] = {}
        self._absorbed: set[int] = set()
        heads = [i for i in range(len(tree)) if self._is_thing(i)]
        for i in heads:
            self._look_through(i)
        # From the right: a compound's last noun claims those before it.
        for i in reversed(heads):
            if i not in self._absorbed and i not in self.through:
                self.first[i] = self._compound(i)
        for i in list(self.first):
            if i not in self._absorbed:
                self._describe(i)
        for i in self._absorbed & self.first.keys():
            del self.first[i]
        self.attributes = [row for row in self.attributes if row[0] in self.first]

    def conjuncts(self, i: int) -> list[int]:
        """A word and what is coordinated with it, at most `MOST_CONJUNCTS`."""
        members = [i]
        for member in members:
            members += [c for c in self.tree.of(member, "conj") if c not in members][: MOST_CONJUNCTS - len(members)]
        return sorted(members)

    def adjectives(self, i: int) -> list[tuple[int, int]]:
        """First and last word of an attribute and of those coordinated with it; "not" before one is part of it."""
        tree = self.tree
        return [
            (tree.with_negation(tree.first_of_left(c)), c)
            for c in self.conjuncts(i)
            if tree.has_letters(c) and (c == i or tree.pos[c] in ATTRIBUTIVE) and not tree.of(c, "nsubj", "nsubjpass")
        ]

    def _is_thing(self, i: int) -> bool:
        tree = self.tree
        noun = tree.pos[i] in NOMINAL and tree.tag[i] not in ("CD", "SYM")
        someone = tree.pos[i] == "PRON" and tree.tag[i] == "NN" and not tree.words[i].startswith("no")
        torn = i > 0 and tree.words[i] in TORN and tree.words[i - 1] in APOSTROPHES
        return (noun or someone) and tree.has_letters(i) and tree.words[i] not in BRACKETS and not torn

    def _look_through(self, i: int) -> None:
        """A noun before "of" that stands for the next: "group" of "a group of people", "side" of "on the side of"."""
        tree = self.tree
        of = next((c for c in tree.of(i, "prep") if tree.words[c] == "of"), None)
        target = next(iter(tree.of(of, "pobj")), None) if of is not None else None
        if target is None:
            return
        if tree.words[i] in QUANTITY:
            self.through[i] = target
            self.attributes.append((target, tree.first_of_left(i), i))
        elif tree.words[i] in SPATIAL and tree.dep[i] == "pobj" and i - tree.head[i] <= 3:
            self.through[i] = target
        if i in self.through:
            self._absorbed.update(range(tree.first_of_left(i), i + 1))

    def _compound(self, i: int) -> int:
        """The first word of an entity; the words between become part of it."""
        tree, first = self.tree, i
        for j in range(i - 1, max(-1, i - 12), -1):
            part = tree.dep[j] in ("compound", "nmod") and tree.pos[j] != "NUM" and tree.has_letters(j)
            if not part or not first <= tree.head[j] <= i:
                break
            first = j
        self._absorbed.update(range(first, i))
        return first

    def _describe(self, i: int) -> None:
        tree = self.tree
        span = range(self.first[i], i + 1)
        for child in [c for word in span for c in tree.children[word] if c not in span]:
            dep, before = tree.dep[child], child < self.first[i]
            if child in self._absorbed or not tree.has_letters(child):
                continue
            if dep == "det" and tree.words[child] == "no":
                self.attributes.append((i, child, child))
            elif dep in ("amod", "nummod") or (before and dep in ("compound", "nmod", "advmod") and self._apart(child)):
                for first, last in self.adjectives(child):
                    self.attributes.append((i, first, last))
                    self._absorbed.update(range(first, last + 1))

    def _apart(self, child: int) -> bool:
        """Whether a word before a noun, but not next to it, says what the noun is like."""
        return self.tree.pos[child] in (*NOMINAL, "ADJ", "NUM", "VERB")
