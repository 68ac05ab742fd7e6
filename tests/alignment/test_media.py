"""What all media share: leaving out, batches and the cache, with a medium of text files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from polysense.alignment.media import MediaFeatures, Medium, Parts, UnusableError, media_features, read_file
from polysense.errors import PolysenseError


def lengths(version: int = 1, parts: tuple[str, ...] = ("size", "double")) -> Medium[bytes, int]:
    def decode(data: bytes) -> int:
        if data == b"bad":
            raise UnusableError("a bad one")
        return len(data)

    def encode(sizes: list[int]) -> Parts:
        column = np.array(sizes, np.float32)[:, None]
        # In another order than the medium's.
        return {"double": 2 * column.repeat(2, axis=1), "size": column}

    return Medium("text", parts, version, "text", 2, decode, encode, read_file)


def read(folder: Path, *texts: str, medium: Medium[bytes, int] | None = None) -> MediaFeatures:
    files = [folder / f"{i}.txt" for i in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return media_features(medium or lengths(), files, progress=False, cache=folder / "cache")


def sizes(found: MediaFeatures) -> Sequence[float]:
    return found.parts["size"][:, 0].tolist()


def test_parts_come_in_the_mediums_order_new_or_kept(tmp_path: Path) -> None:
    for _ in range(2):
        found = read(tmp_path, "a", "bad", "abc", "ab", "abc")
        assert list(found.parts) == ["size", "double"]
        assert sizes(found) == [1, 3, 2, 3]
        assert found.parts["double"].tolist() == [[2, 2], [6, 6], [4, 4], [6, 6]]
        assert found.kept.tolist() == [0, 2, 3, 4]
        assert found.skipped == ((tmp_path / "1.txt", "a bad one"),)


def test_versions_are_kept_apart(tmp_path: Path) -> None:
    read(tmp_path, "a")
    read(tmp_path, "a", medium=lengths(2))
    assert sorted(file.name for file in (tmp_path / "cache").iterdir()) == [
        "text-features-1.safetensors", "text-features-2.safetensors",
    ]  # fmt: skip


def a_bit(held: Parts) -> Parts:
    held["size"].view(np.uint8)[0] ^= 1
    return held


def a_part(held: Parts) -> Parts:
    del held["size"]
    return held


@pytest.mark.parametrize("change", [a_bit, a_part])
def test_a_cache_that_is_damaged_is_computed_anew(
    tmp_path: Path, change: Callable[[Parts], Parts], caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, "a", "ab")
    file = tmp_path / "cache" / "text-features-1.safetensors"
    with safe_open(file, framework="numpy") as opened:
        known = opened.metadata()
    save_file(change(load_file(file)), file, known)
    assert sizes(read(tmp_path, "a", "ab")) == [1, 2]
    assert f"{file}: damaged" in caplog.text
    caplog.clear()
    assert sizes(read(tmp_path, "a", "ab")) == [1, 2]
    assert not caplog.text


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(PolysenseError, match=r"none of the 7 texts could be read: .*; and 2 more; give text files"):
        read(tmp_path, *["bad"] * 7)
    with pytest.raises(PolysenseError, match="there are no texts; give text files"):
        read(tmp_path)
