"""How every verb gives its result: tables for people, or one JSON object."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from polysense.pages.wording import visible


def command() -> str:
    """What was asked for, as it could be typed again."""
    return "polysense " + shlex.join(sys.argv[1:])


_CONTROL = re.compile("[\x7f-\x9f]")  # what JSON lets stand and a terminal may obey

GOES_ON = "what is finished is kept, and the same command goes on"


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """Ctrl-C; what became of the work."""


class Screen(Console):
    """A console on which texts are shown and never obeyed, whoever wrote them."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text of a table or a line comes by here."""
        return super().render_str(visible(text), **options)


def report(
    work: Callable[[], dict[str, Any]],
    show: Callable[[dict[str, Any], Console], None],
    as_json: bool,
    kept: Callable[[], str] = lambda: "no result was written",
) -> None:
    """Do the work and print its result on standard output, as JSON or by `show`.

    Args:
        kept: says after Ctrl-C what is left, and what to type to go on.

    Raises:
        Interrupted: Ctrl-C.
    """
    try:
        # Libraries print as they please; only the result may reach standard output.
        with redirect_stdout(sys.stderr):
            result = work()
    except KeyboardInterrupt:
        raise Interrupted(kept()) from None
    if os.environ.get("RANK", "0") != "0":  # of a launcher's several processes one speaks
        return
    if as_json:
        told = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(result, ensure_ascii=False))
        # A lone surrogate (of a file's name, say) has no UTF-8; its escape is JSON's.
        typer.echo(told.encode("utf-8", "backslashreplace").decode())
    else:
        # A pipe has no width of its own; 80 columns would cut the tables.
        show(result, Screen(width=None if sys.stdout.isatty() else 120))


def score_table(console: Console, title: str, results: dict[str, Any]) -> None:
    """A row a split, a column a metric, in points of 100, CIDEr as it is; and what has to be said of the data."""
    table = Table("split", "rows", *results["metrics"], title=escape(title))
    several = len(results["metrics"]) > 1
    for split in dict.fromkeys(name.split("/")[0] if several else name for name in results["scores"]):
        names = {m: f"{split}/{m}" if several else split for m in results["metrics"]}
        shown = [f"{results['scores'][name] * (1 if m == 'cider' else 100):.1f}" for m, name in names.items()]
        table.add_row(escape(split), str(results["rows"][split]), *shown)
    console.print(table)
    for note in results["notes"]:
        console.print(f"[dim]{escape(note)}")
