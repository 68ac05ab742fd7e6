"""SigLIP's tokenizers as fast ones, which know the place of each token in the text.

transformers has only a slow tokenizer for SigLIP 1: SentencePiece behind Python code that lower-cases a text and takes
its ASCII punctuation and superfluous white space away. Here the same steps become a fast tokenizer. SigLIP 2 has a fast
one.
"""

from __future__ import annotations

import importlib.util
import string
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import SpmConverter
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from polysense.errors import PolysenseError
from polysense.loading import open_auto
from polysense.towers.tower import load_tokenizer

NEEDED = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}
"""Modules that a tokenizer of SigLIP 1 is read by, and their packages."""


def load_siglip_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a SigLIP or SigLIP 2 model by hub id or folder. It lower-cases, as both were trained.

    It gives the ids of transformers' own, but where a combining mark follows a character of compatibility (a full-width
    letter, say): there the tokenizers library normalises the two together.

    Raises:
        PolysenseError: packages that read a SentencePiece model are missing.
    """
    if get_tokenizer_config(source).get("tokenizer_class") != "SiglipTokenizer":
        tokenizer = load_tokenizer(source)
        backend: Any = tokenizer.backend_tokenizer
        # As it comes, SigLIP 2's tokenizer is Gemma's and keeps capitals.
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *filter(None, [backend.normalizer])])
        return tokenizer
    if missing := missing_packages():
        packages = " ".join(missing)
        raise PolysenseError(f"tower {source}: SigLIP's tokenizer needs {packages}: pip install {packages}")
    return _fast(open_auto(AutoTokenizer, source))


def missing_packages() -> list[str]:
    """What `NEEDED` names and is not installed."""
    return [package for module, package in NEEDED.items() if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


def _fast(slow: Any) -> PreTrainedTokenizerFast:
    special = {"eos_token": slow.eos_token, "unk_token": slow.unk_token, "pad_token": slow.pad_token}
    backend = _Converter(slow).converted()
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=slow.model_max_length, **special)


class _Converter(SpmConverter):
    """transformers' conversion of a SentencePiece model, with the text steps of `SiglipTokenizer` before it."""

    def normalizer(self, proto: Any) -> normalizers.Normalizer:
        charsmap = proto.normalizer_spec.precompiled_charsmap
        punctuation = "".join(f"\\{character}" for character in string.punctuation)
        # White space as Python's `re` has it.
        steps = [
            normalizers.Replace("▁", " "),
            normalizers.Prepend("▁"),
            *([normalizers.Lowercase()] if self.original_tokenizer.do_lower_case else []),
            normalizers.Replace(Regex(f"[{punctuation}]"), ""),
            normalizers.Replace(Regex(r"[\s\x1c-\x1f\x85]+"), " "),
            normalizers.Strip(),
            *([normalizers.Precompiled(charsmap)] if charsmap else []),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Strip(left=False),
            normalizers.Replace(Regex("^▁$"), ""),
        ]
        return normalizers.Sequence(steps)

    def pre_tokenizer(self, replacement: str, add_prefix_space: bool) -> pre_tokenizers.PreTokenizer:  # noqa: ARG002
        return pre_tokenizers.Metaspace(replacement=replacement, prepend_scheme="never")

    def post_processor(self) -> processors.PostProcessor:
        end = self.original_tokenizer.eos_token
        return processors.TemplateProcessing(
            single=f"$A {end}",
            pair=f"$A {end} $B:1 {end}:1",
            special_tokens=[(end, self.original_tokenizer.eos_token_id)],
        )
