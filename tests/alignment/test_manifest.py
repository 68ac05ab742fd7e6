"""The user's own pictures, sounds and clips: folders and tables, and what is said about broken ones."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polysense.alignment.manifest import Pair, concept_of, load_pairs
from polysense.errors import PolysenseError

Make = Callable[..., Path]
ENDINGS = frozenset({".png", ".jpg", ".webp"})


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes files, with their text or as empty stand-ins for pictures, which are not opened here."""

    def files(**texts: str | None) -> Path:
        for name, text in texts.items():
            file = tmp_path / name.replace("__", "/").replace("_", ".")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text or "", encoding="utf-8")
        return tmp_path

    return files


def fails(path: Path, *parts: str) -> None:
    with pytest.raises(PolysenseError) as caught:
        load_pairs(path, ENDINGS)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("caption", "concept"),
    [
        ("A banana.", "banana"),
        ("banana", "banana"),
        ("  The   Red\tApple! ", "red apple"),
        ("An “Étude”", "étude"),
        ("a", "a"),
        ("???", "???"),
        ("Anchor", "anchor"),
        ("T-shirt (blue)", "t-shirt (blue)"),
    ],
)
def test_concept_is_the_normalised_caption(caption: str, concept: str) -> None:
    assert concept_of(caption) == concept


def test_folder_with_captions_beside(make: Make) -> None:
    folder = make(
        b_JPG=None, b_txt="\n A ball. \n\nA red ball.\n", sub__a_webp=None, sub__a_txt="\ufeffApple", x_txt="x"
    )
    assert load_pairs(folder, ENDINGS) == [
        Pair(("A ball.", "A red ball."), folder / "b.JPG", "ball", "manifest"),
        Pair(("Apple",), folder / "sub" / "a.webp", "apple", "manifest"),
    ]


