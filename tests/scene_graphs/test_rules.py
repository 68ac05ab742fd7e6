"""The graphs of sentences, node by node and edge by edge."""

from __future__ import annotations

import pytest

from polysense.scene_graphs.graph import SceneGraph
from polysense.scene_graphs.parser import SceneGraphParser
from polysense.text import Text

PARSER = SceneGraphParser()


def drawn(text: Text) -> tuple[str, set[str]]:
    """The nodes in order, attributes marked with ~; and "source -kind[words]> target" of each relation."""
    graph = next(PARSER.parse([text]))
    assert SceneGraph.from_json(graph.to_json()) == graph
    parts = text if isinstance(text, tuple) else (text,)
    names = [("~" if n.kind == "attribute" else "") + parts[n.part][n.start : n.end] for n in graph.nodes]
    edges = {
        f"{names[r.source]} -{r.kind}[{parts[r.part][r.start : r.end]}]> {names[r.target]}" for r in graph.relations
    }
    assert len(edges) == len(graph.relations)
    return ", ".join(names), edges


RULES = {
    "verb and preposition are one, compounds are part of the entity": (
        "A dog barks at the red traffic light.",
        "dog, ~red, traffic light",
        {"dog -action[barks at]> traffic light", "traffic light -attribute[]> ~red"},
    ),
    "predicate adjective": ("The car is red.", "car, ~red", {"car -attribute[is]> ~red"}),
    "other copular verbs": ("The man looks tired.", "man, ~tired", {"man -attribute[looks]> ~tired"}),
    "predicate adjectives are distributed": (
        "The table is clean and ready.",
        "table, ~clean, ~ready",
        {"table -attribute[is]> ~clean", "table -attribute[is]> ~ready"},
    ),
    "negated": (
        "The dog is not happy with its bone.",
        "dog, ~not happy, bone",
        {"dog -attribute[is]> ~not happy", "dog -other[happy with]> bone", "dog -possession[its]> bone"},
    ),
    "adjective before its verb": (
        "How beautiful the flower is .",
        "~How beautiful, flower",
        {"flower -attribute[is]> ~How beautiful"},
    ),
    "negated before its noun": (
        "A not very good film is never dull.",
        "~not very good, film, ~never dull",
        {"film -attribute[]> ~not very good", "film -attribute[is]> ~never dull"},
    ),
    "negated verb, torn as in treebanks": (
        "the dog does n't like the cat .",
        "dog, cat",
        {"dog -action[n't like]> cat"},
    ),
    "preposition after what it leads to": (
        "What side of the street will the art pieces be on?",
        "street, art pieces",
        {"art pieces -position[be on]> street"},
    ),
    "passive": ("The cat was chased by a dog.", "cat, dog", {"dog -action[chased by]> cat"}),
    "second passive of a list": (
        "The house was painted and sold by a man.",
        "house, ~painted, man",
        {"house -attribute[was]> ~painted", "man -action[sold by]> house"},
    ),
    "passive without agent": ("The man was injured.", "man, ~injured", {"man -attribute[was]> ~injured"}),
    "passive participle": (
        "A cup placed on a table covered in snow.",
        "cup, table, snow",
        {"cup -position[placed on]> table", "table -action[covered in]> snow"},
    ),
    "subjects are distributed": (
        "A cat and a dog sit on the mat.",
        "cat, dog, mat",
        {"cat -position[sit on]> mat", "dog -position[sit on]> mat"},
    ),
    "objects are distributed": (
        "The dog bites the cat, the mouse and the bird.",
        "dog, cat, mouse, bird",
        {"dog -action[bites]> cat", "dog -action[bites]> mouse", "dog -action[bites]> bird"},
    ),
    "verbs are distributed": (
        "The boy opens the door and sees a horse.",
        "boy, door, horse",
        {"boy -action[opens]> door", "boy -action[sees]> horse"},
    ),
    "attributes are distributed": (
        "A blue and white umbrella.",
        "~blue, ~white, umbrella",
        {"umbrella -attribute[]> ~blue", "umbrella -attribute[]> ~white"},
    ),
    "a participle belongs to all who are coordinated": (
        "A man and a woman riding horses.",
        "man, woman, horses",
        {"man -action[riding]> horses", "woman -action[riding]> horses"},
    ),
    "but not to an object": (
        "a table with a hat and a woman holding a bag",
        "table, hat, woman, bag",
        {"table -possession[with]> hat", "table -possession[with]> woman", "woman -action[holding]> bag"},
    ),
    "possessive": ("the dog's tail", "dog, tail", {"dog -possession['s]> tail"}),
    "possessive pronoun": (
        "A boy holds his hat.",
        "boy, hat",
        {"boy -action[holds]> hat", "boy -possession[his]> hat"},
    ),
    "having": ("The woman has an umbrella.", "woman, umbrella", {"woman -possession[has]> umbrella"}),
    "belonging": ("The bone belongs to the dog.", "bone, dog", {"dog -possession[belongs to]> bone"}),
    "owned": ("The dog is owned by Rex.", "dog, Rex", {"Rex -possession[owned by]> dog"}),
    "with; an object's verb leaves its preposition to the subject": (
        "A man with a hat rides a horse on the beach.",
        "man, hat, horse, beach",
        {"man -possession[with]> hat", "man -action[rides]> horse", "man -position[on]> beach"},
    ),
    "unless it puts the object there": (
        "A man puts a cup on the table.",
        "man, cup, table",
        {"man -action[puts]> cup", "cup -position[on]> table"},
    ),
    "a preposition that is not of space": (
        "Two men are cutting bread with a knife.",
        "~Two, men, bread, knife",
        {"men -attribute[]> ~Two", "men -action[cutting]> bread", "men -other[with]> knife"},
    ),
    "time is no place": ("The dog runs on Monday.", "dog, Monday", {"dog -other[runs on]> Monday"}),
    "named": (
        "A dog called Rex runs through the park.",
        "dog, Rex, park",
        {"dog -other[called]> Rex", "dog -action[runs through]> park"},
    ),
    "relative pronoun as subject": (
        "The dog that barks at the cat is brown.",
        "dog, cat, ~brown",
        {"dog -action[barks at]> cat", "dog -attribute[is]> ~brown"},
    ),
    "relative pronoun as object": (
        "I like the ball that the dog is chasing.",
        "ball, dog",
        {"dog -action[chasing]> ball"},
    ),
    "whose": (
        "I know a man whose hat is red.",
        "man, hat, ~red",
        {"man -possession[whose]> hat", "hat -attribute[is]> ~red"},
    ),
    "relative clause without pronoun": (
        "I like the ball the dog is chasing.",
        "ball, dog",
        {"dog -action[chasing]> ball"},
    ),
    "stranded preposition": (
        "The mat the cat sat on is old.",
        "mat, cat, ~old",
        {"cat -position[sat on]> mat", "mat -attribute[is]> ~old"},
    ),
    "personal pronoun with one antecedent": (
        "The girl smiles because she has a ball.",
        "girl, ~smiles, ball",
        {"girl -action[]> ~smiles", "girl -possession[has]> ball"},
    ),
    "with two": (
        "The dog likes the cat, but it sees a bird.",
        "dog, cat, bird",
        {"dog -action[likes]> cat"},
    ),
    "sex of persons tells two apart": (
        "The boy saw the girl and her dog.",
        "boy, girl, dog",
        {"boy -action[saw]> girl", "boy -action[saw]> dog", "girl -possession[her]> dog"},
    ),
    "an object is not its own subject": ("The dog sees it.", "dog, ~sees", {"dog -action[]> ~sees"}),
    "first and second person": ("I saw him and you.", "", set()),
    "someone": ("Someone is playing the guitar.", "Someone, guitar", {"Someone -action[playing]> guitar"}),
    "groups": (
        "A large group of people stand in front of a building.",
        "~large group, people, building",
        {"people -attribute[]> ~large group", "people -position[stand in front of]> building"},
    ),
    "place nouns": (
        "The house on the left side of the road.",
        "house, road",
        {"house -position[on the left side of]> road"},
    ),
    "next to": ("The cat is next to the dog.", "cat, dog", {"cat -position[next to]> dog"}),
    "there is": ("There is a dog on the mat.", "dog, mat", {"dog -position[on]> mat"}),
    "is a": ("The man is a baker.", "man, baker", {"man -other[is]> baker"}),
    "looks like": ("The field looks like a sea.", "field, sea", {"field -other[looks like]> sea"}),
    "adjective behind its noun": (
        "A glass full of water.",
        "glass, ~full, water",
        {"glass -attribute[]> ~full", "glass -other[full of]> water"},
    ),
    "qualified and hyphenated attributes": (
        "A very tall 10-year-old boy with black-and-white dogs.",
        "~very tall, ~10-year-old, boy, ~black-and-white, dogs",
        {
            "boy -attribute[]> ~very tall",
            "boy -attribute[]> ~10-year-old",
            "boy -possession[with]> dogs",
            "dogs -attribute[]> ~black-and-white",
        },
    ),
    "a hyphenated adjective before a compound": (
        "The firm likes our long-term growth strategy.",
        "firm, ~long-term, growth strategy",
        {"firm -action[likes]> growth strategy", "growth strategy -attribute[]> ~long-term"},
    ),
    "a preposition before its adjective": (
        "To the boy the dog is kind.",
        "boy, dog, ~kind",
        {"dog -attribute[is]> ~kind", "dog -other[To]> boy"},
    ),
    "no": ("There are no cars.", "~no, cars", {"cars -attribute[]> ~no"}),
    "infinitive": ("The girl wants to eat an apple.", "girl, apple", {"girl -action[eat]> apple"}),
    "apposition": (
        "Robert Liscouski, the secretary, will oversee NCSD.",
        "Robert Liscouski, secretary, NCSD",
        {"Robert Liscouski -other[]> secretary", "Robert Liscouski -action[oversee]> NCSD"},
    ),
    "particle": ("A man is picking up the ball.", "man, ball", {"man -action[picking up]> ball"}),
    "intransitive verb": ("The dog barks loudly.", "dog, ~barks", {"dog -action[]> ~barks"}),
}


