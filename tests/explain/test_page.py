"""The page as text: what it says, and that nothing from outside gets into its markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from polysense.explain.page import CLASSES, page, write_page

VOID = {"meta", "link", "br"}


class Parsed(HTMLParser):
    """Elements in order, what stands between them, and whether each that opens is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.marked: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "mark":
            self.marked.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if "mark" in self.open:
            self.marked[-1] += data


def test_every_page_is_whole_and_needs_nothing(made_up):
    text = page(made_up)
    found = Parsed(text)
    assert text.startswith("<!doctype html>") and found.tags[:2] == ["html", "head"] and found.tags.count("title") <= 2
    assert not {"script", "img", "iframe", "object", "form", "base"} & set(found.tags)
    assert [value for name, value in found.attributes if name in ("src", "href", "action")] == ["data:,"]
    assert not any(name.startswith("on") for name, _ in found.attributes)
    assert "url(" not in text and "@import" not in text and "http:" not in text and "https:" not in text


def test_the_example(example):
    found = Parsed(page(example))
    assert found.marked == ["dog", "red", "car", "dog", "bark", "s at"]
    for part in ("A dog called Rex barks at the red car", "mase", "models/scenes", "angry", "62.0%", "weight 0.50",
                 "3.1×", "barks at", "−32.0", "it says calm (70.0%)", "3 entities"):  # fmt: skip
        assert part in found.text, part


def test_texts_labels_and_names_are_shown_not_obeyed(nasty):
    text = page(nasty)
    found = Parsed(text)
    for part in ('<script>alert("&\'1\'")</script>', 'next </title> & "quotes"', "كلب اسمه ريكس", "models/<m>",
                 "<b>19&"):  # fmt: skip
        assert part in found.text, part
    assert found.marked == ["<script>", "&'", "\ufffd"]
    assert "\x1b" not in text and "\r" not in text
    assert "b" not in found.tags
    assert len(re.findall(r"<b>\d+&", found.text.split("Modalities")[0])) == CLASSES + 1
    assert f"and {20 - CLASSES} more, " in found.text


def test_a_long_text_is_cut_and_there_as_a_whole(long):
    found = Parsed(page(long))
    assert found.text.count(long.texts[1]) == 1 and "details" in found.tags
    assert found.marked == ["quick", "<lynx>"] and "characters …" in found.text
    assert len(found.text) < len(long.texts[1]) + 4000


def test_the_empty_text_without_weights(empty):
    found = Parsed(page(empty))
    for part in ("(the empty text)", "No prototypes", "3.250", "1.200 (−2.050)", "+0.250", "No entity"):
        assert part in found.text, part
    assert "weight" not in found.text and "model ," not in found.text


def test_a_page_that_fails_leaves_the_old_one(example, nasty, tmp_path, monkeypatch):
    file = tmp_path / "new" / "page.html"
    write_page(example, file)
    assert file.read_text(encoding="utf-8") == page(example)
    old = page(example)

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("polysense.durable.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_page(nasty, file)
    assert file.read_text(encoding="utf-8") == old and list(file.parent.iterdir()) == [file]
