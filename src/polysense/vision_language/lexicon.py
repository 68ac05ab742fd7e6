"""Nouns in one form, so that the tag of a region and the word of a text meet (CMAL's synonym and plural lexicon)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from polysense.errors import PolysenseError

_MOST_BYTES = 16 * 2**20
_MOST_CACHED = 2**16
ARTICLES = frozenset({"a", "an", "the"})


def _marks() -> str:
    """Combining marks as ranges of a regular expression; Python's \\w leaves them out and would cut words there."""
    marks = [c for c in (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0)) if unicodedata.category(chr(c))[0] == "M"]
    runs = [list(run) for _, run in groupby(enumerate(marks), lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0][1])}-{chr(run[-1][1])}" for run in runs)


# Letters and digits with their marks, with inner apostrophes; a possessive "'s" belongs to no word and is passed over.
_LETTER = rf"(?:[^\W_][{_marks()}\u200c\u200d]*)"
WORD = re.compile(rf"({_LETTER}+(?:['’](?![sS]\b){_LETTER}+)*)(?:['’][sS]\b)?")
"""One word of a text, its group 1; the whole match takes a possessive "'s" with it."""

# Plurals that no rule below finds, each after its singular.
_IRREGULAR = """
ox oxen, die dice, bureau bureaus, bureau bureaux, louse lice, cactus cacti, fungus fungi, octopus octopi, radius radii,
tableau tableaux,
plateau plateaux, gateau gateaux, crisis crises, oasis oases, medium media, phenomenon phenomena,
menu menus, emu emus, gnu gnus, ski skis, taxi taxis, bikini bikinis, kiwi kiwis, zucchini zucchinis, panini paninis,
khaki khakis, safari safaris, yeti yetis, sari saris, alibi alibis, salami salamis,
movie movies, cookie cookies, brownie brownies, zombie zombies, plushie plushies, selfie selfies, hoodie hoodies,
veggie veggies,
smoothie smoothies, birdie birdies, genie genies, collie collies, magpie magpies, potpie potpies, necktie neckties,
bowtie bowties, pixie pixies, foodie foodies, hippie hippies, rookie rookies, goalie goalies, calorie calories,
prairie prairies, beanie beanies, cutie cuties, talkie talkies, onesie onesies, bootie booties, cabbie cabbies,
scarf scarves, wharf wharves, dwarf dwarves, hoof hooves, life lives, elf elves, self selves,
axe axes, headache headaches, toothache toothaches, cache caches, avalanche avalanches, quiche quiches,
mustache mustaches, moustache moustaches, niche niches, brioche brioches, porsche porsches,
quiz quizzes, gas gases, lens lenses, iris irises, canvas canvases, atlas atlases, thermos thermoses, bus busses,
toe toes, tiptoe tiptoes, canoe canoes, hoe hoes, foe foes, oboe oboes, floe floes,
fuse fuses, muse muses, ruse ruses, use uses, excuse excuses
"""
_SINGULARS = {
    plural: singular for singular, plural in (pair.split() for pair in _IRREGULAR.replace("\n", " ").split(","))
}
# Words with the ending of a plural that are none, or are another thing without it ("shorts").
_NO_PLURALS = """
has was its yes does goes always perhaps texas paris news series species means cosmos chaos thermos rhinoceros gas
canvas atlas lens christmas molasses headquarters barracks gallows gymnastics athletics physics mathematics mars
glasses sunglasses eyeglasses spectacles scissors pants trousers jeans shorts tights overalls pajamas pyjamas pliers
tongs tweezers binoculars headphones clothes ramen omen specimen abdomen regimen stamen
"""
_UNCHANGED = frozenset(_NO_PLURALS.split())
_ENDINGS = (  # the first that a word has decides: (ending of the plural, what stands in its place)
    ("women", "woman"),
    ("men", "man"),
    ("children", "child"),
    ("people", "person"),
    ("feet", "foot"),
    ("teeth", "tooth"),
    ("mice", "mouse"),
    ("geese", "goose"),
    ("knives", "knife"),
    ("wives", "wife"),
    ("shelves", "shelf"),
    ("wolves", "wolf"),
    ("leaves", "leaf"),
    ("loaves", "loaf"),
    ("halves", "half"),
    ("calves", "calf"),
    ("thieves", "thief"),
    ("shoes", "shoe"),
    ("oes", "o"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("xes", "x"),
    ("sses", "ss"),
    ("zzes", "zz"),
    ("tzes", "tz"),
    ("ouses", "ouse"),
    ("auses", "ause"),
    ("uses", "us"),
    ("ss", "ss"),
    ("us", "us"),
    ("is", "is"),
    ("s", ""),
)


def singular(word: str) -> str:
    """The singular of an English noun in lower case; a word that is no plural comes back as it is.

    Rules for -s, -es, -ies and -ves, with a table of the nouns that keep to none ("women", "cookies", "buses") and of
    words that only look like plurals ("glass", "tennis", "scissors"). Verbs are not told apart ("runs" gives "run").
    """
    if word in _SINGULARS:
        return _SINGULARS[word]
    if len(word) < 3 or word in _UNCHANGED:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending, instead in _ENDINGS:
        if word.endswith(ending):
            return word.removesuffix(ending) + instead
    return word


class Lexicon:
    """Which words and phrases name the same kind of object.

    Each word is brought to lower case (Unicode NFKC, then case folding), the head noun of a phrase, its last word, to
    its singular, and then names that the table of synonyms holds to their canonical one. Names are looked up without
    the spaces and hyphens in them, so that "fire truck", "fire-truck" and "firetruck" are one name.

    Args:
        table: canonical name by synonym; both are words or phrases in the singular.

    Attributes:
        longest: characters of the longest name that the table knows, without spaces.

    Raises:
        PolysenseError: a name without a letter or digit, or a synonym that stands for two names.
    """

    def __init__(self, table: Mapping[str, str]) -> None:
        self._names: dict[str, tuple[str, ...]] = {}
        self._forms: dict[str, tuple[str, str]] = {}
        entries = {name: _folded(canonical) for name, canonical in table.items()}
        entries |= {canonical: _folded(canonical) for canonical in table.values()}
        for name, target in entries.items():
            key = "".join(_folded(name))
            if not key or not target:
                raise PolysenseError(f"synonyms: {name!r} -> {' '.join(target)!r}: no word there; give words")
            if self._names.setdefault(key, target) != target:
                raise PolysenseError(
                    f"synonyms: {name!r} stands for {' '.join(self._names[key])!r} and {' '.join(target)!r}; keep one"
                )
        # A long name is also known by what its words are brought to, since texts come to the look-up like that.
        for name, target in entries.items():
            self._names.setdefault("".join(self._phrase(_folded(name))), target)
        self._forms.clear()
        self.longest = max((len(key) for key in self._names), default=0)

    @classmethod
    def default(cls) -> Lexicon:
        """The built-in lexicon: everyday objects, as COCO and Visual Genome name them, and spelling variants."""
        return cls(_default_table())

    @classmethod
    def load(cls, file: Path | str, extend: bool = True) -> Lexicon:
        """A lexicon with one's own synonyms.

        Args:
            file: UTF-8 text; a line is a canonical name, a tab, and its synonyms with commas between; empty lines and
                those that start with "#" are passed over.
            extend: add to the built-in synonyms, and win where the two disagree; else take the file alone.

        Raises:
            PolysenseError: the file cannot be read, is over 16 MiB, or a line of it is broken or contradicts another.
        """
        path = Path(file).expanduser()
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise PolysenseError(f"{path}: over 16 MiB, too long for a table of synonyms; check the path")
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise PolysenseError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
        except OSError as error:
            raise PolysenseError(f"{path}: cannot be read ({error.strerror}); check the path and its rights") from None
        own = _read_table(text, str(path))
        try:
            return cls(_extended(_default_table(), own) if extend else own)
        except PolysenseError as error:
            raise PolysenseError(f"{path}: {error}") from None

    def normal(self, phrase: str) -> tuple[str, ...]:
        """The canonical words of a tag or phrase: lower case, head noun singular, synonyms and spellings as one.

        A leading article falls away. () where the phrase holds no word.
        """
        words = [match[1] for match in WORD.finditer(phrase)]
        while words and words[0].casefold() in ARTICLES:
            del words[0]
        if not words:
            return ()
        forms = self._phrase(words)
        return self._names.get("".join(forms)) or tuple(
            part for form in forms for part in self._names.get(form, (form,))
        )

    def forms(self, word: str) -> tuple[str, str]:
        """One word's key inside a phrase, and its key as the phrase's head; `joined` takes them joined."""
        found = self._forms.get(word)
        if found is None:
            if len(self._forms) >= _MOST_CACHED:
                self._forms.clear()
            folded = "".join(_folded(word))
            head = folded if folded in self._names else singular(folded)
            found = self._forms[word] = (self._canonical(folded), self._canonical(head))
        return found

    def joined(self, forms: str) -> str:
        """The key of a phrase, from the forms of its words, all but the last as inside a phrase, without spaces."""
        return self._canonical(forms)

    def _phrase(self, words: Sequence[str]) -> list[str]:
        return [*(self.forms(word)[0] for word in words[:-1]), self.forms(words[-1])[1]]

    def _canonical(self, key: str) -> str:
        names = self._names.get(key)
        return key if names is None else "".join(names)


def _folded(phrase: str) -> tuple[str, ...]:
    """Lower-case words; NFKC also joins letters with their marks and makes full-width letters plain."""
    return tuple(
        unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", match[1]).casefold()).replace("’", "'")
        for match in WORD.finditer(phrase)
    )


def _default_table() -> dict[str, str]:
    source = files("polysense.vision_language") / "data" / "synonyms.tsv"
    return _read_table(source.read_text(encoding="utf-8"), "the built-in synonyms")


def _read_table(text: str, source: str) -> dict[str, str]:
    """Canonical name by synonym, each name with single spaces, from the lines of a file."""
    table: dict[str, str] = {}
    canonicals: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{source}, line {number}"
        canonical, tab, rest = line.partition("\t")
        canonical, synonyms = _plain(canonical), [_plain(name) for name in rest.split(",")]
        if not tab or "\t" in rest or not canonical or not all(synonyms):
            raise PolysenseError(f"{where}: give a name, a tab, and its synonyms with commas between")
        canonicals[canonical] = number
        for name in synonyms:
            if table.setdefault(name, canonical) != canonical:
                raise PolysenseError(f"{where}: {name!r} is already a synonym of {table[name]!r}; keep one")
    for name in table:
        if name in canonicals:
            raise PolysenseError(
                f"{source}, line {canonicals[name]}: {name!r} is also a synonym of {table[name]!r}; join the two lines"
            )
    return table


def _plain(name: str) -> str:
    """A name as the table spells it: its folded words with single spaces; "" where there is none."""
    return " ".join(_folded(name))


def _extended(table: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """A table with one's own entries, which win; canonical names that the own ones rename follow them."""
    renamed = {name.replace(" ", ""): canonical for name, canonical in own.items()}
    taken = set(renamed) | {canonical.replace(" ", "") for canonical in own.values()}
    merged = dict(own)
    for name, canonical in table.items():
        target = renamed.get(canonical.replace(" ", ""), canonical)
        # A canonical name that is renamed becomes a synonym, in its own spelling.
        for other in (name, canonical):
            if other != target and (other == canonical or other.replace(" ", "") not in taken):
                merged.setdefault(other, target)
    return merged
