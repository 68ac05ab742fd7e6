"""Graphs parsed once and looked up: what is parsed when, and what is remembered."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from polysense.errors import PolysenseError
from polysense.scene_graphs import extractor as extractor_module
from polysense.scene_graphs import parser as parser_module
from polysense.scene_graphs.extractor import GraphExtractor, ParseCounts
from polysense.scene_graphs.graph import SceneGraph
from polysense.scene_graphs.parser import SceneGraphParser
from polysense.text import Text

TEXTS: list[Text] = [f"A dog sees {i} red cars." for i in range(5)] + [("A dog barks.", "The cat runs."), ""]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    """Every text that is parsed from now on."""
    seen: list[Text] = []
    real = SceneGraphParser.parse

    def parse(
        self: SceneGraphParser, texts: Iterable[Text], on_parsed: Callable[[int], object] = lambda _: None
    ) -> Iterator[SceneGraph]:
        texts = list(texts)
        seen.extend(texts)
        return real(self, texts, on_parsed)

    monkeypatch.setattr(SceneGraphParser, "parse", parse)
    return seen


@pytest.fixture(scope="module")
def expected() -> list[SceneGraph]:
    return list(SceneGraphParser().parse(TEXTS))


@pytest.mark.parametrize("stored", [True, False])
def test_each_text_is_parsed_once(
    stored: bool, tmp_path: Path, parsed: list[Text], expected: list[SceneGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractor_module, "CHUNK", 2)
    extractor = GraphExtractor(tmp_path if stored else False)
    assert extractor.prepare(iter(TEXTS + TEXTS)) == ParseCounts(texts=14, parsed=7)
    assert extractor.prepare(TEXTS) == ParseCounts(texts=7, parsed=0)
    assert extractor.graphs(TEXTS) == expected
    assert extractor.graphs([]) == []
    extractor.look_ahead(TEXTS)
    assert parsed == TEXTS
    again = GraphExtractor(tmp_path if stored else False)
    assert again.graphs([*TEXTS[::-1], TEXTS[0]]) == [*expected[::-1], expected[0]]
    assert len(parsed) == (7 if stored else 14)


def test_what_was_not_prepared_is_remembered_but_not_stored(
    tmp_path: Path, parsed: list[Text], expected: list[SceneGraph]
) -> None:
    extractor = GraphExtractor(tmp_path)
    extractor.look_ahead(TEXTS)
    assert extractor.graphs(TEXTS) == expected
    assert parsed == TEXTS
    assert list(tmp_path.iterdir()) == []


def test_memory_of_what_was_not_prepared_is_bounded(
    parsed: list[Text], expected: list[SceneGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractor_module, "RECENT_BYTES", 200)
    extractor = GraphExtractor()
    extractor.prepare(TEXTS[:1])
    for _ in range(2):
        for text, graph in zip(TEXTS, expected, strict=True):
            assert extractor.graphs([text]) == [graph]
            assert sum(map(len, extractor._recent.values())) <= 200
    assert len(parsed) > 7
    assert parsed.count(TEXTS[0]) == 1


def test_without_spacy_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise parser_module.PackageNotFoundError(package)

    monkeypatch.setattr(parser_module, "version", version)
    for use in (lambda e: e.identity, lambda e: e.store, lambda e: e.graphs(["a dog"])):
        with pytest.raises(PolysenseError, match=r"spacy: pip install 'polysense\[mase\]'"):
            use(GraphExtractor(tmp_path))


def test_graphs_of_another_parser_are_not_used(
    tmp_path: Path, parsed: list[Text], monkeypatch: pytest.MonkeyPatch
) -> None:
    GraphExtractor(tmp_path).prepare(TEXTS)
    assert GraphExtractor(tmp_path).prepare(TEXTS).parsed == 0
    monkeypatch.setattr(parser_module, "VERSION", 0)
    assert GraphExtractor(tmp_path).prepare(TEXTS).parsed == 7
    assert len(list(tmp_path.iterdir())) == 2


def test_release_and_pickle(tmp_path: Path, parsed: list[Text], expected: list[SceneGraph]) -> None:
    extractor = GraphExtractor(tmp_path)
    extractor.prepare(TEXTS[:6])
    extractor.release()
    copy = pickle.loads(pickle.dumps(extractor))  # noqa: S301
    for one in (extractor, copy):
        assert one.graphs(TEXTS) == expected
    assert parsed == [*TEXTS, TEXTS[6]]


def test_interrupted(tmp_path: Path, parsed: list[Text], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored before an error stays; done again, only the rest is parsed."""
    monkeypatch.setattr(extractor_module, "CHUNK", 2)

    def texts() -> Iterator[Text]:
        yield from TEXTS[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GraphExtractor(tmp_path).prepare(texts())
    assert GraphExtractor(tmp_path).prepare(TEXTS).parsed == 3


def test_damaged_rows_are_stored_again(
    tmp_path: Path, expected: list[SceneGraph], caplog: pytest.LogCaptureFixture
) -> None:
    extractor = GraphExtractor(tmp_path)
    extractor.prepare(TEXTS)
    assert extractor.store is not None
    database = extractor.store.database
    data = database.read_bytes()
    stored = expected[0].to_json().encode()
    assert data.count(stored) >= 1
    database.write_bytes(data.replace(stored, stored.replace(b"[", b"{"), 1))
    with caplog.at_level(logging.WARNING):
        assert GraphExtractor(tmp_path).graphs(TEXTS) == expected
        assert len(caplog.records) == 1
        assert GraphExtractor(tmp_path).prepare(TEXTS).parsed == 1
        caplog.clear()
        assert GraphExtractor(tmp_path).prepare(TEXTS).parsed == 0
    assert caplog.records == []
