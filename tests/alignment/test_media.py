"""What all media share: leaving out, batches and the cache, with a medium of text files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from polysense.alignment import media
from polysense.alignment.media import MediaFeatures, Medium, Parts, UnusableError, media_features, read_file
from polysense.durable import LOCKS
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
        LOCKS, "text-features-1.safetensors", "text-features-2.safetensors",
    ]  # fmt: skip


def kept(folder: Path) -> int:
    """Rows in the cache."""
    file = folder / "cache" / "text-features-1.safetensors"
    return len(load_file(file)["keys"]) if file.exists() else 0


def looking(medium: Medium[bytes, int], look: Callable[[], object]) -> Medium[bytes, int]:
    """The medium, one by one, that looks at something before it encodes."""

    def encode(sizes: list[int]) -> Parts:
        look()
        return medium.encode(sizes)

    return replace(medium, batch=1, encode=encode)


def test_what_another_process_kept_meanwhile_stays(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "cache").mkdir()
    (other / "cache").symlink_to(tmp_path / "cache")
    texts = iter([("xxxx", "xxxxx"), ("yyyyyy",), ()])
    medium = looking(lengths(), lambda: read(other, *more) if (more := next(texts)) else None)
    assert sizes(read(tmp_path, "a", "ab", "abc", medium=medium)) == [1, 2, 3]
    assert kept(tmp_path) == 6
    medium = looking(lengths(), lambda: pytest.fail("encoded again"))
    assert sizes(read(tmp_path, "xxxxx", "ab", "yyyyyy", medium=medium)) == [5, 2, 6]


def test_a_killed_process_has_kept_what_it_had_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every so often, but not with each batch where the file takes long to write."""
    texts, seen = ["a", "ab", "abc", "abcd"], []
    read(tmp_path, *texts, medium=looking(lengths(), lambda: seen.append(kept(tmp_path))))
    assert seen == [0, 0, 0, 0]
    (tmp_path / "cache" / "text-features-1.safetensors").unlink()
    monkeypatch.setattr(media, "KEEP_EVERY", 0)
    monkeypatch.setattr(media, "KEEP_SHARE", 1e9)
    read(tmp_path, *texts, medium=looking(lengths(), lambda: seen.append(kept(tmp_path))))
    assert seen[4:] == [0, 1, 2, 3]
    (tmp_path / "cache" / "text-features-1.safetensors").unlink()
    monkeypatch.setattr(media, "KEEP_SHARE", 1e-9)
    read(tmp_path, *texts, medium=looking(lengths(), lambda: seen.append(kept(tmp_path))))
    assert seen[8:] == [0, 1, 1, 1]


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
