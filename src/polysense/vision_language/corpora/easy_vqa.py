"""easy-VQA (V. Zhou, 2019, MIT): questions about one flat shape on a plain picture of 64 x 64 pixels."""

from __future__ import annotations

from pathlib import Path

from polysense.tasks.tables import read_table
from polysense.vision_language.corpora.corpus import Corpus, corpus, corpus_folder
from polysense.vision_language.corpora.kept import kept_regions
from polysense.vision_language.detection.detector import Detector
from polysense.vision_language.detection.proposals import ProposalDetector
from polysense.vision_language.examples import Question

SPLITS = ("train", "test")
YES_NO = frozenset({"yes", "no"})


def load_easy_vqa(
    data_dir: Path | None = None, *, detector: Detector | None = None, progress: bool = True
) -> Corpus[Question]:
    """The questions, each with its one answer ten times; kind is "yes/no" or "other".

    Args:
        data_dir: the folder `easy_vqa`, with train.jsonl.gz, test.jsonl.gz and images.zip, or its parent.
        detector: None: `ProposalDetector("segments")`, whose proposals hold the shape.
        progress: show a bar while regions are computed, which happens once.

    Raises:
        PolysenseError: the data are not there or not in this form.
    """
    folder = corpus_folder("easy_vqa", data_dir, [*(f"{split}.jsonl.gz" for split in SPLITS), "images.zip"])
    splits: dict[str, list[Question]] = {}
    for split in SPLITS:
        table = read_table(folder / f"{split}.jsonl.gz")
        rows = zip(table.texts("image"), table.texts("question"), table.texts("answer"), strict=True)
        splits[split] = [
            Question(f"{split}-{i}", picture, text, (answer,) * 10, "yes/no" if answer in YES_NO else "other")
            for i, (picture, text, answer) in enumerate(rows)
        ]
    pictures = [question.picture for questions in splits.values() for question in questions]
    used = detector if detector is not None else ProposalDetector("segments")
    regions = kept_regions("easy_vqa", folder / "images.zip", pictures, used, progress=progress)
    return corpus("easy_vqa", splits, regions)