def test_folder_warns_of_pictures_without_caption(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    folder = make(a_png=None, a_txt="a cat", b_png=None, c_png=None)
    with caplog.at_level(logging.WARNING):
        pairs = load_pairs(folder, ENDINGS)
    assert [pair.file.name for pair in pairs] == ["a.png"]
    assert "2 of 3 pictures have no caption, e.g. b.png" in caplog.text


def test_what_counts_as_an_item_is_the_mediums(make: Make) -> None:
    folder = make(a_png=None, a_txt="a cat", b_wav=None, b_txt="a dog")
    assert [pair.file.name for pair in load_pairs(folder, frozenset({".wav"}), "sound")] == ["b.wav"]
    with pytest.raises(PolysenseError, match=r"no sounds in this folder; .* beside each sound \(.mp3"):
        load_pairs(folder, frozenset({".mp3"}), "sound")
    (folder / "x.csv").write_text("caption,file\na cow,cow.wav\n")
    with pytest.raises(PolysenseError, match=r"no sound 'cow\.wav'"):
        load_pairs(folder / "x.csv", frozenset({".wav"}), "sound")


def test_folders_as_items(make: Make) -> None:
    folder = make(a_png=None, a_txt="a cat", run_1__1_png=None, run_1__2_png=None, run_1__1_txt="first", b__c_png=None)
    (folder / "run.1.txt").write_text("a man runs")
    clips = load_pairs(folder, ENDINGS, "clip", folders=True)
    assert [(pair.captions, pair.file.name) for pair in clips] == [(("a cat",), "a.png"), (("a man runs",), "run.1")]
    assert [pair.file.name for pair in load_pairs(folder, ENDINGS)] == ["a.png", "1.png"]
    (folder / "x.csv").write_text("caption,file\na man runs,run.1\n")
    assert load_pairs(folder / "x.csv", ENDINGS, "clip", folders=True)[0].file == folder / "run.1"
    fails(folder / "x.csv", "no picture 'run.1'")


def test_folder_with_links_in_a_circle(make: Make) -> None:
    folder = make(a_png=None, a_txt="a cat", sub__b_png=None, sub__b_txt="a dog", e_png=None)
    (folder / "sub" / "up").symlink_to(folder)
    for name in ("c.png", "c.txt", "e.txt"):
        (folder / name).symlink_to(folder / name)
    assert [pair.file.name for pair in load_pairs(folder, ENDINGS, folders=True)] == ["a.png", "b.png"]
    (folder / "circle").symlink_to(folder / "circle")
    fails(folder / "circle", "circle")


def test_folder_that_is_very_deep(make: Make) -> None:
    folder = make(a_png=None, a_txt="a cat")
    deepest = f"{folder}{'/d' * 1200}"
    os.makedirs(f"{folder}{'/d' * 600}")
    os.makedirs(deepest)
    try:
        assert [pair.file.name for pair in load_pairs(folder, ENDINGS)] == ["a.png"]
    finally:
        os.removedirs(deepest)  # what clears temporary folders does not go so deep


def test_folder_with_a_subfolder_that_cannot_be_read(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, scan = make(a_png=None, a_txt="a cat", sub__b_png=None), os.scandir

    def scandir(path: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    closed = "sub"
    assert [pair.file.name for pair in load_pairs(folder, ENDINGS)] == ["a.png"]
    assert f"{folder / 'sub'}: cannot be read (Permission denied); left out" in caplog.text
    closed = folder.name
    fails(folder, f"{folder}: cannot be read (Permission denied); check its rights")


def test_folder_without_anything(make: Make) -> None:
    fails(make(a_txt="a cat"), "no pictures in this folder")


def test_folder_without_captions(make: Make) -> None:
    fails(make(a_png=None), "none of its 1 pictures has a caption", "a.txt")


def test_folder_with_an_empty_caption(make: Make) -> None:
    folder = make(a_png=None, a_txt=" \n")
    with pytest.raises(PolysenseError, match=r"a\.txt: no caption in it"):
        load_pairs(folder, ENDINGS)


def test_folder_with_a_caption_that_is_not_utf8(make: Make) -> None:
    folder = make(a_png=None)
    (folder / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(PolysenseError, match=r"a\.txt: not UTF-8"):
        load_pairs(folder, ENDINGS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'caption,file\n"A cat, sitting",p/a.png\nA dog,b.png\nTom,./p/a.png\nTom,p/a.png\n'),
        ("t.tsv", "file\tcaption\np/a.png\tA cat, sitting\nb.png\tA dog\np/a.png\tTom\n"),
        (
            "t.jsonl",
            """{"caption": "A cat, sitting", "file": "p/a.png"}
            {"caption": "A dog", "file": "b.png"}
            {"caption": "Tom", "file": "p/a.png"}
            """,
        ),
    ],
)
def test_table_merges_the_rows_of_a_file(make: Make, name: str, text: str) -> None:
    folder = make(p__a_png=None, b_png=None)
    (folder / name).write_text(text)
    assert load_pairs(str(folder / name), ENDINGS) == [
        Pair(("A cat, sitting", "Tom"), folder / "p" / "a.png", "cat, sitting", "manifest"),
        Pair(("A dog",), folder / "b.png", "dog", "manifest"),
    ]


def test_missing_path(make: Make) -> None:
    fails(make() / "none.csv", "no such file")


@pytest.mark.parametrize("column", ["caption", "file"])
def test_table_without_a_column(make: Make, column: str) -> None:
    other = {"caption": "file", "file": "caption"}[column]
    fails(make(t_csv=f"{other},more\na.png,x\n") / "t.csv", f"no column '{column}'", f"'{other}'")


def test_table_with_an_empty_caption(make: Make) -> None:
    fails(make(a_png=None, t_csv="caption,file\nx,a.png\n ,a.png\n") / "t.csv", "'caption', line 3", "empty")


def test_table_with_a_picture_that_is_not_there(make: Make) -> None:
    table = make(apple_png=None, t_csv="caption,file\nx,apple.png\n\ny,aple.png\n") / "t.csv"
    fails(table, "'file', line 4", "no picture 'aple.png'", "did you mean 'apple.png'?")


def test_table_with_a_name_that_no_file_can_have(make: Make) -> None:
    fails(make(t_csv=f"caption,file\nx,{'n' * 5000}.png\n") / "t.csv", "'file', line 2", "no picture")


@pytest.mark.parametrize("inside", ["../a.png", "p/../a.png", "p/../../a.png", "/etc/hostname", ".", ""])
def test_table_with_a_path_that_leaves_its_folder(make: Make, inside: str) -> None:
    folder = make(a_png=None, p__a_png=None, p__t_csv=f'caption,file\nx,"{inside}"\n')
    fails(folder / "p" / "t.csv", "'file', line 2", "is not a path inside the table's folder")
