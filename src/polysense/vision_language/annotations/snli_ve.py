"""SNLI-VE's JSON lines (Xie et al., "Visual Entailment: A Novel Task for Fine-Grained Image Understanding").

A picture is named by its Flickr30K_ID, e.g. "4705552913".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from polysense.vision_language.annotations.records import read_lines, write_lines
from polysense.vision_language.examples import Entailment

LABELS = ("contradiction", "neutral", "entailment")
"""In the order of the classes of models."""
_UNDECIDED = "-"

_log = logging.getLogger(__name__)


def read_snli_ve(file: Path | str) -> list[Entailment]:
    """The hypotheses of snli_ve_train.jsonl, _dev or _test (plain or gzipped), in file order.

    A row without `gold_label` has label "". A row whose gold_label is "-" (the annotators did not agree) is left out;
    how many are is logged.

    Raises:
        PolysenseError: broken JSON, a missing or empty field, an unknown label, or a pairID that is there twice.
    """
    seen: set[str] = set()
    examples = []
    for record in read_lines(file):
        identity, picture = record.new_name("pairID", seen), record.name("Flickr30K_ID")
        text, label = record.text("sentence2"), record.values.get("gold_label", "")
        if label == _UNDECIDED:
            continue
        if label != "" and label not in LABELS:
            raise record.wrong("gold_label", f"one of {', '.join(LABELS)} or {_UNDECIDED!r}", label)
        examples.append(Entailment(identity, picture, text, label))
    if undecided := len(seen) - len(examples):
        _log.warning("%s: %d of %d rows have no agreed label and are left out", file, undecided, len(seen))
    return examples


def write_snli_ve(file: Path | str, examples: Iterable[Entailment]) -> None:
    """Write hypotheses in SNLI-VE's layout."""
    write_lines(
        file,
        (
            {"Flickr30K_ID": example.picture, "pairID": example.identity, "sentence2": example.text}
            | ({"gold_label": example.label} if example.label else {})
            for example in examples
        ),
    )
