"""Features of spans: against a slow reading of each text alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import support
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.prototypes.mentions import Mention, MentionExtractor, read_mentions
from polysense.prototypes.reading import Reading
from polysense.prototypes.windows import cut_windows
from polysense.text import Text
from polysense.towers.packing import PackedTokens
from polysense.towers.registry import open_tower
from polysense.towers.tower import Tower

LONG = " ".join(support.sentences(30, 9, seed=4))
TEXTS: list[Text] = ["the yellow bird sings", ("a red cat", "the dog sits on the mat"), LONG, "", "🐕"]
EXACT = Reading(precision="exact")


@pytest.fixture(scope="module")
def tower(clip_folder: Path) -> Tower:
    return open_tower(str(clip_folder))


def mentions() -> list[Mention]:
    """Words, parts of words, several words, and nothing."""
    spans = [(0, 0, 4, 10), (0, 0, 11, 15), (0, 0, 5, 7), (0, 0, 3, 4), (1, 0, 2, 9), (1, 1, 4, 17), (2, 0, 300, 330)]
    spans += [(2, 0, 0, len(LONG)), (3, 0, 0, 0), (4, 0, 0, 1)]
    return [Mention(TEXTS[text], part, start, end) for text, part, start, end in spans]


def slow_feature(tower: Tower, mention: Mention) -> tuple[np.ndarray, int]:
    """The mean over the tokens of every window, one window a call, one token at a time."""
    rows = []
    for window in cut_windows(
        tower.tokenizer, [mention.text], tower.max_length, "window", tower.joins_pairs, tower.clean_up
    ):
        output = tower.encode(PackedTokens.pack([window.input_ids]))
        for place, (part, start, end) in enumerate(window.spans):
            characters = set(range(start, end)) & set(range(mention.start, mention.end))
            if part == mention.part and characters and output.candidates[place]:
                rows.append(output.states[place].numpy())
    return (np.mean(rows, axis=0), 1) if rows else (np.zeros(tower.width, np.float32), 0)


def test_a_mentions_feature_is_the_mean_of_its_tokens(tower: Tower) -> None:
    items = mentions()
    read: list[int] = []
    found = read_mentions(tower, EXACT, items, read.append)
    assert sum(read) == len(items)
    for row, mention in enumerate(items):
        feature, count = slow_feature(tower, mention)
        np.testing.assert_allclose(found.features[row, 0], feature, rtol=1e-4, atol=1e-5)
        assert found.counts[row] == count
        assert tuple(found.spans[row, 0]) == (mention.part, mention.start, mention.end)
    assert found.counts.tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 0, found.counts[-1]]


def test_the_words_around_a_mention_count(tower: Tower) -> None:
    items = [Mention("the red cat", 0, 8, 11), Mention("a yellow cat", 0, 9, 12)]
    features = read_mentions(tower, EXACT, items).features[:, 0]
    assert not np.allclose(features[0], features[1], atol=1e-3)


def test_no_mentions(tower: Tower) -> None:
    assert read_mentions(tower, EXACT, []).features.shape == (0, 1, tower.width)


def test_they_are_stored_beside_the_prototypes_and_only_looked_up(tower: Tower, tmp_path: Path) -> None:
    items = mentions()
    extractor = MentionExtractor(PrototypeExtractor(tower, store=tmp_path))
    counts = extractor.prepare(items)
    assert (counts.items, counts.read) == (len(items), len(items))
    again = MentionExtractor(PrototypeExtractor(tower, store=tmp_path))
    again.handle.release()
    assert again.prepare(items).read == 0
    again.handle._tower = None
    np.testing.assert_array_equal(again.batch(items).features, extractor.batch(items).features)
    assert again.handle._tower is None  # nothing had to be read
    np.testing.assert_allclose(
        extractor.batch(items).features, read_mentions(tower, EXACT, items).features, rtol=2e-3, atol=2e-3
    )
    assert extractor.store is not None
    prototypes = PrototypeExtractor(tower, store=tmp_path)
    assert prototypes.store is not None
    assert extractor.store.folder != prototypes.store.folder


def test_k_and_layers_do_not_change_them(tower: Tower, tmp_path: Path) -> None:
    MentionExtractor(PrototypeExtractor(tower, Reading(k=4), tmp_path)).prepare(mentions())
    other = PrototypeExtractor(tower, Reading(k=2, layers="all"), tmp_path)
    assert MentionExtractor(other).prepare(mentions()).read == 0
    exact = PrototypeExtractor(tower, EXACT, tmp_path)
    assert MentionExtractor(exact).prepare(mentions()).read == len(mentions())


def test_every_part_of_a_mention_is_in_its_key(tower: Tower) -> None:
    extractor = MentionExtractor(PrototypeExtractor(tower))
    items = [
        Mention("the cat", 0, 0, 3), Mention("the cat", 0, 0, 7), Mention("the cat", 0, 4, 7),
        Mention("a cat", 0, 0, 3), Mention(("the cat", "a"), 0, 0, 3), Mention(("the cat", "a"), 1, 0, 3),
    ]  # fmt: skip
    assert len({tuple(key) for key in extractor.keys(items).tolist()}) == len(items)
