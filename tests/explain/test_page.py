"""The page as text: what it says, and that nothing from outside gets into its markup."""

from __future__ import annotations

import re

import pytest

from parsed_page import PAYLOADS, Parsed
from polysense.explain.page import CLASSES, page, write_page


def test_every_page_is_whole_and_needs_nothing(made_up):
    text = page(made_up)
    found = Parsed(text)
    assert text.startswith("<!doctype html>") and found.tags[:2] == ["html", "head"] and found.tags.count("title") <= 2
    assert found.needs_nothing()
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


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_text_or_name_adds_no_element_and_no_attribute(named, payload):
    found, harmless = Parsed(page(named(payload))), Parsed(page(named("x" * len(payload))))
    assert found.kinds() == harmless.kinds()
    assert found.needs_nothing() and found.text.count(payload) > 5


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
