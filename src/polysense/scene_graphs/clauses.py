"""What verbs, prepositions and possessives say of the entities of a text."""

from __future__ import annotations

from dataclasses import dataclass

from polysense.scene_graphs import words
from polysense.scene_graphs.nominals import ATTRIBUTIVE, MOST_CONJUNCTS, Nominals
from polysense.scene_graphs.references import References
from polysense.scene_graphs.tree import NOMINAL, Tree

INHERITING = ("conj", "xcomp", "advcl", "pcomp", "ccomp", "dep", "prep")
"""Clauses without a subject that have that of the clause they depend on."""

Words = tuple[int, int] | None
"""First and last word of what says a relation; None where no word does."""


@dataclass(frozen=True, slots=True)
class Place:
    """A preposition, its words, and what it leads to."""

    first: int
    last: int
    entities: list[int]
    kind: str
    agent: bool
    timed: bool


class Clauses:
    """Walks the words of a text and collects what they say.

    Attributes:
        relations: (source, target, kind, words) between entities, by their head nouns.
        attributes: (entity, first word, last word, kind, words) of what is said of entities by predicates.
    """

    def __init__(self, tree: Tree, nominals: Nominals) -> None:
        self.tree, self.nominals = tree, nominals
        self.references = References(tree, nominals)
        self.relations: list[tuple[int, int, str, Words]] = []
        self.attributes: list[tuple[int, int, int, str, Words]] = []
        self._subjects: dict[int, list[int]] = {}
        for i in range(len(tree)):
            if tree.is_clause(i):
                self._verb(i)
            elif tree.children[i] and tree.pos[i] not in ("ADP", "PUNCT", "DET"):
                self._noun(i)

    def _relate(self, sources: list[int], targets: list[int], kind: str, said: Words) -> None:
        self.relations += [(s, t, kind, said) for s in sources for t in targets if s != t]

    # Nouns, and adjectives that lead on ("full of").

    def _noun(self, i: int) -> None:
        tree = self.tree
        here = [i] if i in self.nominals.first else []
        for owner in tree.of(i, "poss"):
            mark = next(iter(tree.of(owner, "case")), None)
            pronoun = tree.pos[owner] in ("PRON", "DET")
            said = (owner, owner) if pronoun else None if mark is None else (mark, mark)
            self._relate(self.references.entities(owner), here, "possession", said)
        if here:
            for appositive in tree.of(i, "appos"):
                self._relate(here, self.references.entities(appositive), "other", None)
            for place in self._places(i):
                said = (place.first, place.last)
                kind = "possession" if tree.words[place.first] == "with" else place.kind
                self._relate(here, place.entities, kind, said)
            for adjective in tree.of(i, "acl", "relcl", "amod"):
                if not tree.is_clause(adjective) and adjective > i:
                    self._predicate(here, adjective, None)
        for subject in tree.of(i, "nsubj"):
            # A clause without a verb: "with the door open".
            if tree.pos[i] in ATTRIBUTIVE and tree.dep[i] != "relcl":
                self._predicate(self.references.entities(subject), i, None)

    def _predicate(self, subjects: list[int], adjective: int, said: Words) -> None:
        """An adjective that is said of entities: "red"; "full of water" leads on to what it is full of."""
        places = self._places(adjective)
        if not (self.tree.words[adjective] in words.LOCATIVE and places):
            for first, last in self.nominals.adjectives(adjective):
                # A negation belongs to what is denied: "is" says that it is "not good".
                verb = said and (said[0], min(said[1], first - 1) if said[0] < first else said[1])
                self.attributes += [(subject, first, last, "attribute", verb) for subject in subjects]
        for place in places:
            kind = "position" if self.tree.words[adjective] in words.LOCATIVE else "other"
            first = adjective if adjective < place.first else place.first
            self._relate(subjects, place.entities, kind, (first, place.last))

    # Verbs.

    def _verb(self, v: int) -> None:
        tree = self.tree
        subjects, passive = self.subjects(v), self.is_passive(v)
        said = self._said(v)
        objects = self._objects(v)
        places = self._places(v)
        word = tree.words[v]
        before = len(self.relations) + len(self.attributes)
        for kind, entities in objects:
            self._relate(subjects, entities, kind, said)
        direct = [entity for kind, entities in objects for entity in entities if kind != "other"]
        sources = direct if direct and (word in words.PLACING or not subjects) else subjects
        for place in places:
            if place.agent:
                owning = "possession" if word in words.OWNING else "action"
                self._relate(place.entities, subjects, owning, self._joined(v, said, place))
            elif direct:
                self._relate(sources, place.entities, place.kind, (place.first, place.last))
            elif word in words.BELONGING:
                self._relate(place.entities, sources, "possession", self._joined(v, said, place))
            else:
                likened = word in words.COPULAR and tree.words[place.first] in ("as", "like")
                kind = place.kind if word in words.POSTURE or likened or place.timed else "action"
                self._relate(sources, place.entities, kind, self._joined(v, said, place))
        for adjective in self._adjectives(v):
            self._predicate(direct if direct and tree.dep[adjective] == "oprd" else subjects, adjective, said)
        clausal = tree.of(v, "xcomp", "ccomp", "acomp", "attr", "oprd")
        silent = before == len(self.relations) + len(self.attributes)
        if silent and not clausal and not objects and word not in words.EMPTY_VERBS:
            first, last = said
            if passive:
                auxiliary = next(iter(tree.of(v, "auxpass")), None)
                by = None if auxiliary is None else (auxiliary, auxiliary)
                self.attributes += [(subject, first, last, "attribute", by) for subject in subjects]
            else:
                self.attributes += [(subject, first, last, "action", None) for subject in subjects]

    def subjects(self, v: int) -> list[int]:
        """The entities that a verb is said of: those that act, or, of a passive, those that it is done to."""
        chain: list[int] = []
        while v not in self._subjects:
            chain.append(v)
            own = self._own_subjects(v)
            above = self._governing_verb(v) if own is None else None
            if above is None:
                self._subjects[v] = own or []
            else:
                v = above
        self._subjects.update(dict.fromkeys(chain, self._subjects[v]))
        return self._subjects[v]

    def _governing_verb(self, v: int) -> int | None:
        tree = self.tree
        for _ in range(3):
            if tree.dep[v] not in INHERITING:
                return None
            v = tree.head[v]
            if tree.is_clause(v):
                return v
            if tree.dep[v] == "acl" or tree.pos[v] not in ("ADP", "ADJ", "SCONJ"):
                return None
        return None

    def _own_subjects(self, v: int) -> list[int] | None:
        """None where a clause has no subject of its own."""
        tree = self.tree
        if subjects := tree.of(v, "nsubj", "nsubjpass"):
            return self.references.entities(subjects[0])
        if tree.of(v, "expl"):
            return [e for c in tree.of(v, "attr", "dobj") for e in self.references.entities(c)]
        if tree.of(v, "csubj", "csubjpass"):
            return []
        # "A man, wearing a hat": where there is no main verb, what seems to belong to one belongs to the noun.
        if tree.dep[v] in ("acl", "relcl") or (tree.dep[v] == "advcl" and tree.pos[tree.head[v]] in NOMINAL):
            return self._described(v)
        return None

    def _described(self, v: int) -> list[int]:
        """The noun of a participle, and those coordinated before it: "a man and a woman riding horses"."""
        tree, noun = self.tree, self.tree.head[v]
        found = self.references.entity(noun)
        for _ in range(MOST_CONJUNCTS - 1):
            before = tree.head[noun]
            if tree.dep[noun] != "conj" or any(
                c > before and tree.dep[c] not in ("cc", "conj", "punct") for c in tree.children[before]
            ):
                break
            # "wearing a hat and a woman holding a dog": an object is not coordinated with who acts.
            persons = words.is_person(tree.words[noun]) and words.is_person(tree.words[before])
            if not persons and tree.dep[before] not in ("ROOT", "conj", "nsubj", "nsubjpass"):
                break
            noun = before
            found = self.references.entity(noun) + found
        return found

    def is_passive(self, v: int) -> bool:
        """Whether the subject of a verb is what the action is done to."""
        tree = self.tree
        if tree.of(v, "auxpass", "nsubjpass", "agent"):
            return True
        if tree.tag[v] != "VBN" or tree.of(v, "nsubj"):
            return False
        governor = tree.head[v]
        if any(tree.words[a] in words.HAVING for a in tree.of(v, "aux")):
            return False
        if tree.dep[v] == "conj" and tree.is_clause(governor):
            return bool(tree.of(governor, "auxpass", "nsubjpass", "agent"))
        return True

    def _objects(self, v: int) -> list[tuple[str, list[int]]]:
        """Kinds of relation, and the entities that a verb has them to."""
        tree, word = self.tree, self.tree.words[v]
        kind = "possession" if word in words.OWNING else "other" if word in words.COPULAR else "action"
        found = [(kind, self.references.entities(c)) for c in tree.of(v, "dobj", "dative") if tree.pos[c] != "ADP"]
        named = [c for c in tree.of(v, "attr", "oprd") if tree.pos[c] not in ("ADJ", "VERB", "NUM")]
        found += [("other", self.references.entities(c)) for c in named]
        if tree.dep[v] == "relcl" and not found and (gap := self._gap(v)) is not None:
            found.append((kind, self.references.entity(gap)))
        return [(kind, entities) for kind, entities in found if entities]

    def _gap(self, v: int) -> int | None:
        """The noun that a clause without relative pronoun has as its object: "the ball the dog chases"."""
        tree = self.tree
        own = tree.of(v, "nsubj", "dobj", "nsubjpass", "attr", "acomp", "xcomp", "ccomp", "expl", "auxpass")
        if len(own) != 1 or tree.dep[own[0]] != "nsubj" or any(tree.words[c] in words.RELATIVE for c in own):
            return None
        if any(not tree.children[p] for p in tree.of(v, "prep")) or tree.of(v, "advmod", "mark"):
            return None
        return tree.head[v]

    def _adjectives(self, v: int) -> list[int]:
        tree = self.tree
        found = tree.of(v, "acomp")
        return found + [c for c in tree.of(v, "attr", "oprd") if tree.pos[c] in ("ADJ", "VERB", "NUM")]

    def _said(self, v: int) -> tuple[int, int]:
        """A verb with its particle and its negation, where these stand next to it."""
        tree, first, last = self.tree, v, v
        if v > 0 and tree.head[v - 1] == v and tree.words[v - 1] in words.NEGATION:
            first = v - 1
        while last + 1 < len(tree) and tree.head[last + 1] == v:
            negation = tree.words[last + 1] in words.NEGATION and tree.pos[v] == "AUX"
            if tree.dep[last + 1] != "prt" and not negation:
                break
            last += 1
        return first, last

    def _joined(self, v: int, said: tuple[int, int], place: Place) -> Words:
        """Verb and preposition, where nothing but a few adverbs stands between them; else the preposition."""
        tree, between = self.tree, range(v + 1, place.first)
        near = v < place.first and len(between) <= 3 and all(tree.head[i] in (v, v + 1) for i in between)
        if near and not any(tree.pos[i] in (*NOMINAL, "PUNCT", "CCONJ", "PRON") for i in between):
            return said[0], place.last
        return place.first, place.last

    # Prepositions.

    def _places(self, governor: int) -> list[Place]:
        """The prepositions of a word, with what they lead to."""
        tree = self.tree
        if governor in self.nominals.through:
            return []
        firsts = [c for c in tree.of(governor, "prep", "agent", "dative") if tree.pos[c] not in NOMINAL]
        for first in firsts:
            firsts += [c for c in tree.of(first, "conj") if tree.pos[c] in ("ADP", "SCONJ") and len(firsts) < 16]
        firsts += [c for c in tree.of(governor, "advmod", "prt") if tree.of(c, "prep") and tree.pos[c] != "ADJ"]
        found = []
        for first in firsts:
            place = self._place(first)
            if place.entities:
                found.append(place)
        return found

    def _place(self, first: int) -> Place:
        """Follows a preposition to its entities: "out of the house", "in front of a house"."""
        tree = self.tree
        last, targets = first, []
        for _ in range(4):
            if targets := tree.of(last, "pobj"):
                spatial = targets[0] in self.nominals.through and tree.words[targets[0]] in words.SPATIAL
                if not spatial:
                    break
                last = tree.of(targets[0], "prep")[0]
            elif onward := tree.of(last, "prep"):
                last = onward[0]
            else:
                break
        entities = [entity for target in targets for entity in self.references.entities(target)]
        if not tree.children[first] and tree.dep[first] == "prep":
            clause = tree.head[first]
            if tree.dep[clause] == "relcl":  # "the mat the cat sat on"
                entities = self.references.entity(tree.head[clause])
        timed = bool(targets) and tree.words[targets[0]] in words.TIME
        locative = tree.words[first] in words.LOCATIVE and not timed
        # "What side of the street is it on?": what goes before its preposition is no part of these words.
        last = max(first, last)
        return Place(first, last, entities, "position" if locative else "other", tree.dep[first] == "agent", timed)
