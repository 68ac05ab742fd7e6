"""SNLI-VE (Xie, Lai, Doran and Kadav, 2019), as far as its photos are among Flickr8k's: does a photo entail a text?

Rebuilt from SNLI's pairs whose premise is a caption of Flickr30k; not the official files.
"""

from __future__ import annotations

from pathlib import Path

from polysense.errors import PolysenseError
from polysense.tasks.tables import read_table
from polysense.vision_language.annotations.snli_ve import LABELS
from polysense.vision_language.corpora.corpus import Corpus, corpus, corpus_folder
from polysense.vision_language.corpora.flickr8k import flickr8k_regions
from polysense.vision_language.detection.detector import Detector
from polysense.vision_language.examples import Entailment

ROWS = "with_flickr8k_images.jsonl.gz"


def load_snli_ve(
    data_dir: Path | None = None, *, detector: Detector | None = None, progress: bool = True
) -> Corpus[Entailment]:
    """The 421 hypotheses about 340 photos, in one split "all"; the premises are left aside, as in SNLI-VE.

    Args:
        data_dir: the parent of the folders `snli_ve_rebuilt`, with with_flickr8k_images.jsonl.gz, and `flickr8k`.
        detector, progress: as in `load_flickr8k`, whose kept regions are used.

    Raises:
        PolysenseError: the data are not there or not in this form.
    """
    table = read_table(corpus_folder("snli_ve_rebuilt", data_dir, [ROWS]) / ROWS)
    labels = table.texts("label")
    if bad := [row for row, label in enumerate(labels) if label not in LABELS]:
        raise PolysenseError(f"{table.where('label', bad)}: {labels[bad[0]]!r}; a label is one of {', '.join(LABELS)}")
    rows = zip(table.texts("image"), table.texts("hypothesis"), labels, strict=True)
    examples = [Entailment(str(i), picture, text, label) for i, (picture, text, label) in enumerate(rows)]
    regions = flickr8k_regions(data_dir, detector=detector, progress=progress)
    return corpus("snli_ve", {"all": examples}, regions)
