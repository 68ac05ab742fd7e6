"""Pictures whose files a command of the user's prints, e.g. one that asks a search engine for the web.

The command never comes from data, and that of a saved model is not run without the user's consent.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from polysense.errors import PolysenseError
from polysense.prototypes.batch import PrototypeBatch
from polysense.retrieval.encoders import PictureEncoder
from polysense.retrieval.finder import Finder

CONSENT = "POLYSENSE_SEARCH"
"""Environment variable: the command of a saved model that may be run, exactly as the model has it."""

PLACE = "{}"
"""An argument of the command that the text takes the place of; without one the text goes to its standard input."""

MOST_OUTPUT = 1 << 20
"""Bytes of what a command prints that are looked at."""

MOST_ARGUMENT = 8192
"""Characters of a text as an argument: systems limit an argument's length."""

VERSION = 1
TOGETHER = 128

logger = logging.getLogger(__name__)


class SearchCommand(Finder):
    """Runs a command for each text, without a shell, and takes the first pictures that it prints, one path a line.

    What it prints for a text may change and is not in the fingerprint: what is stored stays until the store is removed.

    Args:
        command: split as a shell splits, with nothing else that a shell does.
        encoder: of pictures.
        seconds: that it may run for a text; it is ended then with all that it started.
        allowed: whether the command may be run; else a text that has to be searched for is an error.

    Raises:
        PolysenseError: the command cannot be split into words.
    """

    together = TOGETHER

    def __init__(self, command: str, encoder: PictureEncoder, seconds: float, allowed: bool) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise PolysenseError(f"search command {command!r}: {error}; mend its quotes") from None
        if not self._words:
            raise PolysenseError(f"search command {command!r}: it has no words; give a command")
        self.command, self.encoder, self.seconds, self.allowed = command, encoder, seconds, allowed
        self.width = encoder.width
        described = f"{VERSION} {command!r} {encoder.fingerprint}"
        self.fingerprint = hashlib.sha256(described.encode()).hexdigest()[:16]
        self._forget()

    def find(self, texts: Sequence[str], k: int, on_found: Callable[[int], object] = lambda _: None) -> PrototypeBatch:
        found = PrototypeBatch.empty(len(texts), k, self.width, np.float32)
        owners: list[int] = []
        files: list[Path] = []
        for row, text in enumerate(texts):
            for path in self._run(text)[:k] if text.strip() else []:
                self._given += 1
                if os.path.isfile(path):  # False, not an error, for a name that no file can have
                    owners.append(row)
                    files.append(Path(path))
                else:
                    self._missing.append(path)
            on_found(1)
        if not files:
            return found
        features, kept = self.encoder.features(files, quiet=True)
        self._unreadable += [str(files[i]) for i in np.setdiff1d(np.arange(len(files)), kept)]
        for feature, index in zip(features, kept.tolist(), strict=True):
            row = owners[index]
            place = found.counts[row]
            found.features[row, place] = feature
            found.token_ids[row, place], found.saliency[row, place] = place, 1.0
            found.counts[row] += 1
        return found

    def report(self) -> None:
        for what, paths in (("are no files", self._missing), ("are no pictures that can be read", self._unreadable)):
            if paths:
                logger.warning(
                    "search command %r: %d of the %d paths that it printed %s and are left out, e.g. %r",
                    *(self.command, len(paths), self._given, what, paths[0]),
                )
        self._forget()

    def _forget(self) -> None:
        self._given = 0
        self._missing: list[str] = []
        self._unreadable: list[str] = []

    def name(self, number: int) -> str:
        return f"picture {number + 1}"

    def release(self) -> None:
        self.encoder.release()

    def _run(self, text: str) -> list[str]:
        """The paths that the command prints for a text."""
        if not self.allowed:
            raise PolysenseError(
                f"this model looks for pictures with the command {self.command!r}, which is not run unasked: "
                f"if you trust it, set {CONSENT} to exactly that command"
            )
        # A text that begins with a dash must not be read as an option of the command.
        argument = (f" {text}" if text.startswith("-") else text)[:MOST_ARGUMENT]
        words = [argument if word == PLACE else word for word in self._words]
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as errors:
            if PLACE not in self._words:
                given.write(f"{text}\n".encode())
                given.seek(0)
            try:
                status = self._wait(subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
                    words, stdin=given, stdout=printed, stderr=errors, start_new_session=True
                ))  # fmt: skip
            except OSError as error:
                reason = error.strerror or error
                raise PolysenseError(f"search command {self.command!r}: cannot be run ({reason}); check it") from None
            printed.seek(0)
            output = printed.read(MOST_OUTPUT)
            if status:
                errors.seek(0)
                said = errors.read(MOST_OUTPUT).decode(errors="replace").split("\n")
                last = next((line.strip() for line in reversed(said) if line.strip()), "it says nothing")[:200]
                raise PolysenseError(
                    f"search command {self.command!r}: failed with status {status} for {text[:60]!r}: {last}; mend it"
                )
        return [line for line in os.fsdecode(output).splitlines() if line.strip()]

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(self.seconds)
        except BaseException as error:  # also where this process is interrupted: nothing is left running
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise PolysenseError(
                f"search command {self.command!r}: not done after {self.seconds:g} seconds; "
                "give it more (,seconds=...) or make it faster"
            ) from None
