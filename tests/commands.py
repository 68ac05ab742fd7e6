"""Whether the command line takes a command, told without running it."""

from __future__ import annotations

import shlex
from functools import cache
from typing import Any

import typer

from polysense import cli


def parses(command: str) -> bool:
    """Whether the command line takes it; False where it has no such verb."""
    words = shlex.split(command, comments=True)[1:]
    group = verbs()
    context = group.make_context("polysense", [], resilient_parsing=True)
    while words and words[0] in getattr(group, "commands", {}):
        group, words = group.commands[words[0]], words[1:]
        if not hasattr(group, "commands"):
            group.make_context(words[0] if words else "", words, parent=context)
            return True
    return False


@cache
def verbs() -> Any:
    return typer.main.get_command(cli.app)
