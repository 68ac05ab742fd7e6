"""How every verb gives its result: tables for people, or one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import typer
from rich.console import Console


def report(work: Callable[[], dict[str, Any]], show: Callable[[dict[str, Any], Console], None], as_json: bool) -> None:
    """Do the work and print its result on standard output, as JSON or by `show`."""
    # Libraries print as they please; only the result may reach standard output.
    with redirect_stdout(sys.stderr):
        result = work()
    if as_json:
        # A lone surrogate (of a file's name, say) has no UTF-8; its escape is JSON's.
        typer.echo(json.dumps(result, ensure_ascii=False).encode("utf-8", "backslashreplace").decode())
    else:
        # A pipe has no width of its own; 80 columns would cut the tables.
        show(result, Console(width=None if sys.stdout.isatty() else 120))
