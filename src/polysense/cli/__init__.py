"""The command line: one verb, one function. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer

from polysense.cli.alignment import align, zero_shot
from polysense.cli.backbones import new_backbone
from polysense.cli.experiments import compare, demo
from polysense.cli.explain import explain
from polysense.cli.extract import extract
from polysense.cli.figures import figure_app
from polysense.cli.models import evaluate, predict
from polysense.cli.probe import probe
from polysense.cli.reporting import Interrupted
from polysense.cli.reproduce import reproduce
from polysense.cli.towers import towers_app
from polysense.cli.training import merge, train
from polysense.cli.vision_language import vl_app
from polysense.cli.vl_compare import compare as vl_compare
from polysense.errors import PolysenseError
from polysense.pages.wording import VisibleRecord, visible
from polysense.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"polysense {__version__}\n")
        raise typer.Exit


@app.callback()
def start(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Fine-tune language models with the knowledge of images, sounds and videos."""


for verb in (
    train,
    merge,
    new_backbone,
    evaluate,
    predict,
    explain,
    extract,
    align,
    zero_shot,
    probe,
    demo,
    compare,
    reproduce,
):
    app.command()(verb)
app.add_typer(towers_app, name="towers")
vl_app.command("compare")(vl_compare)
app.add_typer(vl_app, name="vl")
app.add_typer(figure_app, name="figure")

# Typer carries a copy of click in some versions and depends on it in others; this is the one in use.
_UsageError: Any = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


def main() -> None:
    """Run a command; an error meant for the user is one line, and exit status 2, or 130 after Ctrl-C."""
    logging.setLogRecordFactory(VisibleRecord)
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except (Interrupted, typer.Abort) as stop:
        sys.stderr.write(visible(f"\npolysense: interrupted{f': {stop}' if str(stop) else ''}\n"))
        sys.exit(130)
    except _UsageError as error:
        _fail(error.format_message())
    except PolysenseError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))


def _fail(message: str) -> None:
    if not message:  # no arguments: the help has been shown
        sys.exit(2)
    sys.stderr.write(visible(f"polysense: error: {' '.join(message.split())}\n"))
    sys.exit(2)
