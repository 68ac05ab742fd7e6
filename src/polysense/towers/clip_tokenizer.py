"""CLIP's tokenizer, made from OpenAI's list of byte pairs.

The file `bpe_simple_vocab_16e6.txt.gz` belongs to OpenAI CLIP, AudioCLIP and CLIP-ViP alike. The PyPI package
open-clip-torch carries it.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from polysense.cache import CACHE_VARIABLE, cache_folder
from polysense.errors import PolysenseError

BPE_FILE = "bpe_simple_vocab_16e6.txt.gz"
BPE_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
PACKAGE = "open-clip-torch==3.3.0"
"""On PyPI, the package that the file is fetched from."""

START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 49_408
"""Tokens: 256 bytes, the same at the end of a word, 48,894 merges, start and end of text."""


def clip_tokenizer(bpe: Path | None = None, context: int = 77) -> CLIPTokenizer:
    """CLIP's fast tokenizer; it pads with the end of text, as Hugging Face's CLIP does.

    Args:
        bpe: OpenAI's file; None: see `bpe_file`.
        context: longest sequence, start and end of text included.

    Raises:
        PolysenseError: the file is not to be had or not the right one.
    """
    file = bpe_file(bpe)
    packed = file.read_bytes()
    found = hashlib.sha256(packed).hexdigest()
    if found != BPE_SHA256:
        raise PolysenseError(
            f"{file} is not OpenAI's {BPE_FILE}: its SHA-256 is {found}, not {BPE_SHA256}; "
            "delete it, or give the right one as --bpe"
        )
    letters = sorted(ByteLevel.alphabet())  # OpenAI's order: bytes that can be printed, then the others
    lines = gzip.decompress(packed).decode("utf-8").split("\n")
    # The first line is a heading; the last part of the file was never used.
    merges: Any = [tuple(line.split()) for line in lines[1 : VOCABULARY - 2 * len(letters) - 2 + 1]]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), START, END]
    return CLIPTokenizer(
        vocab={piece: token_id for token_id, piece in enumerate(pieces)},
        merges=merges,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=context,
    )


def bpe_file(given: Path | None = None) -> Path:
    """OpenAI's file of byte pairs: the given one, that of an installed open_clip, or the one in the cache folder.

    Where there is none of them, it is fetched into the cache folder with pip.

    Raises:
        PolysenseError: the given file does not exist, or none can be fetched.
    """
    if given is not None:
        if not given.is_file():
            raise PolysenseError(f"{given}: no such file; it should be OpenAI's {BPE_FILE}")
        return given
    # Found, not imported: importing it needs torchvision.
    spec = importlib.util.find_spec("open_clip")
    if spec is not None and spec.origin is not None:
        installed = Path(spec.origin).parent / BPE_FILE
        if installed.is_file():
            return installed
    cached = cache_folder() / BPE_FILE
    if not cached.is_file():
        try:
            _fetch(cached)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise PolysenseError(
                f"{cached}: CLIP's {BPE_FILE} cannot be put there ({error}); set {CACHE_VARIABLE} to another folder, "
                f"or pip install --no-deps {PACKAGE}"
            ) from error
    return cached


def _fetch(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", name, PACKAGE]  # a wheel, so that nothing of it is run
        done = subprocess.run(  # noqa: S603 - our own arguments
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        wheel = next(folder.glob("*.whl"), None)
        if done.returncode or wheel is None:
            said = ([line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"])[-1]
            raise PolysenseError(
                f"CLIP's tokenizer needs {BPE_FILE}, and pip cannot fetch {PACKAGE}, which carries it ({said}); "
                "check the network, or give the file as --bpe"
            )
        with zipfile.ZipFile(wheel) as archive:
            (folder / BPE_FILE).write_bytes(archive.read(f"open_clip/{BPE_FILE}"))
        (folder / BPE_FILE).replace(target)
