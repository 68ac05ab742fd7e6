"""Closed lists of English words that the rules ask for, in lower case."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LOCATIVE = _words(
    "aboard above across against along alongside amid amidst among amongst around at atop before behind below beneath "
    "beside besides between beyond by down in inside into near nearby next off on onto opposite out outside over past "
    "through throughout toward towards under underneath up upon within adjacent close away far"
)
"""Prepositions, and adverbs and adjectives before one ("next to"), that say where a thing is."""

SPATIAL = _words(
    "back base bottom center centre corner edge end foot front inside left middle midst outside rear right side sides "
    "top"
)
"""Nouns that are part of a relation in "in (the) NOUN of"."""

QUANTITY = _words(
    "array assortment bit bunch couple crowd dozen dozens flock group groups handful herd hundreds kind kinds lot lots "
    "majority millions number numbers pack pair pairs plenty range row rows series set sort sorts thousands type types "
    "variety"
)
"""Nouns that, before "of", say how many of something there are."""

TIME = _words(
    "afternoon autumn century day days decade evening fall friday hour hours january february march april may june "
    "july august september october november december midnight minute minutes moment monday month months morning night "
    "noon past quarter saturday season second seconds spring summer sunday thursday time times today tomorrow tuesday "
    "wednesday week weekend weeks winter year years yesterday"
)
"""What no thing is in, on or at in space."""

POSTURE = _words(
    "'m 're 's am are attached be been being crouched crouching displayed gathered hang hanging hangs hung is kneel "
    "kneeling kneels knelt laid lain lay laying lays leaned leaning leans lie lies live lived lives living located "
    "lying mounted park parked perch perched perches perching placed positioned remain remained remaining remains "
    "rest rested resting rests sat seated set sit sits sitting situated sprawled squat squatting stacked stand "
    "standing stands stay stayed staying stays stood surrounded tucked was were"
)
"""Verbs that with a locative preposition say no more than where a thing is."""

PLACING = _words(
    "drop dropped dropping drops hang hanging hangs lay laid lays laying mount mounts mounted place placed places "
    "placing pour poured pouring pours put puts putting set sets setting spread spreads spreading throw throwing "
    "throws thrown threw"
)
"""Verbs whose preposition says where their object, not their subject, is."""

OWNING = _words("has have had having 've own owned owning owns possess possessed possesses possessing")
HAVING = _words("has have had having 've 's 'd")
BELONGING = _words("belong belonged belonging belongs")

BEING = _words("am are be been being is was were 's 're 'm s")
COPULAR = BEING | _words(
    "appear appeared appears appearing became become becomes becoming feel feeling feels felt get gets getting got "
    "look looked looking looks prove proved proves remain remained remains remaining seem seemed seems seeming smell "
    "smells sound sounded sounding sounds stay stayed stays staying taste tastes tasted turned"
)
EMPTY_VERBS = (
    BEING | OWNING | _words("did do does doing done going happen happened happens let lets occur occurs seem seems")
)
"""Verbs that say nothing of a thing on their own."""

NEGATION = _words("not n't never no 'nt")

BRACKETS = _words("-lrb- -rrb- -lsb- -rsb- -lcb- -rcb-")
"""How treebanks, and SST-2, write brackets."""

MALE = _words("boy boys brother dad father gentleman grandfather guy he him his husband king man son uncle mr. mr")
FEMALE = _words(
    "actress aunt bride daughter female girl grandmother lady mother mom queen she sister wife waitress woman ms. mrs. "
    "ms mrs"
)
PERSON = _words(
    "actor adult artist athlete baby baker biker catcher chef child cook cyclist dancer director doctor driver farmer "
    "friend individual infant kid musician officer owner parent performer person player policeman rider singer skater "
    "skateboarder skier snowboarder someone somebody student surfer teacher teenager toddler victim worker"
)

MASCULINE = _words("he him his")
FEMININE = _words("she her hers")
NEUTER = _words("it its")
PLURAL = _words("they them their theirs")
RELATIVE = _words("who whom which that whose")

TORN = _words("t s d m ll re ve")
APOSTROPHES = _words("' ’ `")
"""What is left of "won't" and "it's" in texts that are torn into words at the apostrophe."""


def is_person(word: str) -> bool:
    """Whether a noun is known to name a person."""
    known = word in MALE or word in FEMALE or word in PERSON
    return known or word.endswith(("man", "woman", "boy", "girl", "ist", "person"))
