"""Plain fine-tuning with `transformers.Trainer`, as the tutorials of transformers do it.

The tutorials "Text classification" and "Multiple choice" (huggingface.co/docs/transformers/tasks) give the model
classes, the collators, AdamW with a linear fall to zero and no warm-up, batches of 16 and a weight decay of 0.01. Two
things are left out, since they cost time and change no number here: scoring and a checkpoint after each epoch.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch
import transformers
from datasets import Dataset
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorForMultipleChoice,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from benchmarks.rivals.competitor import (
    BATCH_SIZE,
    BF16,
    MAX_LENGTH,
    WEIGHT_DECAY,
    Competitor,
    Outcome,
    Setting,
    Stopwatch,
)
from benchmarks.rivals.rows import SCORED
from polysense.embedded import resolve_model
from polysense.tasks import TaskData, accuracy


class PlainTrainer(Competitor):
    """`AutoModelForSequenceClassification` or `AutoModelForMultipleChoice` under `transformers.Trainer`."""

    name = "trainer"

    def identity(self) -> Any:
        return {"transformers": transformers.__version__, "torch": torch.__version__}

    def run(self, data: TaskData, backbone: str, setting: Setting, seed: int) -> Outcome:
        watch = Stopwatch()
        set_seed(seed)
        source = resolve_model(backbone)
        tokenizer = AutoTokenizer.from_pretrained(source)
        model: Any
        collator: Any
        if data.kind == "choice":
            model = AutoModelForMultipleChoice.from_pretrained(source)
            collator = DataCollatorForMultipleChoice(tokenizer)
        else:
            names = data.label_names or ()
            model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(names))
            collator = DataCollatorWithPadding(tokenizer)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                learning_rate=setting.learning_rate,
                num_train_epochs=setting.epochs,
                per_device_train_batch_size=BATCH_SIZE,
                per_device_eval_batch_size=2 * BATCH_SIZE,
                weight_decay=WEIGHT_DECAY,
                bf16=BF16,
                use_cpu=not torch.accelerator.is_available(),  # else mixed precision is refused there
                seed=seed,
                save_strategy="no",
                disable_tqdm=True,
                dataloader_pin_memory=torch.cuda.is_available(),
                report_to="none",
            )
            trainer = Trainer(
                model=model,
                args=arguments,
                train_dataset=tokenised(data.splits["train"], tokenizer),
                data_collator=collator,
            )
            trainer.remove_callback(PrinterCallback)  # it prints to standard output
            trainer.train()
        training = watch.read()
        logits: Any = trainer.predict(tokenised(data.splits[SCORED], tokenizer)).predictions
        return Outcome(accuracy(np.argmax(logits, axis=-1), data.splits[SCORED]["label"]), training)


def tokenised(split: Dataset, tokenizer: Any) -> Dataset:
    """A split as the Trainer takes it: the tokens of a text or pair, or of each choice, and the label."""

    def tokenise(rows: dict[str, list[Any]]) -> dict[str, Any]:
        if "choices" not in rows:
            pair = rows.get("text_pair")
            return dict(tokenizer(rows["text"], pair, truncation=True, max_length=MAX_LENGTH))
        counts = [len(choices) for choices in rows["choices"]]
        firsts = [text for text, count in zip(rows["text"], counts, strict=True) for _ in range(count)]
        seconds = [choice for choices in rows["choices"] for choice in choices]
        flat = tokenizer(firsts, seconds, truncation=True, max_length=MAX_LENGTH)
        ends = np.cumsum(counts)
        return {
            name: [values[end - count : end] for end, count in zip(ends, counts, strict=True)]
            for name, values in flat.items()
        }

    texts = [name for name in split.column_names if name != "label"]
    return split.map(tokenise, batched=True, remove_columns=texts)
