"""Long texts cut into windows; where each token stands."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerBase

import support
from polysense.prototypes.windows import OVERLAP, Span, Window, cut_windows
from polysense.text import Text, clean
from polysense.towers.openai_text import clean_up

MAX = 12
HALVES = "\ud83d\ude00"
"""Both halves of an emoji, as two characters: what a careless decoder leaves."""
ODD = {
    "emoji": "👩‍👩‍👧 😀",
    "lone surrogates": "\ud83d a \udc00\ud800",
    "NUL": "a\0b \0",
    "combining marks": "e\u0301a\u0308\u0323 n\u0303",
    "byte order mark": "\ufeff",
    "control characters": "\u200b\u202e\x07",
    "ligature": "ﬁ ß İ",
    "Chinese": "香蕉是黄色的",
    "line breaks": "\n\t \u2028",
}


@pytest.fixture(scope="module", params=["bert", "clip"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    return support.bert_tokenizer(MAX) if request.param == "bert" else support.clip_tokenizer(MAX)


def words_of(window: Window) -> list[tuple[int, Span]]:
    """Token ids with their places, without special tokens."""
    return [(i, s) for i, s in zip(window.input_ids, window.spans, strict=True) if s[1] < s[2]]


def all_words(tokenizer: PreTrainedTokenizerBase, text: str, owner: int = 0) -> list[tuple[int, Span]]:
    """Every token of a text of any length."""
    encoding = tokenizer(text, return_offsets_mapping=True, truncation=False, verbose=False)
    return [
        (i, (owner, start, end))
        for i, (start, end) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
        if start < end
    ]


def test_texts_that_fit_are_one_window(tokenizer: PreTrainedTokenizerBase) -> None:
    texts: list[Text] = ["cat", "", "banana banana", ("cat", "banana"), "cat " * (MAX - 2)]
    windows = cut_windows(tokenizer, texts, MAX)
    assert [w.text for w in windows] == [0, 1, 2, 3, 4]
    for window, text in zip(windows, texts, strict=True):
        expected = tokenizer(*text) if isinstance(text, tuple) else tokenizer(text)
        assert window.input_ids == expected["input_ids"]
        assert len(window.spans) == len(window.input_ids)
    assert len(windows[4].input_ids) == MAX


@pytest.mark.parametrize("words", [MAX - 1, MAX, 3 * MAX, 100])
@pytest.mark.parametrize("max_length", [MAX, 4, 3])
def test_windows_cover_every_token_and_overlap(tokenizer: PreTrainedTokenizerBase, words: int, max_length: int) -> None:
    text = " ".join(("cat", "banana")[i % 3 == 0] for i in range(words))
    windows = cut_windows(tokenizer, ["cat", text], max_length)[1:]
    assert {w.text for w in windows} == {1}
    assert all(len(w.input_ids) <= max_length for w in windows)
    assert all(len(w.input_ids) == max_length for w in windows[:-1])
    start, *_, end = tokenizer("cat")["input_ids"]
    assert all((w.input_ids[0], w.input_ids[-1]) == (start, end) for w in windows)
    joined = words_of(windows[0])
    for window in windows[1:]:
        overlap = int(OVERLAP * max_length)
        repeated, new = words_of(window)[:overlap], words_of(window)[overlap:]
        assert repeated == (joined[-overlap:] if overlap else [])
        assert new
        joined += new
    assert joined == all_words(tokenizer, text)


def test_truncate_reads_the_beginning_only(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "cat banana " * 20
    (window,) = cut_windows(tokenizer, [text], MAX, "truncate")
    assert len(window.input_ids) == MAX
    assert words_of(window) == all_words(tokenizer, text)[: MAX - 2]


@pytest.mark.parametrize("pair", [("cat " * 20, "banana"), ("banana", "cat " * 20), ("cat " * 20, "banana " * 15)])
def test_pairs_that_do_not_fit_are_cut_each_alone(tokenizer: PreTrainedTokenizerBase, pair: tuple[str, str]) -> None:
    windows = cut_windows(tokenizer, ["cat", pair], MAX)[1:]
    for owner, text in enumerate(pair):
        own = [w for w in windows if {s[0] for _, s in words_of(w)} == {owner}]
        assert all(len(w.input_ids) <= MAX for w in own)
        assert sorted({word for w in own for word in words_of(w)}, key=lambda x: x[1]) == all_words(
            tokenizer, text, owner
        )
        windows = [w for w in windows if w not in own]
    assert windows == []


def test_pairs_that_do_not_fit_truncated() -> None:
    """Joined still, the longer one cut more."""
    tokenizer = support.bert_tokenizer(MAX)
    (window,) = cut_windows(tokenizer, [("cat " * 20, "banana is")], MAX, "truncate")
    assert tokenizer.decode(window.input_ids) == "[CLS] " + "cat " * 7 + "[SEP] banana is [SEP]"


@pytest.mark.parametrize("long_texts", ["window", "truncate"])
def test_pairs_are_not_joined_for_a_tower_that_reads_one_text(long_texts: str) -> None:
    """CLIP sees nothing behind the first end token, so that the second text would be lost."""
    tokenizer = support.clip_tokenizer(MAX)
    pairs: list[Text] = [("cat", "banana"), ("", "cat"), ("cat " * 15, "banana")]
    windows = cut_windows(tokenizer, pairs, MAX, long_texts, join_pairs=False)
    assert [w.text for w in windows] == ([0, 0, 1, 1, 2, 2, 2] if long_texts == "window" else [0, 0, 1, 1, 2, 2])
    assert [w.input_ids for w in windows[:4]] == [tokenizer(t)["input_ids"] for t in ("cat", "banana", "", "cat")]
    assert [s for w in windows[:2] for _, s in words_of(w)] == [(0, 0, 3), (1, 0, 6)]
    assert {word for w in windows[4:] for word in words_of(w)} >= set(all_words(tokenizer, "banana", 1))
    assert all(len(w.input_ids) <= MAX for w in windows)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("shape", ["alone", "second of a pair", "long"])
def test_spans_point_to_the_characters(tokenizer: PreTrainedTokenizerBase, odd: str, shape: str) -> None:
    """The word behind something odd is found where it stands in the text as it was given."""
    text = f"{odd} cat {odd} banana" + (" " + odd) * (8 if shape == "long" else 0)
    given: Text = (odd, text) if shape == "second of a pair" else text
    windows = cut_windows(tokenizer, [given], MAX if shape == "long" else 100)
    owner = int(shape == "second of a pair")
    found = {
        tokenizer.convert_ids_to_tokens(i).removesuffix("</w>"): text[s[1] : s[2]]
        for w in windows
        for i, s in words_of(w)
        if s[0] == owner
    }
    assert found["cat"] == "cat"
    assert found["banana"] == "banana"
    for window in windows:
        for _, (which, start, end) in words_of(window):
            assert 0 <= start < end <= len(given[which] if isinstance(given, tuple) else given)


@pytest.mark.parametrize(
    "odd",
    [
        *(pytest.param(odd, id=name) for name, odd in ODD.items()),
        pytest.param(HALVES, id="halves"),
    ],
)
def test_clean_keeps_every_character_in_its_place(odd: str) -> None:
    text = f"x{odd}y{odd}"
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    cleaned.encode()
    assert "\0" not in cleaned
    bad = {i for i, c in enumerate(text) if c == "\0" or "\ud800" <= c <= "\udfff"}
    assert all(cleaned[i] == ("\ufffd" if i in bad else c) for i, c in enumerate(text))


def test_spans_after_a_clean_up_point_into_the_text_as_given() -> None:
    """What is tokenised is the cleaned text; each word's span is where its characters came from."""
    given = "the &amp;quot;cat&amp;quot; sits on the voilÃ\xa0 mat &lt;banana&gt; " + "dog " * MAX
    tokenizer = support.bert_tokenizer(MAX)
    for text, owner in ((given, 0), (("a bird", given), 1)):
        windows = cut_windows(tokenizer, [text], MAX, clean_up=clean_up)
        spans = {(tokenizer.convert_ids_to_tokens(i), s[1:]) for w in windows for i, s in words_of(w) if s[0] == owner}
        for word in ("cat", "sits", "mat", "banana"):
            start = given.index(word)
            assert (word, (start, start + len(word))) in spans
        assert not any(token in ("q", "##u", "l") for token, _ in spans)
