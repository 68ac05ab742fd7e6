"""Flickr8k (Hodosh, Young and Hockenmaier, 2013): 1,000 of its photos with five captions each, for retrieval."""

from __future__ import annotations

from pathlib import Path

from polysense.errors import PolysenseError
from polysense.tasks.tables import Table, read_table
from polysense.vision_language.corpora.corpus import Corpus, corpus, corpus_folder
from polysense.vision_language.corpora.kept import kept_regions
from polysense.vision_language.detection.detector import Detector
from polysense.vision_language.detection.proposals import ProposalDetector
from polysense.vision_language.examples import Caption
from polysense.vision_language.regions import RegionSource

ROWS, PHOTOS = "images_1000.jsonl.gz", "images_224.zip"


def load_flickr8k(
    data_dir: Path | None = None, *, detector: Detector | None = None, progress: bool = True
) -> Corpus[Caption]:
    """The captions, in one split "all"; `corpus.folds` by picture makes parts of it.

    Args:
        data_dir: the folder `flickr8k`, with images_1000.jsonl.gz and images_224.zip, or its parent.
        detector: None: `ProposalDetector("both")`.
        progress: show a bar while regions are computed, which happens once.

    Raises:
        PolysenseError: the data are not there or not in this form.
    """
    folder = corpus_folder("flickr8k", data_dir, [ROWS, PHOTOS])
    table = read_table(folder / ROWS)
    captions = [
        Caption(picture, text) for row, picture in enumerate(table.texts("image")) for text in captions_of(table, row)
    ]
    regions = flickr8k_regions(data_dir, detector=detector, progress=progress)
    return corpus("flickr8k", {"all": captions}, regions)


def flickr8k_regions(
    data_dir: Path | None = None, *, detector: Detector | None = None, progress: bool = True
) -> RegionSource:
    """The regions of the 1,000 photos; arguments and errors as in `load_flickr8k`."""
    folder = corpus_folder("flickr8k", data_dir, [ROWS, PHOTOS])
    used = detector if detector is not None else ProposalDetector("both")
    return kept_regions("flickr8k", folder / PHOTOS, read_table(folder / ROWS).texts("image"), used, progress=progress)


def captions_of(table: Table, row: int) -> list[str]:
    """A row's list of captions; PolysenseError where it is none."""
    value = table.column("captions")[row]
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise PolysenseError(f"{table.where('captions', [row])}: give a list of texts")
    return value
