"""The page in a browser: Debian's Chromium, headless."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polysense.explain.page import write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

OVERLAPS = """() => {
    const boxes = [...document.querySelectorAll('svg text')].map(t => [t.textContent, t.getBoundingClientRect()]);
    return boxes.flatMap(([a, p], i) => boxes.slice(i + 1)
        .filter(([, q]) => p.left < q.right && q.left < p.right && p.top < q.bottom && q.top < p.bottom)
        .map(([b]) => a + ' / ' + b));
}"""
OUTSIDE = """() => [...document.querySelectorAll('svg .entity, svg .attribute')].filter(group => {
    const [box, text] = ['rect', 'text'].map(name => group.querySelector(name).getBoundingClientRect());
    return text.left < box.left || text.right > box.right;
}).map(group => group.textContent)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_without_a_word_to_console_or_network_and_fits(browser, made_up, tmp_path, scheme):
    file = tmp_path / "explain.html"
    write_page(made_up, file)
    page = browser.new_page(color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    for width in (390, 1200):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.compatMode") == "CSS1Compat"
        assert page.evaluate(OVERLAPS) == [] and page.evaluate(OUTSIDE) == []
    # The icon of a page is asked for as data, which is no request to anyone.
    assert said == [] and {url for url in asked if not url.startswith("data:")} == {file.as_uri()}
    page.close()


def test_contrast_of_words_and_ground(browser, example, tmp_path):
    """WCAG's 4.5 to 1 for every text, against the card that it stands on."""
    file = tmp_path / "explain.html"
    write_page(example, file)
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(file.as_uri())
        colours = page.evaluate(
            """() => [...document.querySelectorAll('p, h1, h2, h3, sup, small, span, mark')].map(e =>
                [e.textContent, getComputedStyle(e).color, getComputedStyle(document.body).backgroundColor])"""
        )
        assert len(colours) > 20
        assert [text for text, ink, ground in colours if contrast(ink, ground) < 4.5] == []
        page.close()


def contrast(ink: str, ground: str) -> float:
    light, dark = sorted(map(luminance, (ink, ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Of "rgb(r, g, b)", by WCAG's formula."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_example_is_seen(browser, example, tmp_path: Path):
    file = tmp_path / "explain.html"
    write_page(example, file)
    page = browser.new_page()
    page.goto(file.as_uri())
    assert page.locator("svg .entity text").all_text_contents() == ["dog", "Rex", "car"]
    widths = page.evaluate("[...document.querySelectorAll('.weight .fill')].map(e => e.getBoundingClientRect().width)")
    assert [round(width / widths[0], 2) for width in widths] == [1, 0.4, 0.6]
    lines = page.evaluate(
        "[...document.querySelectorAll('mark')].map(e => getComputedStyle(e).textDecorationThickness)"
    )
    assert len(set(lines)) > 3
    page.close()
