"""Files as a broken disk or copy leaves them: with checksums each is found, without it reads or is named."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polysense.alignment.manifest import load_pairs
from polysense.errors import PolysenseError
from polysense.folder import CHECKSUMS, check_files, write_checksums
from polysense.pictures.opening import ENDINGS
from polysense.scene_graphs.graph import Node, SceneGraph
from polysense.scene_graphs.store import GraphStore
from polysense.tasks.squad_files import load_squad_file, read_squad
from polysense.tasks.tables import read_table
from polysense.text import clean, text_keys
from polysense.towers.aligned import CONFIG_FILE, OWN_TRUNK, AlignedConfig, AlignedHead, AlignedTower
from polysense.towers.listing import tower_list
from polysense.towers.memory import Memory
from polysense.towers.packed_encoder import load_encoder
from polysense.towers.tower import load_tokenizer
from polysense.training.predict import Predictor
from polysense.vision_language.annotations import read_nlvr2, read_snli_ve
from polysense.vision_language.annotations.records import read_json
from polysense.vision_language.region_files import open_regions, write_regions
from polysense.vision_language.region_files.object_names import read_object_names
from polysense.vision_language.regions import Regions
from store_support import TEXTS, absent, fill, tiny_store

pytest_plugins = ("tiny_runs",)

# The same examples in every run; a time limit would only measure how busy the machine is.
quick = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
slow = settings(quick, max_examples=12)
PLACES = st.floats(0, 1, exclude_max=True)
"""Of a file, as a share of its length."""
ANY_TEXT = st.text(st.characters(), max_size=30)
"""Every code point, lone surrogates and control characters too."""
VALID_TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


def flipped(content: bytes, place: float, bit: int) -> bytes:
    changed = bytearray(content)
    changed[int(place * len(content))] ^= 1 << bit
    return bytes(changed)


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """One flipped bit, or a cut, anywhere."""
    place, bit = draw(PLACES), draw(st.integers(0, 8))
    return lambda content: content[: int(place * len(content))] if bit == 8 else flipped(content, place, bit)


@contextmanager
def copied(folder: Path, parent: Path) -> Iterator[Path]:
    """A copy of a folder, for a while."""
    copy = parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    yield copy
    shutil.rmtree(copy)


def files_of(folder: Path) -> list[Path]:
    return sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())


def refused(read: Callable[[], Any], name: object) -> None:
    """The reading is refused in one line that names the file."""
    with pytest.raises(PolysenseError) as caught:
        read()
    assert str(name) in str(caught.value)
    assert "\n" not in str(caught.value)


@contextmanager
def named(file: Path) -> Iterator[None]:
    """What is refused within the block is so in one line that names the file."""
    said = str(file)
    try:
        yield
    except PolysenseError as error:
        said = str(error)
    assert str(file) in said
    assert "\n" not in said


# Formats with checksums: nothing passes.


@quick
@given(number=st.integers(0, 100), damage=damages())
def test_a_folder_with_checksums(tmp_path: Path, number: int, damage: Callable[[bytes], bytes]) -> None:
    folder = tmp_path / "folder"
    if not folder.exists():
        (folder / "inner").mkdir(parents=True)
        for name in ("a", "b", "inner/c"):
            (folder / name).write_bytes(name.encode() * 100)
        write_checksums(folder)
    check_files(folder)
    files = [file for file in files_of(folder) if file.name != CHECKSUMS]
    damaged = folder / files[number % len(files)]
    content = damaged.read_bytes()
    damaged.write_bytes(damage(content))
    refused(lambda: check_files(folder), damaged)
    damaged.write_bytes(content)


@slow
@given(number=st.integers(0, 100), damage=damages())
def test_a_trained_model(trained: Path, tmp_path: Path, number: int, damage: Callable[[bytes], bytes]) -> None:
    told = (CHECKSUMS, "results.json", "training_log.json")
    names = [name for name in files_of(trained) if name.name not in told and name.suffix not in (".html", ".png")]
    with copied(trained, tmp_path) as folder:
        file = folder / names[number % len(names)]
        file.write_bytes(damage(file.read_bytes()))
        refused(lambda: Predictor.load(folder), file)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory, bert_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("aligned") / "tower"
    head = AlignedHead(16, 8, 4, Memory(torch.randn(12, 16), torch.randn(12, 8)))
    source = str(bert_folder)
    AlignedTower(AlignedConfig(source, 8, 4, 12), load_encoder(source), load_tokenizer(source), head, "").save(folder)
    write_checksums(folder)
    return folder


@slow
@given(number=st.integers(0, 1), damage=damages())
def test_an_aligned_tower(aligned: Path, tmp_path: Path, number: int, damage: Callable[[bytes], bytes]) -> None:
    with copied(aligned, tmp_path) as folder:
        file = sorted(folder.glob("aligned_tower.*"))[number]
        file.write_bytes(damage(file.read_bytes()))
        refused(lambda: AlignedTower.load(folder, "x"), file)


@pytest.mark.parametrize(
    "config",
    ["[" * 200_000, '{"trunk": 5}', '{"width": -1}', '{"rank": 1e999}', f'{{"entries": {10**30}}}'],
    ids=["deep", "trunk", "width", "rank", "entries"],
)
def test_an_aligned_tower_that_cannot_be(aligned: Path, tmp_path: Path, config: str) -> None:
    with copied(aligned, tmp_path) as folder:
        (folder / CHECKSUMS).unlink()
        (folder / CONFIG_FILE).write_text(config)
        refused(lambda: AlignedTower.load(folder, "x"), folder)


@pytest.mark.parametrize(("size", "name"), [("entries", "memory.keys"), ("rank", "query.down"), ("width", "centre")])
def test_an_aligned_tower_with_sizes_that_its_weights_do_not_have(
    aligned: Path, tmp_path: Path, size: str, name: str
) -> None:
    """They are told by the weights, before there is any memory of that size."""
    with copied(aligned, tmp_path) as folder:
        (folder / CHECKSUMS).unlink()
        config = json.loads((folder / CONFIG_FILE).read_text())
        (folder / CONFIG_FILE).write_text(json.dumps({**config, size: 10**12}))
        with pytest.raises(PolysenseError, match=rf"does not fit {CONFIG_FILE}: .*size mismatch for {name}"):
            AlignedTower.load(folder, "x")


@pytest.mark.parametrize("config", ["[" * 200_000, '{"width": 1e999}'], ids=["deep", "width"])
def test_a_list_of_towers_that_cannot_be(aligned: Path, tmp_path: Path, config: str) -> None:
    with copied(aligned, tmp_path) as folder:
        (folder / CONFIG_FILE).write_text(config)
        refused(lambda: tower_list([folder]), folder)


def test_a_trunk_of_its_own_lies_in_the_towers_folder(aligned: Path, tmp_path: Path, bert_folder: Path) -> None:
    with copied(aligned, tmp_path) as folder:
        AlignedTower.load(folder, "x").thaw().save(folder)
        (folder / CHECKSUMS).unlink()
        AlignedTower.load(folder, "x")
        shutil.rmtree(folder / OWN_TRUNK)
        (folder / OWN_TRUNK).symlink_to(bert_folder)
        refused(lambda: AlignedTower.load(folder, "x"), folder / OWN_TRUNK)


def test_what_is_said_of_an_aligned_tower_may_change(aligned: Path, tmp_path: Path) -> None:
    with copied(aligned, tmp_path) as folder:
        (folder / "README.md").write_text("of mine")
        write_checksums(folder)
        (folder / "README.md").write_text("changed")
        AlignedTower.load(folder, "x")


@quick
@given(number=st.integers(0, 100), damage=damages())
def test_stored_prototypes(tmp_path: Path, number: int, damage: Callable[[bytes], bytes]) -> None:
    """`absent` fails on a wrong row; what is lost is computed again."""
    whole = tmp_path / "whole"
    if not whole.exists():
        fill(tiny_store(whole))
    with copied(whole, tmp_path) as folder:
        names = [name for name in files_of(folder) if name.suffix != ".lock"]
        file = folder / names[number % len(names)]
        file.write_bytes(damage(file.read_bytes()))
        absent(tiny_store(folder), TEXTS)
        fill(tiny_store(folder))
        assert not absent(tiny_store(folder), TEXTS)


def graph(number: int) -> SceneGraph:
    return SceneGraph((Node("entity", 0, number, number + 3),), ())


@quick
@given(damage=damages())
def test_stored_graphs(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A graph is right or absent, and can then be stored again."""
    whole = tmp_path / "whole"
    keys = [key.tobytes() for key in text_keys([f"text {number}" for number in range(120)])]
    graphs = {key: graph(number) for number, key in enumerate(keys)}
    if not whole.exists():
        GraphStore(whole, {}).write(graphs)
    with copied(whole, tmp_path) as folder:
        store = GraphStore(folder, {})
        store.database.write_bytes(damage(store.database.read_bytes()))
        found = store.read(keys)
        assert found == {key: graphs[key] for key in found}
        store.write({key: graphs[key] for key in keys if key not in found})
        assert GraphStore(folder, {}).read(keys) == graphs


