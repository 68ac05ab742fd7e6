"""An HTML page taken apart, for tests of what it says and of what it must not hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br"}

PAYLOADS = (
    "<script>alert(1)</script>",
    '"onmouseover="alert(1)" x="',
    "'><img src=x onerror=alert(1)>",
    "</style></title></svg><script>alert(1)</script>",
    "javascript:alert(1)",
    "--strength:0;background:url(//x)",
    "a\u2028b\u2029</p>]]><!--",
)
"""Texts and names that would do something in a page that is put together carelessly."""


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

    def kinds(self) -> set[tuple[str, str]]:
        """The elements and attributes, with the values of those that a browser acts on, whatever their numbers."""
        acting = ("style", "class", "href", "src", "id", "http-equiv", "content")
        values = {
            (name, re.sub(r"[0-9.]+", "0", value or "") if name in acting else "") for name, value in self.attributes
        }
        return values | {(tag, "element") for tag in self.tags}

    def needs_nothing(self) -> bool:
        """Whether it has no script, asks for nothing beside itself and listens to nothing."""
        asking = [value for name, value in self.attributes if name in ("src", "href", "action", "data", "srcset")]
        return (
            not {"script", "img", "iframe", "object", "form", "base", "embed"} & set(self.tags)
            and asking == ["data:,"]
            and not any(name.startswith("on") for name, _ in self.attributes)
        )
