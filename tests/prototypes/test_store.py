"""What is stored is found again, as it was, by anybody who may read it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from torch.utils.data import DataLoader

from polysense.errors import PolysenseError
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.key_index import KeyIndex
from polysense.prototypes.shards import ShardMark
from polysense.prototypes.store import PrototypeStore
from polysense.text import text_keys
from store_support import FIELDS, ROW_BYTES, TEXTS, K, absent, contents, fill, prototypes, tiny_store


def test_keys_tell_all_texts_apart() -> None:
    texts = ["", "ab", "a", "b", "a\0b", "\ud800", ("a", "b"), ("ab", ""), ("", "ab"), ("", ""), ("b", "a"), "aa"]
    keys = text_keys(texts)
    assert keys.shape == (len(texts), 2) and keys.dtype == np.uint64
    assert len(np.unique(keys, axis=0)) == len(texts)
    np.testing.assert_array_equal(keys, text_keys(texts))


def test_keys_stay_the_same_from_version_to_version() -> None:
    # blake2b-128 of "yellow" after its length, by Python's hashlib; another value would orphan every table.
    assert text_keys(["yellow"]).tobytes().hex() == "6ff5d2e4199caca95364abddada8fb2d"


def test_no_texts() -> None:
    assert text_keys([]).shape == (0, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_round_trip(tmp_path: Path, dtype: type) -> None:
    store = PrototypeStore(tmp_path, {}, 3, 5, dtype)
    stored = prototypes(TEXTS, 3, 5, dtype)
    keys = text_keys(TEXTS)
    with store.writing():
        store.write(keys[:1], stored.rows([0]))
        store.write(keys[1:], stored.rows(range(1, len(TEXTS))))
        assert (store.lookup(keys) >= 0).all()  # at once, before the index is saved
    for opened in (store, PrototypeStore(tmp_path, {}, 3, 5, dtype)):
        assert len(opened) == len(TEXTS)
        order = np.array([5, 0, 39, 5])
        batch, intact = opened.read(opened.lookup(keys[order]))
        assert intact.tolist() == [True] * 4
        for name in FIELDS:
            got, expected = getattr(batch, name), getattr(stored, name)[order]
            np.testing.assert_array_equal(got, expected)
            assert got.dtype == expected.dtype
        assert opened.lookup(text_keys(["never seen"])).tolist() == [-1]


def test_nothing_is_made_before_the_first_writing(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "not" / "there")
    assert (len(store), store.size_in_bytes) == (0, 0)
    assert store.lookup(text_keys(TEXTS)).tolist() == [-1] * len(TEXTS)
    batch, intact = store.read(np.zeros(0, np.int64))
    assert len(batch) == 0 and len(intact) == 0
    assert not any(tmp_path.iterdir())


def test_another_tower_reading_or_layout_is_another_table(tmp_path: Path) -> None:
    stores = [
        PrototypeStore(tmp_path, {"tower": "a", "reading": {"k": 2}}, 2, 4, np.float16),
        PrototypeStore(tmp_path, {"tower": "b", "reading": {"k": 2}}, 2, 4, np.float16),
        PrototypeStore(tmp_path, {"tower": "a", "reading": {"k": 1}}, 2, 4, np.float16),
        PrototypeStore(tmp_path, {"tower": "a", "reading": {"k": 2}}, 3, 4, np.float16),
        PrototypeStore(tmp_path, {"tower": "a", "reading": {"k": 2}}, 2, 5, np.float16),
        PrototypeStore(tmp_path, {"tower": "a", "reading": {"k": 2}}, 2, 4, np.float32),
    ]
    assert len({store.folder for store in stores}) == len(stores)
    same = PrototypeStore(tmp_path, {"reading": {"k": 2}, "tower": "a"}, 2, 4, np.float16)
    assert same.folder == stores[0].folder
    fill(stores[0])
    assert [len(store) for store in stores] == [len(TEXTS), 0, 0, 0, 0, 0]
    described = json.loads((stores[0].folder / "table.json").read_text())
    assert described["identity"] == {"tower": "a", "reading": {"k": 2}}
    assert (described["k"], described["width"], described["dtype"], described["format"]) == (2, 4, "float16", 1)


def test_same_texts_same_bytes(tmp_path: Path) -> None:
    first, second = tiny_store(tmp_path / "1"), tiny_store(tmp_path / "2")
    fill(first)
    for start in range(0, len(TEXTS), 10):  # one session each: the index is saved four times
        fill(tiny_store(tmp_path / "2"), TEXTS[start : start + 10])
    assert contents(first) == contents(second)
    assert sorted(contents(first)) == [
        *(f"00000{i}.arrow" for i in range(4)),
        "index.bin",
        "table.json",
        "writer.lock",
    ]


def test_size_follows_the_formula(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    texts = [f"text {i}" for i in range(3000)]
    fill(store, texts, chunk=1500)
    over = store.size_in_bytes - len(texts) * (ROW_BYTES + 24)
    assert 0 < over < 2 * 4000


def test_a_shard_is_a_file_of_arrow(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    fill(store)
    with pa.ipc.open_file(store.folder / "000001.arrow") as file:
        table = file.read_all()
    expected = prototypes(TEXTS[10:20])
    names = ["key", "count", "token_ids", "spans", "saliency", "features", "checksum"]
    assert table.column_names == names
    assert table["count"].to_pylist() == expected.counts.tolist()
    assert table["spans"].to_pylist() == expected.spans.tolist()
    assert table["features"].to_pylist() == expected.features.tolist()
    assert np.array(table["key"].to_pylist(), np.uint64).tolist() == text_keys(TEXTS[10:20]).tolist()


def test_a_text_is_written_once(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    keys, batch = text_keys(["a", "b", "a"]), prototypes(["a", "b", "a"])
    with store.writing():
        with pytest.raises(ValueError, match="twice"):
            store.write(keys, batch)
        store.write(keys[:2], batch.rows([0, 1]))
        with pytest.raises(ValueError, match="there already"):
            store.write(keys[2:], batch.rows([2]))
        store.write(keys[:0], batch.rows([]))
    assert len(store) == 2 and len(list(store.folder.glob("*.arrow"))) == 1
    assert fill(store, ["b", "c"]) == [1]


def test_writing_is_asked_for(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    with pytest.raises(RuntimeError, match="writing"):
        store.write(text_keys(["a"]), prototypes(["a"]))
    with store.writing(), pytest.raises(RuntimeError, match="already"), store.writing():
        pass


@pytest.mark.parametrize(
    "wrong",
    [
        PrototypeBatch.empty(1, K, 4, np.float32),
        PrototypeBatch.empty(1, K + 1, 4, np.float16),
        PrototypeBatch.empty(1, K, 5, np.float16),
        PrototypeBatch.empty(2, K, 4, np.float16),
    ],
    ids=["dtype", "k", "width", "length"],
)
def test_what_does_not_fit_the_table_is_refused(tmp_path: Path, wrong: PrototypeBatch) -> None:
    store = tiny_store(tmp_path)
    with store.writing(), pytest.raises(ValueError, match="float"):
        store.write(text_keys(["a"]), wrong)
    assert len(tiny_store(tmp_path)) == 0


def test_keys_and_rows_of_another_kind_are_refused(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    with pytest.raises(ValueError, match="uint64"):
        store.lookup(text_keys(["a"]).astype(np.int64))
    with pytest.raises(ValueError, match="lookup"):
        store.read(np.array([-1]))
    with pytest.raises(ValueError, match="float16 or float32"):
        PrototypeStore(tmp_path, {}, 2, 4, np.float64)


def test_many_small_shards_are_found(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    texts = [f"text {i}" for i in range(100)]
    with store.writing():
        for start, end in [(0, 1), (1, 2), (2, 40), (40, 41), (41, 43), (43, 44), (44, 99), (99, 100)]:
            store.write(text_keys(texts[start:end]), prototypes(texts[start:end]))
            assert absent(store, texts) == texts[end:]
            assert len(store) == end
    assert absent(tiny_store(tmp_path), texts) == []


def test_index_finds_keys_that_share_a_half(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    halves = random.integers(2**63, size=5, dtype=np.uint64)
    pairs = np.array([(a, b) for a in halves for b in halves])
    keys = pairs[random.permutation(len(pairs))]
    parts = [KeyIndex.of_shard(n, keys[n * 5 : n * 5 + 5], ShardMark(1, bytes([n]) * 16)) for n in range(4)]
    index = KeyIndex.merged(parts)
    index.save(tmp_path / "index")
    for opened in (index, KeyIndex.load(tmp_path / "index")):
        expected = [(i // 5 << 32) + i % 5 for i in range(20)] + [-1] * 5
        assert opened.find(keys).tolist() == expected
        assert opened.find(keys[::-1]).tolist() == expected[::-1]
        assert opened.find(np.array([[0, 0], [2**64 - 1, 2**64 - 1]], np.uint64)).tolist() == [-1, -1]
        assert dict(opened.shards) == dict(index.shards)


def test_of_a_key_that_comes_twice_the_newest_row_is_found() -> None:
    keys = text_keys(["a", "b", "c", "d"])
    parts = [KeyIndex.of_shard(n, keys[n : n + 2], ShardMark(1, b"")) for n in range(3)]
    index = KeyIndex.merged(parts)
    assert index.find(keys).tolist() == [0, 1 << 32, 2 << 32, (2 << 32) + 1]
    assert len(index) == 4


def test_a_key_that_comes_twice_is_told_from_others_with_the_same_half() -> None:
    keys = np.array([(7, 1), (7, 2), (7, 1), (7, 0)], np.uint64)
    parts = [KeyIndex.of_shard(n, keys[n : n + 1], ShardMark(1, b"")) for n in range(4)]
    for index in (KeyIndex.merged(parts), KeyIndex.merged([KeyIndex.merged(parts[:2]), *parts[2:]])):
        assert index.find(keys).tolist() == [2 << 32, 1 << 32, 2 << 32, 3 << 32]
        assert len(index) == 3


def test_a_reader_goes_on_while_another_writes(tmp_path: Path) -> None:
    fill(tiny_store(tmp_path), TEXTS[:10])
    reader = tiny_store(tmp_path)
    rows = reader.lookup(text_keys(TEXTS[:10]))
    writer = tiny_store(tmp_path)
    with writer.writing():
        writer.write(text_keys(TEXTS[10:20]), prototypes(TEXTS[10:20]))
        newer = tiny_store(tmp_path)  # opened before the index knows the new shard
        assert absent(newer, TEXTS) == list(TEXTS[20:])
        assert absent(reader, TEXTS) == list(TEXTS[10:])
    fill(writer)
    assert reader.read(rows)[1].all()
    assert absent(newer, TEXTS) == list(TEXTS[20:])
    assert absent(tiny_store(tmp_path), TEXTS) == []
    # A reader sees what is new when it writes itself, and its row numbers stay.
    assert fill(reader) == [0, 0, 0, 0]
    assert reader.lookup(text_keys(TEXTS[:10])).tolist() == rows.tolist()


def test_a_pickled_copy_opens_the_table_for_itself(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    fill(store)
    rows = store.lookup(text_keys(TEXTS))
    second = pickle.loads(pickle.dumps(store))  # noqa: S301 (as the loaders of torch hand it to their workers)
    assert second.read(rows)[1].all()
    assert absent(second, TEXTS) == []


class Stored:
    """A data set that reads its rows from the store, in whichever process asks."""

    def __init__(self, store: PrototypeStore) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(TEXTS)

    def __getitem__(self, i: int) -> tuple[int, np.ndarray]:
        batch, intact = self.store.read(self.store.lookup(text_keys([TEXTS[i]])))
        assert intact.all()
        return i, batch.features[0]


@pytest.mark.parametrize("opened", [True, False])
def test_loaders_of_torch_read_it_in_their_workers(tmp_path: Path, opened: bool) -> None:
    fill(tiny_store(tmp_path))
    store = tiny_store(tmp_path)
    if opened:
        assert absent(store, TEXTS) == []
    expected = prototypes(TEXTS).features
    seen = 0
    for index, features in DataLoader(Stored(store), batch_size=8, num_workers=2):
        np.testing.assert_array_equal(features.numpy(), expected[index.numpy()])
        seen += len(index)
    assert seen == len(TEXTS)


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = tiny_store(tmp_path / "file")
    with pytest.raises(PolysenseError, match=r"file.* cannot be read .*choose another folder"):
        len(store)
    with pytest.raises(PolysenseError, match=r"cannot be stored in .*file.*choose another folder"), store.writing():
        pass
