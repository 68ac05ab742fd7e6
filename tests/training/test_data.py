"""Rows in the order of their lengths, and batches of like length."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoModel, TrainingArguments

import support
from polysense.models import PolysenseProcessor
from polysense.tasks.task import build_split
from polysense.training.data import Collator, Samples
from polysense.training.trainer import PolysenseTrainer

TEXTS = support.sentences(256, 12)


def samples(by_length: bool) -> Samples:
    split = build_split([TEXTS], list(range(256)), "classification")
    return Samples(split, PolysenseProcessor(support.bert_tokenizer()), by_length)


def test_rows_by_length_keep_their_labels() -> None:
    rows = samples(by_length=True)
    assert rows.lengths == sorted(samples(by_length=False).lengths)
    assert [TEXTS[label] for label in rows.labels or ()] == rows.texts


def test_batches_of_like_length_hold_less_padding(tmp_path: Path, bert_folder: Path) -> None:
    rows = samples(by_length=False)
    spread = {}
    for grouped in (False, True):
        trainer = PolysenseTrainer(
            model=AutoModel.from_pretrained(bert_folder),
            args=TrainingArguments(str(tmp_path), per_device_train_batch_size=8, report_to="none", use_cpu=True),
            train_dataset=rows,
            data_collator=Collator(PolysenseProcessor(support.bert_tokenizer())),
            group_by_length=grouped,
        )
        order = list(trainer._get_train_sampler())
        assert sorted(order) == list(range(256))
        batches = [[rows.lengths[i] for i in order[start : start + 8]] for start in range(0, 256, 8)]
        spread[grouped] = sum(max(batch) * 8 - sum(batch) for batch in batches)
    assert spread[True] < spread[False] / 2
