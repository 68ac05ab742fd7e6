"""What is stored of texts. What a store lacks is computed again, so what it gives must be right, or is another reading;
what it warns of counts as an error that names the file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reliability.fuzz.reader import Reader, beside
from polysense.alignment.media import Medium, media_features, read_file
from polysense.errors import PolysenseError
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.store import PrototypeStore
from polysense.scene_graphs.graph import Node, Relation, SceneGraph
from polysense.scene_graphs.store import GraphStore
from polysense.text import text_keys

_TEXTS = [f"a red cat {number}" for number in range(24)]
_K, _WIDTH = 2, 8


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the package warns of within the block."""
    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler = Kept(logging.WARNING)
    logging.getLogger("polysense").addHandler(handler)
    try:
        yield said
    finally:
        logging.getLogger("polysense").removeHandler(handler)


def _told(right: Sequence[bool], said: Sequence[str]) -> bool:
    """Whether all that was found is right; if so, the warnings as an error."""
    if said and all(right):
        raise PolysenseError("; ".join(said))
    return all(right)


def _store(folder: Path) -> PrototypeStore:
    return PrototypeStore(folder, {"tower": "fuzz"}, _K, _WIDTH, np.float16)


def _batch(texts: list[str]) -> PrototypeBatch:
    batch = PrototypeBatch.empty(len(texts), _K, _WIDTH, np.float16)
    for i, text in enumerate(texts):
        draw = np.random.default_rng(len(text) + 100 * _TEXTS.index(text))
        batch.features[i] = draw.random((_K, _WIDTH))
        batch.counts[i] = _K
        batch.token_ids[i] = draw.integers(0, 1000, _K)
        batch.saliency[i] = draw.random(_K)
    return batch


def _write_prototypes(folder: Path) -> None:
    store = _store(folder)
    with store.writing():
        for start in range(0, len(_TEXTS), 8):
            texts = _TEXTS[start : start + 8]
            store.write(text_keys(texts), _batch(texts))


def _read_prototypes(folder: Path) -> Any:
    with _warnings() as said:
        store = _store(folder)
        rows = store.lookup(text_keys(_TEXTS))
        there = np.flatnonzero(rows >= 0)
        batch, intact = store.read(rows[there])
    right, columns = _batch([_TEXTS[i] for i in there]), ("features", "counts", "token_ids", "spans", "saliency")
    equal = [
        all(np.array_equal(getattr(batch, c)[i], getattr(right, c)[i]) for c in columns) for i in range(len(there))
    ]
    return _told([equal[i] for i in np.flatnonzero(intact)], said)


def _graph(number: int) -> SceneGraph:
    nodes = (Node("entity", 0, 2, 5), Node("attribute", 0, 6, 9 + number))
    return SceneGraph(nodes, (Relation(0, 1, "attribute", 0, 6, 6),))


def _graph_keys() -> list[bytes]:
    return [key.tobytes() for key in text_keys(_TEXTS)]


def _write_graphs(folder: Path) -> None:
    keys = _graph_keys()
    GraphStore(folder, {"parser": "fuzz"}).write({key: _graph(i) for i, key in enumerate(keys)})


def _read_graphs(folder: Path) -> Any:
    keys = _graph_keys()
    with _warnings() as said:
        found = GraphStore(folder, {"parser": "fuzz"}).read(keys)
    return _told([found[key] == _graph(i) for i, key in enumerate(keys) if key in found], said)


def _encode(items: list[bytes]) -> dict[str, NDArray[np.float32]]:
    return {"letters": np.stack([np.frombuffer(item[:8], np.uint8) for item in items]).astype(np.float32)}


def _features(folder: Path) -> NDArray[np.float32]:
    """Of files beside the folder, in which they are kept."""
    files = [beside(folder) / f"{number}.txt" for number in range(8)]
    for file, text in zip(files, _TEXTS, strict=False):
        file.write_text(text)
    medium = Medium("text", ("letters",), 1, "text", 8, bytes, _encode, read_file)
    return media_features(medium, files, progress=False, cache=folder).parts["letters"]


def _read_features(folder: Path) -> Any:
    with _warnings() as said:
        found = _features(folder)
    right = _encode([text.encode() for text in _TEXTS[: len(found)]])["letters"]
    return _told((found == right).all(axis=1).tolist(), said)


STORES = (
    Reader("stored prototypes", _write_prototypes, _read_prototypes, checksums=True),
    Reader("stored scene graphs", _write_graphs, _read_graphs, checksums=True),
    Reader("kept features of files", _features, _read_features, checksums=True),
)
