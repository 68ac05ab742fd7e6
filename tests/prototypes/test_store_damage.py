"""Whatever byte is flipped, cut or put in the way: no wrong row, no crash, and only what was touched is lost."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from polysense.errors import PolysenseError
from polysense.prototypes.key_index import DamagedIndex, KeyIndex
from polysense.prototypes.store import PrototypeStore
from polysense.text import text_keys
from store_support import TEXTS, WIDTH, K, absent, contents, fill, prototypes, tiny_store

COLUMNS = {
    "key": 16,
    "count": 4,
    "token_ids": 4 * K,
    "spans": 12 * K,
    "saliency": 4 * K,
    "features": 2 * K * WIDTH,
    "checksum": 4,
}
"""Bytes of a row of each column."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of 4 shards of 10 rows."""
    store = tiny_store(tmp_path)
    fill(store)
    return store.folder


def place(file: Path, column: str, row: int) -> int:
    """Where a row of a column begins in the file: the columns follow each other, each padded to 8 bytes."""
    start = file.read_bytes().index(text_keys(TEXTS[10:20]).tobytes())
    for name, size in COLUMNS.items():
        if name == column:
            return start + row * size
        start += -(-10 * size // 8) * 8
    raise KeyError(column)


def flip(file: Path, at: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1 << bit
    # A new file, as other tables in this process may have mapped the old one.
    file.unlink()
    file.write_bytes(data)


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    found = "\n".join(r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)
    caplog.clear()
    return found


@pytest.mark.parametrize("byte", ["first", "last"])
@pytest.mark.parametrize("row", [0, 7, 9])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_damaged_row_is_named_and_computed_again(
    folder: Path, column: str, row: int, byte: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "000001.arrow"
    flip(file, place(file, column, row) + (0 if byte == "first" else COLUMNS[column] - 1), bit=row % 8)
    store = tiny_store(folder.parent)
    lost = TEXTS[10 + row]
    assert absent(store, TEXTS) == [lost]
    assert f"000001.arrow: damaged in row {row};" in warnings(caplog)
    assert store.lookup(text_keys(TEXTS)).tolist().count(-1) == 1  # forgotten from here on
    assert len(store) == len(TEXTS) - 1
    assert fill(store) == [0, 1, 0, 0]
    assert len(store) == len(TEXTS)
    for opened in (store, tiny_store(folder.parent)):
        assert absent(opened, TEXTS) == []
    assert warnings(caplog) == ""


def test_many_damaged_rows_are_named_in_one_line(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    texts = [f"text {i}" for i in range(20)]
    fill(tiny_store(folder.parent), texts, chunk=20)
    file = folder / "000004.arrow"
    data = file.read_bytes()
    features = prototypes(texts).features.tobytes()
    file.unlink()
    file.write_bytes(data.replace(features, b"\xff" * len(features)))
    assert absent(tiny_store(folder.parent), texts) == texts
    assert warnings(caplog).endswith(
        "000004.arrow: damaged in row 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10 more; computed again"
    )


def test_a_damaged_key_is_noticed_without_the_index(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = folder / "000001.arrow"
    flip(file, place(file, "key", 3) + 5)
    (folder / "index.bin").unlink()
    store = tiny_store(folder.parent)
    assert absent(store, TEXTS) == [TEXTS[13]]
    assert "000001.arrow: keys are damaged" in warnings(caplog)
    assert fill(store) == [0, 1, 0, 0]
    assert absent(tiny_store(folder.parent), TEXTS) == []


def flip_everywhere_else(folder: Path, index: bool) -> None:
    """Flip bits of a shard that belong to no row, in 300 places one after another."""
    logging.disable()
    file = folder / "000001.arrow"
    if not index:
        (folder / "index.bin").unlink()
    good = file.read_bytes()
    start, end = place(file, "key", 0), place(file, "checksum", 10)
    random = np.random.default_rng(0)
    outcomes = set()
    for at in random.choice([*range(start), *range(end, len(good))], 300, replace=False).tolist():
        flip(file, at, int(random.integers(8)))
        lost = absent(tiny_store(folder.parent), TEXTS)
        assert set(lost) <= set(TEXTS[10:20]), at
        outcomes.add(len(lost))
        file.write_bytes(good)
    assert outcomes >= {0, 10}
    assert absent(tiny_store(folder.parent), TEXTS) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("index", [True, False], ids=["with index", "without index"])
def test_no_byte_of_arrows_own_makes_a_wrong_row_or_a_crash(folder: Path, index: bool) -> None:
    process = multiprocessing.get_context("fork").Process(target=flip_everywhere_else, args=(folder, index))
    process.start()
    process.join()
    assert process.exitcode == 0


def cut(size: int) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(file.read_bytes()[:size])


@pytest.mark.parametrize("index", [True, False], ids=["with index", "without index"])
@pytest.mark.parametrize(
    "damage",
    [cut(0), cut(1), cut(8), cut(1500), cut(2000), cut(-1), cut(-8), lambda file: file.write_bytes(b"foreign" * 999)],
    ids=["empty", "1 byte", "magic", "header", "half", "a byte less", "no magic", "foreign"],
)
def test_an_unreadable_shard_is_named_and_set_aside(
    folder: Path, damage: Callable[[Path], None], index: bool, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "000001.arrow"
    damage(file)
    if not index:
        (folder / "index.bin").unlink()
    store = tiny_store(folder.parent)
    assert len(store) == 30  # its size shows it, before anything is read
    assert absent(store, TEXTS) == list(TEXTS[10:20])
    assert "000001.arrow is damaged" in warnings(caplog)
    assert file.exists()  # who only reads changes nothing
    assert fill(store) == [0, 10, 0, 0]
    assert "set aside as 000001.arrow.damaged" in warnings(caplog)
    assert sorted(contents(store)) == [
        "000000.arrow",
        "000001.arrow.damaged",
        "000002.arrow",
        "000003.arrow",
        "000004.arrow",
        "index.bin",
        "table.json",
        "writer.lock",
    ]
    for opened in (store, tiny_store(folder.parent)):
        assert absent(opened, TEXTS) == []
        assert len(opened) == len(TEXTS)
    assert warnings(caplog) == ""


@pytest.mark.parametrize("other", ["compressed", "columns", "types", "batches", "metadata", "nulls"])
def test_a_whole_file_of_arrow_that_is_no_shard_is_not_taken(
    folder: Path, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "000001.arrow"
    with pa.ipc.open_file(pa.py_buffer(file.read_bytes())) as reader:
        batch = reader.get_batch(0)
    options = None
    if other == "compressed":
        options = pa.ipc.IpcWriteOptions(compression="lz4")
    elif other == "columns":
        batch = batch.select(batch.schema.names[:-1])
    elif other == "types":
        counts = batch["count"].cast(pa.int64())
        batch = batch.set_column(1, pa.field("count", pa.int64(), nullable=False), counts)
    elif other == "metadata":
        batch = batch.replace_schema_metadata(None)
    elif other == "nulls":
        schema = batch.schema.set(1, pa.field("count", pa.int32())).with_metadata(batch.schema.metadata)
        arrays = [*batch.columns[:1], pa.array([None] * 10, pa.int32()), *batch.columns[2:]]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    file.unlink()
    with pa.ipc.new_file(file, batch.schema, options=options) as writer:
        for part in [batch[:5], batch[5:]] if other == "batches" else [batch]:
            writer.write_batch(part)
    store = tiny_store(folder.parent)
    assert absent(store, TEXTS) == list(TEXTS[10:20])
    assert "000001.arrow is damaged" in warnings(caplog)
    assert fill(store) == [0, 10, 0, 0]
    assert absent(tiny_store(folder.parent), TEXTS) == []


def test_damage_that_only_the_writer_meets_is_mended_too(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = folder / "000001.arrow"
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data[:-20] + bytes(20))  # same size: found when first read
    store = tiny_store(folder.parent)
    assert fill(store) == [0, 10, 0, 0]
    assert "set aside" in warnings(caplog)
    assert absent(store, TEXTS) == absent(tiny_store(folder.parent), TEXTS) == []
    assert warnings(caplog) == ""


def test_a_shard_that_goes_while_a_reader_has_the_index(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = tiny_store(folder.parent)
    assert len(store) == len(TEXTS)
    (folder / "000001.arrow").unlink()
    assert absent(store, TEXTS) == list(TEXTS[10:20])
    assert "000001.arrow is gone" in warnings(caplog)
    assert fill(store) == [0, 10, 0, 0]
    assert absent(tiny_store(folder.parent), TEXTS) == []


def test_shards_that_changed_places_give_no_wrong_row(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = folder / "000001.arrow", folder / "000002.arrow"
    assert first.stat().st_size == second.stat().st_size  # nothing shows before they are opened
    first.rename(folder / "other")
    second.rename(first)
    (folder / "other").rename(second)
    store = tiny_store(folder.parent)
    assert absent(store, TEXTS) == list(TEXTS[10:30])
    assert "000002.arrow is another file than it was" in warnings(caplog)
    # This store gave out numbers of the old order, so it does without the two; others are not concerned.
    assert fill(store, TEXTS[20:]) == [10, 0]
    assert absent(store, TEXTS) == list(TEXTS[10:20])
    assert "000002.arrow is another file than it was" in warnings(caplog)
    assert absent(tiny_store(folder.parent), TEXTS) == []
    assert warnings(caplog) == ""


def test_row_numbers_outlive_a_table_that_was_deleted_and_filled_anew(folder: Path) -> None:
    store = tiny_store(folder.parent)
    rows = store.lookup(text_keys(TEXTS))
    copy = pickle.dumps(store)
    shutil.rmtree(folder)
    fill(tiny_store(folder.parent), [f"other {i}" for i in range(40)])
    with store.writing():
        pass
    assert not store.read(rows)[1].any()
    assert not pickle.loads(copy).read(rows)[1].any()  # noqa: S301 (as in a worker)
    assert fill(store) == [10, 10, 10, 10]
    assert absent(store, TEXTS) == []


def test_a_shard_of_another_table_is_not_taken(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = tiny_store(folder.parent, "other")
    with other.writing():
        wrong = prototypes(["x", "y"])
        other.write(text_keys(["new 1", "new 2"]), wrong)
    shutil.copy(other.folder / "000000.arrow", folder / "000009.arrow")
    store = tiny_store(folder.parent)
    assert absent(store, [*TEXTS, "new 1"]) == ["new 1"]
    assert "000009.arrow is damaged: it belongs to another table" in warnings(caplog)
    assert fill(store, ["new 1"]) == [1]
    assert (folder / "000009.arrow.damaged").exists() and (folder / "000010.arrow").exists()


def test_what_is_not_the_tables_is_left_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "README").write_text("mine")
    (folder / "1.arrow").write_text("mine")
    (folder / "000004.arrow").mkdir()
    (folder / "00000000001.arrow").write_text("mine")
    store = tiny_store(folder.parent)
    assert absent(store, TEXTS) == []
    assert fill(store, ["new"]) == [1]
    assert (folder / "000005.arrow").is_file()
    assert absent(tiny_store(folder.parent), [*TEXTS, "new"]) == []
    assert (folder / "README").read_text() == (folder / "1.arrow").read_text() == "mine"
    assert warnings(caplog) == ""


def test_the_last_number_is_an_error_and_no_silent_loss(folder: Path) -> None:
    (folder / "999999999.arrow").write_text("foreign")
    store = tiny_store(folder.parent)
    with store.writing(), pytest.raises(PolysenseError, match=r"999999999\.arrow.*remove"):
        store.write(text_keys(["new"]), prototypes(["new"]))


def test_every_byte_of_the_index(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = folder / "index.bin"
    good = file.read_bytes()
    random = np.random.default_rng(0)
    for at in range(len(good)):
        flip(file, at, int(random.integers(8)))
        with pytest.raises(DamagedIndex):
            KeyIndex.load(file)
        if at % 150 == 0:
            assert absent(tiny_store(folder.parent), TEXTS) == []
            assert "index.bin is damaged" in warnings(caplog)
        file.write_bytes(good)
    flip(file, 100)
    assert fill(tiny_store(folder.parent)) == [0, 0, 0, 0]
    assert file.read_bytes() == good


@pytest.mark.parametrize("size", [0, 7, 30, 200, -1, None])
def test_an_index_cut_short_or_gone_is_rebuilt(
    folder: Path, size: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "index.bin"
    good = file.read_bytes()
    file.unlink()
    if size is not None:
        file.write_bytes(good[:size])
    assert absent(tiny_store(folder.parent), TEXTS) == []
    assert ("index.bin is damaged" in warnings(caplog)) == (size is not None)
    assert fill(tiny_store(folder.parent)) == [0, 0, 0, 0]
    assert file.read_bytes() == good


def test_an_index_of_other_shards_is_not_believed(folder: Path) -> None:
    file = folder / "index.bin"
    old = file.read_bytes()
    store = tiny_store(folder.parent)
    fill(store, ["new 1", "new 2"], chunk=1)
    new = file.read_bytes()
    file.write_bytes(old)  # knows 4 of 6
    assert absent(tiny_store(folder.parent), [*TEXTS, "new 1", "new 2"]) == []
    file.write_bytes(new)
    (folder / "000004.arrow").unlink()  # knows 6 of 5
    assert absent(tiny_store(folder.parent), [*TEXTS, "new 1", "new 2"]) == ["new 1"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"k": 2}', '{"table": "0", "k": 2}', "\udcff"])
def test_a_damaged_description_is_named_and_written_anew(
    folder: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "table.json"
    good = file.read_bytes()
    file.write_bytes(text.encode(errors="surrogateescape"))
    store = tiny_store(folder.parent)
    assert absent(store, TEXTS) == []
    assert "table.json is damaged" in warnings(caplog)
    fill(store)
    assert file.read_bytes() == good


def test_every_byte_of_the_description(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = folder / "table.json"
    good = file.read_bytes()
    for at in range(len(good)):
        if good[at : at + 1].isspace():  # between tokens, white space may be any white space
            continue
        flip(file, at, at % 8)
        assert absent(tiny_store(folder.parent), TEXTS[:1]) == []
        assert "table.json is damaged" in warnings(caplog)
        file.write_bytes(good)


def test_the_folder_of_another_table_is_an_error(folder: Path) -> None:
    other = PrototypeStore(folder.parent, {"tower": "other"}, K, WIDTH, np.float16)
    shutil.copytree(folder, other.folder)
    with pytest.raises(PolysenseError, match=r"describes another table .* move"):
        len(other)
    with pytest.raises(PolysenseError, match=r"describes another table .* move"), other.writing():
        pass
