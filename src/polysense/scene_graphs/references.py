"""Whom a pronoun stands for, where that is clear.

- A relative pronoun ("the dog that barks", "a man whose hat ...") stands for the noun that its clause belongs to.
- A third-person pronoun stands for an entity before it, in the same text and among the `REACH` words before it, that
  agrees with it: singular or plural; "he" and "she" with a name or a person of that sex, "it" with no person. A
  possessive one ("the dog wags its tail") takes the nearest subject that its clause depends on, if that agrees. Any
  other, or where there is no such subject, needs a single entity that agrees. The subject of its own clause is no
  antecedent of an object ("the dog sees it").
- All others (I, you, this, who in questions, a pronoun with two possible antecedents) stand for nothing: they are no
  entities and have no relations.
"""

from __future__ import annotations

from polysense.scene_graphs import words
from polysense.scene_graphs.nominals import Nominals
from polysense.scene_graphs.tree import Tree

REACH = 50


class References:
    """Resolves the words of a text to its entities."""

    def __init__(self, tree: Tree, nominals: Nominals) -> None:
        self.tree, self.nominals = tree, nominals

    def entities(self, i: int) -> list[int]:
        """The entities that a word and its conjuncts stand for, by their head nouns."""
        found: dict[int, None] = {}
        for conjunct in self.nominals.conjuncts(i):
            for entity in self.entity(conjunct):
                found[entity] = None
        return list(found)

    def entity(self, i: int) -> list[int]:
        """What one word stands for: one entity, or several that are coordinated, or none."""
        tree = self.tree
        for _ in range(4):
            if i in self.nominals.first:
                return [i]
            if i in self.nominals.through:
                i = self.nominals.through[i]
                if i in self.nominals.first and tree.of(i, "conj"):
                    return self.entities(i)
            elif tree.words[i] in words.RELATIVE and (head := self.relative_head(i)) is not None:
                i = head
            elif partitive := [c for p in tree.of(i, "prep") if tree.words[p] == "of" for c in tree.of(p, "pobj")]:
                i = partitive[0]  # "two of the dogs"
            else:
                return self.antecedent(i)
        return []

    def relative_head(self, i: int) -> int | None:
        """The noun that the clause of a relative pronoun belongs to."""
        tree = self.tree
        for _ in range(8):
            if tree.dep[i] == "relcl":
                return tree.head[i]
            if tree.head[i] == i:
                return None
            i = tree.head[i]
        return None

    def antecedent(self, i: int) -> list[int]:
        """What a third-person pronoun stands for; none where that is not clear."""
        tree = self.tree
        word = tree.words[i]
        if tree.pos[i] != "PRON" or word not in words.MASCULINE | words.FEMININE | words.NEUTER | words.PLURAL:
            return []
        possessive = tree.dep[i] == "poss"
        subjects, verb = self._subjects_above(i, tree.head[i])
        excluded = [] if possessive or tree.dep[i] in ("nsubj", "nsubjpass") else subjects
        for _ in range(4):
            if possessive and (fitting := [s for s in subjects if self._agrees(word, s)]):
                return fitting
            subjects, verb = self._subjects_above(i, tree.head[verb])
        candidates = [
            j
            for j in range(max(0, i - REACH), i)
            if j in self.nominals.first and self._agrees(word, j) and j not in excluded
        ]
        return candidates if len(candidates) == 1 else []

    def _subjects_above(self, i: int, verb: int) -> tuple[list[int], int]:
        """The subjects before a pronoun of the nearest verb that has any, going up from `verb`; and that verb."""
        tree = self.tree
        for _ in range(8):
            if subjects := [s for s in tree.of(verb, "nsubj", "nsubjpass") if s < i]:
                return subjects, verb
            verb = tree.head[verb]
        return [], verb

    def _agrees(self, pronoun: str, j: int) -> bool:
        tree = self.tree
        if j not in self.nominals.first:
            return False
        word, plural = tree.words[j], tree.tag[j] in ("NNS", "NNPS")
        if pronoun in words.PLURAL:
            return plural or word in words.PERSON  # "a person on their bicycle"
        if plural:
            return False
        if pronoun in words.NEUTER:
            return not words.is_person(word)
        others = words.FEMALE if pronoun in words.MASCULINE else words.MALE
        return word not in others and (words.is_person(word) or tree.pos[j] == "PROPN") and word not in words.TIME
