"""`polysense explain`: what a model makes of one text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from polysense.cli.options import Json, NoStore, StoreOption, chosen_store
from polysense.cli.reporting import report
from polysense.errors import PolysenseError


def explain(
    model: Annotated[Path, typer.Argument(help="A folder that train wrote.")],
    text: Annotated[str, typer.Argument(help="The text.")],
    text_pair: Annotated[str | None, typer.Option(help="The second text, for a model of pairs.")] = None,
    html: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("explain.html"),
    no_html: Annotated[bool, typer.Option("--no-html", help="Write no page.")] = False,
    store: StoreOption = None,
    no_store: NoStore = False,
    as_json: Json = False,
) -> None:
    """Show what a model makes of one text: prototypes, weights, scene graph, and each modality's part."""
    from polysense.explain import terminal
    from polysense.explain.explanation import Explanation
    from polysense.explain.explanation import explain as run
    from polysense.explain.page import write_page
    from polysense.training.predict import Predictor

    explained: list[Explanation] = []

    def work() -> dict[str, Any]:
        if not no_html and html.is_dir():
            raise PolysenseError(f"{html} is a folder: give the name of a file as --html, or --no-html")
        explanation = run(Predictor.load(model, store=chosen_store(store, no_store)), text, text_pair)
        explained.append(explanation)
        if not no_html:
            write_page(explanation, html)
        return {**explanation.to_dict(), "page": None if no_html else str(html)}

    def show(result: dict[str, Any], console: Console) -> None:
        terminal.show(explained[0], console)
        if result["page"]:
            console.print(Text(f"\nthe page is in {result['page']}", "dim"))

    report(work, show, as_json)
