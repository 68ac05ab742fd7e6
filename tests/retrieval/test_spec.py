"""What a person writes to have pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from polysense.errors import PolysenseError
from polysense.retrieval.opening import open_source
from polysense.retrieval.spec import PictureSpec, is_picture_spec


def test_a_folder_with_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths become whole, hub ids stay; a comma in a name is part of it."""
    monkeypatch.chdir(tmp_path)
    spec = PictureSpec.parse("pictures:a,b,encoder=openai/clip,similarity=0.5")
    assert spec == PictureSpec("pictures", str(tmp_path / "a,b"), "openai/clip", 0.5)
    (tmp_path / "clip").mkdir()
    assert PictureSpec.parse("pictures:a,encoder=clip").encoder == str(tmp_path / "clip")


@pytest.mark.parametrize(
    "spec", ["pictures:/a", "pictures:/a,b,encoder=x/y,similarity=-0.25", "search:look {} -n 3,seconds=5", "search:a"]
)
def test_it_is_written_as_it_was_read(spec: str) -> None:
    assert is_picture_spec(spec)
    if os.name == "posix":
        assert str(PictureSpec.parse(spec)) == spec


def test_names_that_no_folder_can_have(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in (f"{tmp_path}/circle", f"{tmp_path}/circle/in", "n" * 5000, "~no-such-user/a"):
        with pytest.raises(PolysenseError, match="no such folder or table"):
            open_source(f"pictures:{name}")
    assert PictureSpec.parse(f"pictures:a,encoder={'n' * 5000}").encoder == "n" * 5000


def test_towers_are_no_pictures() -> None:
    assert not any(is_picture_spec(spec) for spec in ("image", "noise", "raw:pictures", "openai/clip", "pictures"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pictures:", "write a folder of pictures after pictures:"),
        ("pictures:a\0b", "write a folder of pictures after pictures:"),
        ("search: ,seconds=3", "write a command after search:"),
        ("pictures:a,similarity=2", "similarity is a number from -1 to 1, not '2'"),
        ("pictures:a,similarity=nan", "similarity is a number from -1 to 1, not 'nan'"),
        ("search:a,seconds=soon", "seconds is a number from 0.1 to 3600, not 'soon'"),
        ("pictures:a,seconds=3", "seconds is given twice or is no option of pictures; options: encoder, similarity"),
        ("search:a,seconds=3,seconds=4", "seconds is given twice"),
    ],
)
def test_mistakes_are_named(spec: str, message: str) -> None:
    with pytest.raises(PolysenseError, match=message) as caught:
        PictureSpec.parse(spec)
    assert str(caught.value).startswith(f"tower {spec}: ")