@pytest.mark.parametrize(("text", "nodes", "relations"), RULES.values(), ids=RULES.keys())
def test_rule(text: str, nodes: str, relations: set[str]) -> None:
    assert drawn(text) == (nodes, relations)


def test_an_attribute_that_two_share_is_one_node() -> None:
    """ "The dog and the cat are red": one node, two edges."""
    assert drawn("The dog and the cat are red.") == (
        "dog, cat, ~red",
        {"dog -attribute[are]> ~red", "cat -attribute[are]> ~red"},
    )


def test_pair() -> None:
    """Two texts in one graph, without an edge or a pronoun from one to the other."""
    nodes, relations = drawn(("A boy sleeps.", "He has a red ball."))
    assert nodes == "boy, ~sleeps, ~red, ball"
    assert relations == {"boy -action[]> ~sleeps", "ball -attribute[]> ~red"}
    graph = next(PARSER.parse([("A boy sleeps.", "He has a red ball.")]))
    assert [node.part for node in graph.nodes] == [0, 0, 1, 1]
    assert [relation.part for relation in graph.relations] == [0, 1]


@pytest.mark.parametrize("text", ["", " \n\t", "?!", "😀 😀😀", "very red", "he and she"])
def test_no_entities(text: str) -> None:
    assert next(PARSER.parse([text])) == SceneGraph.empty()
