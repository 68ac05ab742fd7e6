"""Pictures found by their captions."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import picture_files
from polysense.errors import PolysenseError
from polysense.prototypes.distributed import ray_reader
from polysense.prototypes.mentions import Mention
from polysense.prototypes.reading import Reading
from polysense.retrieval import index as index_module
from polysense.retrieval.encoders import ClipPictures
from polysense.retrieval.index import PictureIndex
from polysense.retrieval.opening import open_source
from polysense.retrieval.source import PictureSource

WIDTH = 512


class BagOfWords:
    """Stands in for MiniLM: a text is the unit vector of its words. Counts what it reads."""

    texts_read = 0
    tower = property(lambda self: self)

    def fingerprint(self) -> str:
        return "words"

    def __call__(self, texts: Sequence[str], on_read: Callable[[int], object] = lambda _: None) -> np.ndarray:
        BagOfWords.texts_read += len(texts)
        vectors = np.zeros((len(texts), WIDTH), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in text.split():
                vector[zlib.crc32(word.encode()) % WIDTH] += 1
            on_read(1)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def release(self) -> None:
        pass


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[BagOfWords]:
    monkeypatch.setattr(index_module, "SentenceEmbedder", BagOfWords)
    monkeypatch.setenv("POLYSENSE_CACHE", str(tmp_path / "cache"))
    BagOfWords.texts_read = 0
    return BagOfWords


@pytest.fixture
def open_folder(clip_pictures: Path) -> Callable[..., PictureSource]:
    def opened(place: Path, options: str = "", k: int = 2, **arguments: object) -> PictureSource:
        spec = f"pictures:{place},encoder={clip_pictures}{options}"
        source = open_source(spec, Reading(k=k, precision="exact"), **arguments)
        assert isinstance(source, PictureSource)
        return source

    return opened


def test_the_best_fitting_pictures_in_that_order(pictures: Path, open_folder: Callable[..., PictureSource]) -> None:
    """A picture fits as well as the best of its captions; names of files are captions, numbers at their end are not."""
    source = open_folder(pictures)
    texts = ["yellow banana", ("some red", "blue apple"), "grass", "", "   ", "nothing known"]
    first, pair, grass, *without = source.extract(texts)
    assert first.tokens == ("yellow banana", "a green leaf")  # the second by a cosine of zero: the first of the others
    assert first.saliency.tolist() == pytest.approx([1, 0])
    assert first.spans == ((0, 0, 13), (0, 0, 13))
    assert pair.tokens == ("red apple", "blue sky")
    assert pair.saliency.tolist() == pytest.approx([2 / 8**0.5, 1 / 8**0.5])
    assert pair.spans == ((0, 0, 8), (0, 0, 8))
    assert grass.tokens[0] == "a green leaf"
    assert grass.saliency[0] == pytest.approx(1)
    assert [found.tokens for found in without[:2]] == [(), ()]
    files = sorted(pictures.glob("*.png"))
    features, _ = ClipPictures(source.spec.partition("encoder=")[2]).features(files)
    np.testing.assert_array_equal(first.features[0], features[3])
    assert source.names(range(4)) == ("a green leaf", "blue sky", "red apple", "yellow banana")


def test_what_fits_too_little_is_not_found(pictures: Path, open_folder: Callable[..., PictureSource]) -> None:
    block = open_folder(pictures, ",similarity=0.4").block(["yellow banana", "red cat and dog", "red cat"])
    assert block.mask.tolist() == [[True, False], [False, False], [True, False]]
    assert block.features[~block.mask].abs().sum() == 0


def test_fewer_pictures_than_k(pictures: Path, open_folder: Callable[..., PictureSource]) -> None:
    block = open_folder(pictures, k=9).block(["red"])
    assert block.features.shape == (1, 9, 6)
    assert block.mask.sum() == 4


def test_texts_in_several_parts(
    pictures: Path, open_folder: Callable[..., PictureSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["red", "yellow banana", "", "sky of blue", "grass"]
    together = open_folder(pictures).batch(texts)
    monkeypatch.setattr(index_module, "TOGETHER", 2)
    apart = open_folder(pictures).batch(texts)
    for name in ("features", "counts", "token_ids", "saliency"):
        np.testing.assert_array_equal(getattr(apart, name), getattr(together, name))


def test_a_table_of_files_and_captions(pictures: Path, open_folder: Callable[..., PictureSource]) -> None:
    (pictures / "table.csv").write_text("file,caption\nblue_sky.png,the sea\n0001.png,a lawn\nblue_sky.png,water\n")
    source = open_folder(pictures / "table.csv", k=1)
    assert [p.tokens for p in source.extract(["water", "lawn"])] == [("the sea",), ("a lawn",)]


def test_pictures_without_words_and_broken_ones_are_left_out(
    pictures: Path, open_folder: Callable[..., PictureSource], caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("RGB", (4, 4)).save(pictures / "_42.png")
    (pictures / "green broken.png").write_bytes(b"nothing")
    source = open_folder(pictures, k=9)
    assert sorted(source.extract(["green"])[0].tokens) == ["a green leaf", "blue sky", "red apple", "yellow banana"]
    assert "1 of 6 pictures have no caption, e.g. _42.png; left out" in caplog.text
    assert f"1 of 5 pictures are left out: {pictures / 'green broken.png'} (not a picture)" in caplog.text


def test_no_pictures_at_all(tmp_path: Path, open_folder: Callable[..., PictureSource]) -> None:
    with pytest.raises(PolysenseError, match="nowhere"):
        open_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PolysenseError, match="empty: no pictures in this folder"):
        open_folder(tmp_path / "empty")
    Image.new("RGB", (4, 4)).save(tmp_path / "empty" / "1.png")
    with pytest.raises(PolysenseError, match="none of its 1 pictures has a caption"):
        open_folder(tmp_path / "empty")
    (tmp_path / "empty" / "cat.png").write_bytes(b"no")
    with pytest.raises(PolysenseError, match="none of the 1 pictures could be read"):
        open_folder(tmp_path / "empty")


def test_nothing_is_computed_twice(
    pictures: Path,
    open_folder: Callable[..., PictureSource],
    words: type[BagOfWords],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = open_folder(pictures, store=tmp_path / "store")
    assert words.texts_read == 5  # captions
    assert source.prepare(["red", "a banana", "red"]).read == 2
    monkeypatch.setattr(ClipPictures, "_encode", None)
    again = open_folder(shutil.move(pictures, tmp_path / "moved"), store=tmp_path / "store")
    assert again.prepare(["a banana", "red"]).read == 0
    np.testing.assert_array_equal(again.batch(["red"]).features, source.batch(["red"]).features)
    assert words.texts_read == 7
    assert open_folder(tmp_path / "moved", k=3, store=tmp_path / "store").prepare(["red"]).read == 1


@pytest.mark.parametrize("damage", [lambda data: b"damage", lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_kept_captions_that_are_damaged_are_computed_again(
    pictures: Path,
    open_folder: Callable[..., PictureSource],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
) -> None:
    first = open_folder(pictures).batch(["red"])
    (file,) = (tmp_path / "cache" / "captions").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(open_folder(pictures).batch(["red"]).token_ids, first.token_ids)
    assert f"{file}: damaged" in caplog.text


def test_the_fingerprint_says_what_is_found(
    pictures: Path, open_folder: Callable[..., PictureSource], tmp_path: Path
) -> None:
    def fingerprint(options: str = "") -> str:
        return open_folder(pictures, options).fingerprint

    found = {fingerprint(), fingerprint(",similarity=0.1")}
    (pictures / "notes.md").write_text("no picture")
    assert fingerprint() in found
    (pictures / "0001.txt").write_text("a leaf")
    found.add(fingerprint())
    Image.new("RGB", (24, 16), "pink").save(pictures / "blue_sky.png")
    found.add(fingerprint())
    assert len(found) == 4


def test_entities_are_looked_for_by_their_words(pictures: Path, open_folder: Callable[..., PictureSource]) -> None:
    source = open_folder(pictures, ",similarity=0.4")
    text = "a red apple and the blue sky"
    mentions = [
        Mention(text, 0, 2, 11),
        Mention(("x", text), 1, 20, 28),
        Mention(text, 0, 1, 2),
        Mention(text, 0, 16, 19),
    ]
    found = source.mentions().batch(mentions)
    assert found.counts.tolist() == [1, 1, 0, 0]
    expected = source.batch(["red apple", "blue sky"]).features[:, 0]
    np.testing.assert_allclose(found.features[:2, 0], expected)
    both = open_folder(pictures, ",similarity=0.4").mentions().batch([Mention("red sky", 0, 0, 7)])
    np.testing.assert_allclose(both.features[0, 0], expected.mean(axis=0), rtol=1e-6)


def test_minilm_finds_what_is_meant(
    pictures: Path, open_folder: Callable[..., PictureSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    source = open_folder(pictures, k=1)
    found = source.extract(["ripe fruit that monkeys love", "the weather is clear", "a meadow"])
    assert [p.tokens[0] for p in found] == ["yellow banana", "blue sky", "a green leaf"]
    source.release()
    assert source.extract(["monkeys and fruit"])[0].tokens == ("yellow banana",)
    assert isinstance(source.handle.finder, PictureIndex)


def test_a_saved_models_folder_is_not_read_unasked(
    pictures: Path, open_folder: Callable[..., PictureSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name may be that of the whole disk. What a person gives needs no consent."""
    monkeypatch.chdir(pictures.parent)
    fingerprint = open_folder(pictures).fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(index_module, "load_pairs", lambda *_, **__: pytest.fail("read"))
        for value in (None, "", "1", f"{pictures}2", f"{pictures}/in", "picture"):
            patch.delenv(index_module.CONSENT, raising=False)
            if value is not None:
                patch.setenv(index_module.CONSENT, value)
            for place in (pictures, f"{pictures}/../pictures", "pictures"):
                with pytest.raises(PolysenseError, match="not read unasked: if you trust it, set POLY") as told:
                    open_folder(place, saved=True)
                assert f"this model finds pictures in {pictures}, " in str(told.value) and "\n" not in str(told.value)
    for value in (str(pictures), "pictures/", str(pictures.parent), "/"):
        monkeypatch.setenv(index_module.CONSENT, value)
        assert open_folder(pictures, saved=True).fingerprint == fingerprint
    (pictures.parent / "elsewhere").symlink_to("/")
    monkeypatch.setenv(index_module.CONSENT, str(pictures.parent))
    with pytest.raises(PolysenseError, match="finds pictures in /, which is not read unasked"):
        open_folder(pictures.parent / "elsewhere", saved=True)


def test_moved_pictures_are_the_same(tmp_path: Path, open_folder: Callable[..., PictureSource]) -> None:
    one, other = (picture_files.draw(tmp_path / name) for name in ("one", "other"))
    assert open_folder(one).fingerprint == open_folder(other).fingerprint


def test_pictures_are_not_read_by_workers(pictures: Path, open_folder: Callable[..., PictureSource]) -> None:
    with pytest.raises(PolysenseError, match=r"--workers reads towers, and pictures:.* is none: leave out --workers"):
        ray_reader(open_folder(pictures), 2)


def test_a_place_that_is_not_there_is_said_with_what_to_do(
    open_folder: Callable[..., PictureSource], pictures: Path
) -> None:
    with pytest.raises(
        PolysenseError, match=r"picturs: no such folder or table \(did you mean 'pictures'\?\); give a"
    ) as told:
        open_folder(pictures.parent / "picturs")
    assert str(told.value).startswith(f"pictures:{pictures.parent / 'picturs'}: ") and "\n" not in str(told.value)
