"""Extraction on a local Ray: the same rows whatever the number of workers."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
import torch

import support
from polysense.errors import PolysenseError
from polysense.prototypes import lookup
from polysense.prototypes.distributed import ray_reader
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.prototypes.lookup import ReadCounts
from polysense.text import Text
from polysense.towers.registry import open_tower


def files(folder: Path) -> dict[str, str]:
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*"))
        if f.suffix in (".arrow", ".json")
    }


def test_workers_do_not_change_the_rows(clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte the files that one process writes; texts that come twice, pairs, and long ones among them."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(lookup, "CHUNK", 8)
    assert torch.get_num_threads() == 1
    # The first chunk takes longest: its shard must come first all the same.
    texts: list[Text] = ["banana " * 3000, *support.sentences(40, 30, seed=4), ("the cat", "a dog"), "", "banana " * 60]
    texts += texts[:10]
    expected = PrototypeExtractor(open_tower(str(clip_folder)), store=tmp_path / "here").prepare(texts)
    # Actors import the package from where these tests do.
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        for workers in (1, 2):
            extractor = PrototypeExtractor(open_tower(str(clip_folder)), store=tmp_path / str(workers))
            read: list[int] = []
            reader = ray_reader(extractor, workers)
            counts = extractor.prepare(texts, reader=lambda chunks, _: reader(chunks, read.append))  # noqa: B023
            assert counts == expected
            assert sum(read) == counts.read == len(set(texts))
            assert files(tmp_path / str(workers)) == files(tmp_path / "here")
            assert extractor.prepare(texts, reader=reader) == ReadCounts(items=len(texts), read=0)
        changed = PrototypeExtractor(open_tower(str(clip_folder)), store=tmp_path / "changed")
        changed.handle.fingerprint = "another"
        with pytest.raises(PolysenseError, match=r"^tower .* has changed since it was opened first"):
            changed.prepare(texts, reader=ray_reader(changed, 1))
    finally:
        ray.shutdown()


def test_bad_requests(monkeypatch: pytest.MonkeyPatch, clip_folder: Path) -> None:
    extractor = PrototypeExtractor(open_tower(str(clip_folder)))
    with pytest.raises(PolysenseError, match=r"--workers must be at least 1, not 0"):
        ray_reader(extractor, 0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PolysenseError, match=r"--workers needs ray: pip install 'polysense\[ray\]'"):
        ray_reader(extractor, 2)
