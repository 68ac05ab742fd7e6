"""The verb `extract`: prototypes, and scene graphs, of a task or of files, stored ahead of training."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polysense.cache import Store, store_folder
from polysense.errors import PolysenseError
from polysense.models.graph_inputs import text_mentions
from polysense.prototypes.distributed import ray_reader
from polysense.prototypes.lookup import ChunkReader, FeatureLookup, Item
from polysense.prototypes.reading import Reading
from polysense.retrieval.opening import open_source
from polysense.scene_graphs.extractor import GraphExtractor
from polysense.tasks import get_task, read_texts
from polysense.text import Text
from polysense.towers.registry import parse_towers
from polysense.training.data import split_texts
from polysense.training.train import DEFAULT_TOWERS


def extract(
    task: str | None = None,
    *,
    towers: Sequence[str] = DEFAULT_TOWERS,
    data_dir: str | Path | None = None,
    files: Sequence[str | Path] = (),
    text_columns: Sequence[str] = ("text",),
    reading: Reading | None = None,
    store: Store = None,
    workers: int | None = None,
    scene_graphs: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Store the prototypes of all texts of a task, or of files, for training and prediction to look up.

    What is stored is checked and kept; what is missing or damaged is read. Interrupted, it goes on where it stopped.

    Args:
        task: a task by name, all its splits; or None for `files`.
        towers: ["image=SPEC", ...] (see `polysense.towers.registry`).
        files: the user's own rows, in any form that `train` takes.
        text_columns: of tables; two for pairs.
        reading: K and the other choices; training must ask for the same.
        store: the folder; None: the cache's (`$POLYSENSE_CACHE`).
        workers: read on that many processes of Ray, a core or a GPU each; None: in this process.
        scene_graphs: also parse the texts, and read what each tower makes of their entities, for MASE; in this process.

    Returns:
        {"store", "towers": {modality: {"tower", "texts", "read", "seconds", "rows", "bytes", "folder"}}}: texts given,
        distinct ones that had to be read, and the rows and bytes of the whole table. With scene graphs also "entities",
        the same by modality with "entities" for "texts", and "scene_graphs": {"texts", "parsed", "seconds"}.

    Raises:
        PolysenseError: neither or both of task and files are given, nothing may be stored, or as `PrototypeStore`.
    """
    if (task is None) == (not files):
        raise PolysenseError("give either a task by name or files with texts (--task or --file)")
    root = store_folder(store)
    if root is None:
        raise PolysenseError("extract needs a folder to store prototypes in: give --store")
    reading = reading or Reading()
    texts = task_texts(task, data_dir) if task else file_texts(files, text_columns)
    result: dict[str, Any] = {"store": str(root), "towers": {}}
    graphs = GraphExtractor(root) if scene_graphs else None
    if graphs is not None:
        started = time.perf_counter()
        parsed = graphs.prepare(texts, "scene graphs" if progress else None)
        seconds = round(time.perf_counter() - started, 2)
        result |= {"scene_graphs": {**asdict(parsed), "seconds": seconds}, "entities": {}}
    for modality, spec in parse_towers(towers).items():
        extractor = open_source(spec, reading, root)
        reader = None if workers is None else ray_reader(extractor, workers)
        result["towers"][modality] = _prepare(
            extractor, texts, "texts", f"{modality} prototypes" if progress else None, reader
        )
        if graphs is not None:
            mentions = extractor.mentions()
            spans = text_mentions(texts, graphs)
            result["entities"][modality] = _prepare(
                mentions, spans, "entities", f"{modality} entities" if progress else None
            )
    return result


def _prepare(
    extractor: FeatureLookup[Item],
    items: Iterable[Item],
    name: str,
    progress: str | None,
    reader: ChunkReader[Item] | None = None,
) -> dict[str, Any]:
    started = time.perf_counter()
    counts = extractor.prepare(items, progress, verify=True, reader=reader)
    seconds = round(time.perf_counter() - started, 2)
    row = {"tower": extractor.spec, name: counts.items, "read": counts.read, "seconds": seconds}
    if extractor.store is not None:
        row |= {"rows": len(extractor.store), "bytes": extractor.store.size_in_bytes}
        row["folder"] = str(extractor.store.folder)
    return row


def task_texts(task: str, data_dir: str | Path | None = None) -> list[Text]:
    """The texts of all splits of a task."""
    data = get_task(task).load(Path(data_dir) if data_dir else None)
    return [text for split in data.splits.values() for text in split_texts(split)]


def file_texts(files: Sequence[str | Path], text_columns: Sequence[str]) -> list[Text]:
    """The texts of the user's own rows."""
    return [text for file in files for text in split_texts(read_texts(file, list(text_columns)))]