@quick
@given(damage=damages())
def test_own_files_of_regions(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Refused, or, where nothing reads the byte, the same."""
    whole, file = tmp_path / "whole.h5", tmp_path / "regions.h5"
    made = {f"{name}": regions(name) for name in range(6)}
    if not whole.exists():
        write_regions(whole, made.items())
    file.write_bytes(damage(whole.read_bytes()))
    with named(file):
        source = open_regions(file)
        found = {name: source[name] for name in source}
        assert list(found) == list(made)
        for name, expected in made.items():
            for part in ("features", "boxes", "scores", "width", "height"):
                np.testing.assert_array_equal(getattr(found[name], part), getattr(expected, part))
            assert found[name].tags == expected.tags


def regions(number: int) -> Regions:
    # As wide as real ones: most of the file is then features.
    features = np.random.default_rng(number).random((3, 2048)).astype(np.float16)
    boxes = np.array([[1, 2, 30, 40], [5, 5, 9, 9], [0, 0, 64, 48]], np.float32)
    return Regions(features, boxes, 64, 48, ["cat", "", "é"], np.array([0.5, 0.25, 1], np.float32))


# Plain texts: they read, or the error says where.

READERS: dict[str, Callable[[Path], Any]] = {
    "x.csv": read_table,
    "x.tsv": lambda file: read_table(file, quoted=False, tolerant=True),
    "x.jsonl": read_table,
    "x.jsonl.gz": read_table,
    "x.json": lambda file: load_squad_file(file, training=True),
    "y.json": read_json,
    "y.jsonl": read_nlvr2,
    "z.jsonl": read_snli_ve,
    "names.txt": read_object_names,
    "pairs.csv": lambda file: load_pairs(file, ENDINGS),
    "pairs.jsonl": lambda file: load_pairs(file, ENDINGS),
}
_FIELDS = st.sampled_from(
    ["data", "paragraphs", "qas", "context", "question", "answers", "text", "answer_start", "id", "is_impossible",
     "identifier", "label", "sentence", "caption", "file", "title", "Flickr30K_ID", "gold_label", "sentence2", "pairID"]
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_FIELDS | ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
CONTENTS = st.one_of(
    st.binary(max_size=200),
    VALID_TEXT.map(str.encode),
    st.lists(st.lists(VALID_TEXT, max_size=3).map("\t".join), max_size=5).map("\n".join).map(str.encode),
    _JSON.map(json.dumps).map(str.encode),
    st.lists(_JSON.map(json.dumps), max_size=4).map("\n".join).map(str.encode),
)


@pytest.mark.parametrize("name", READERS)
@quick
@given(content=CONTENTS)
def test_any_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with named(file):
        READERS[name](file)
    if name.endswith(".gz"):
        file.write_bytes(gzip.compress(content))
        with named(file):
            READERS[name](file)


# Round trips.


@quick
@given(rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=5))
def test_json_lines_hold_any_text(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in rows))
    table = read_table(file)
    assert list(zip(table.columns["a"], table.columns["b"], strict=True)) == rows
    assert table.texts("a") == [clean(a) for a, _ in rows]


@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ","), ("x.tsv", "\t")])
@quick
@given(rows=st.lists(st.tuples(VALID_TEXT, VALID_TEXT), min_size=1, max_size=5))
def test_quoted_tables_hold_any_text_in_utf_8(
    tmp_path: Path, name: str, delimiter: str, rows: list[tuple[str, str]]
) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    (tmp_path / name).write_bytes(stream.getvalue().encode())
    table = read_table(tmp_path / name)
    assert list(zip(table.columns["a"], table.columns["b"], strict=True)) == rows


@quick
@given(rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, st.integers(-3, 40)), min_size=1, max_size=4))
def test_squad_holds_any_text(tmp_path: Path, rows: list[tuple[str, str, int]]) -> None:
    file = tmp_path / "x.json"
    asked = []
    for i, (context, question, start) in enumerate(rows):
        answers = [{"text": question[:2], "answer_start": start}]
        asked.append({"context": context, "qas": [{"id": f"{i}", "question": question, "answers": answers}]})
    file.write_text(json.dumps({"data": [{"title": "t", "paragraphs": asked}]}))
    table = read_squad(file)
    assert list(zip(table.columns["context"], table.columns["question"], strict=True)) == [row[:2] for row in rows]
    data, _ = load_squad_file(file)
    assert data["text_pair"][:] == [clean(context) for context, _, _ in rows]
    for context, answers, starts in zip(data["text_pair"], data["answers"], data["starts"], strict=True):
        for answer, start in zip(answers, starts, strict=True):
            assert start == -1 or context[start:].startswith(answer)
