"""Pictures of a folder or table, found by their captions: cosine of the text's and the caption's MiniLM embeddings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from polysense.alignment.manifest import load_pairs
from polysense.cache import cache_folder
from polysense.embedded import EMBEDDED
from polysense.errors import PolysenseError
from polysense.folder import file_digest
from polysense.kept_tensors import read_kept, write_kept
from polysense.pictures.opening import ENDINGS
from polysense.prototypes.batch import PrototypeBatch
from polysense.prototypes.reader import read_prototypes
from polysense.prototypes.reading import Reading
from polysense.retrieval.encoders import PictureEncoder
from polysense.retrieval.finder import Finder
from polysense.retrieval.spec import whole_path
from polysense.tasks.tables import near
from polysense.towers.registry import open_tower
from polysense.towers.tower import Tower

CONSENT = "POLYSENSE_PICTURES"
"""Environment variable: the folder or table of a saved model that may be read, or a folder above it."""

VERSION = 1
"""Of the rules by which pictures are found; raised with any change that finds others."""

TOGETHER = 1024
"""Texts compared with all captions at once."""


def check_consent(place: Path) -> None:
    """For a place that a saved model names: anybody may have written it there, and a folder may be the whole disk.

    Args:
        place: a whole path.

    Raises:
        PolysenseError: the user has not said that it may be read.
    """
    said = os.environ.get(CONSENT)
    if not said or not place.is_relative_to(whole_path(said)):
        raise PolysenseError(
            f"this model finds pictures in {place}, which is not read unasked: if you trust it, set {CONSENT} to that "
            "path, or to a folder above it"
        )


class SentenceEmbedder:
    """Unit embeddings of texts by the embedded MiniLM; a text without a word has zeros."""

    def __init__(self) -> None:
        self._tower: Tower | None = None

    @property
    def tower(self) -> Tower:
        """Opened again after `release`."""
        if self._tower is None:
            self._tower = open_tower(f"encoder:{EMBEDDED}")
        return self._tower

    def __call__(self, texts: Sequence[str], on_read: Callable[[int], object] = lambda _: None) -> NDArray[np.float32]:
        """(n, 384)."""
        reading = Reading(selection="pooled", precision="exact")
        features = read_prototypes(self.tower, reading, texts, on_read=on_read).features[:, 0]
        unit: NDArray[np.float32] = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        return unit

    def release(self) -> None:
        self._tower = None


class PictureIndex(Finder):
    """The pictures of a folder or table, by caption.

    A picture fits a text as well as the best of its captions does. What is computed of captions and pictures is kept in
    the cache by their content.

    Args:
        place: a folder, searched with its subfolders, where `NAME.txt` beside a picture NAME.png has its captions, one
            a line, and else its name is its caption; or a table with the columns "caption" and "file".
        encoder: of pictures.
        similarity: the least cosine of a picture that is found.
        progress: show bars over pictures and captions that are new.

    Raises:
        PolysenseError: no such place, no picture with a caption, none that can be read, or as `load_pairs`.
    """

    together = TOGETHER

    def __init__(self, place: Path, encoder: PictureEncoder, similarity: float = 0.0, progress: bool = True) -> None:
        if not os.path.exists(place):  # False, not an error, for a name that no place can have
            beside = [entry.name for entry in place.parent.iterdir()] if place.parent.is_dir() else []
            raise PolysenseError(
                f"pictures:{place}: no such folder or table{near(place.name, beside)}; give a folder of pictures, or a "
                "table (.csv, .tsv, .jsonl) with the columns caption and file"
            )
        pairs = load_pairs(place, ENDINGS, named=True)
        self.features, kept = encoder.features([pair.file for pair in pairs], progress)
        encoder.release()
        pairs = [pairs[i] for i in kept.tolist()]
        self.names = tuple(pair.captions[0] for pair in pairs)
        self.similarity, self.width = similarity, self.features.shape[1]
        captions = [caption for pair in pairs for caption in pair.captions]
        sizes = np.array([len(pair.captions) for pair in pairs])
        self._first = np.cumsum(sizes) - sizes
        self._embed = SentenceEmbedder()
        described = {
            "rules": VERSION,
            "text": self._embed.tower.fingerprint(),
            "encoder": encoder.fingerprint,
            "similarity": similarity,
            "pictures": [[pair.captions, file_digest(pair.file)] for pair in pairs],
        }
        self.fingerprint = _digest(described)
        self._captions = self._embedded(captions, _digest([described["text"], captions]), progress)

    def find(self, texts: Sequence[str], k: int, on_found: Callable[[int], object] = lambda _: None) -> PrototypeBatch:
        found = PrototypeBatch.empty(len(texts), k, self.width, np.float32)
        for start in range(0, len(texts), TOGETHER):
            queries = self._embed(texts[start : start + TOGETHER], on_found)
            rows, scores = self._nearest(queries, k)
            n, places = len(rows), rows.shape[1]
            there = (scores >= self.similarity) & queries.any(axis=1, keepdims=True)
            part = slice(start, start + n)
            found.counts[part] = there.sum(axis=1)  # the best first, so that those that fit come first
            found.features[part, :places] = self.features[rows] * there[..., None]
            found.token_ids[part, :places] = rows * there
            found.saliency[part, :places] = scores * there
        return found

    def name(self, number: int) -> str:
        return self.names[number]

    def release(self) -> None:
        self._embed.release()

    def _nearest(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(n, min(k, pictures)) the best pictures, ties to the earlier one, and their cosines."""
        scores = np.maximum.reduceat(queries @ self._captions.T, self._first, axis=1)
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return rows, np.take_along_axis(scores, rows, axis=1)

    def _embedded(self, captions: Sequence[str], digest: str, progress: bool) -> NDArray[np.float32]:
        """The captions' embeddings, from the cache where they are in it."""
        file = cache_folder() / "captions" / f"{digest}.safetensors"
        kept = read_kept(file, "captions")
        if kept is not None:
            return kept["captions"]
        with tqdm(total=len(captions), desc="captions", unit="caption", disable=not progress, leave=False) as bar:
            computed = self._embed(captions, bar.update)
        write_kept(file, {"captions": computed})
        return computed


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
