"""One training run under `transformers.Trainer`, whatever is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainingArguments, set_seed

from polysense.errors import PolysenseError
from polysense.training.progress import ProgressBar
from polysense.training.trainer import PolysenseTrainer
from polysense.vision_language.settings import RunSettings

CHECKPOINT_STEPS = 500
"""Steps from one checkpoint to the next; the newest is kept."""


class CmalTrainer(PolysenseTrainer):
    """The Trainer with what a step asks of the model beside its batch.

    Args:
        at_step: from the number of a step to more arguments of the model.
    """

    def __init__(self, *args: Any, at_step: Callable[[int], dict[str, Any]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at_step = at_step

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        more = self.at_step(self.state.global_step) if self.at_step is not None else {}
        return super().compute_loss(model, {**inputs, **more}, return_outputs, num_items_in_batch)


class Numbers(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The numbers of a run's examples, with the lengths of their texts; the collator looks them up."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> int:
        return index


def run_training(
    build: Callable[[], Any],
    lengths: Sequence[int],
    collate: Callable[[Sequence[int]], dict[str, Any]],
    settings: RunSettings,
    folder: Path,
    title: str,
    *,
    at_step: Callable[[int], dict[str, Any]] | None = None,
    before: Callable[[CmalTrainer], None] | None = None,
    save_steps: int | None = None,
    resume: bool = False,
    progress: bool = True,
) -> CmalTrainer:
    """Train a model for `settings.steps` steps.

    Args:
        build: makes the model, after the seed is set.
        lengths: of each example's text, in tokens or letters. collate: from numbers of examples to a batch.
        folder: of checkpoints and logs. title: of the progress bar.
        at_step: see `CmalTrainer`.
        before: is given the trainer before it starts, to add callbacks.
        save_steps: keep the newest checkpoint, made each so many steps, or a line of the log later.
        resume: go on from the newest checkpoint in `folder`.

    Raises:
        PolysenseError: training diverged.
    """
    set_seed(settings.seed)
    model = build()
    log_steps = max(1, min(settings.steps // 50, CHECKPOINT_STEPS))
    arguments = TrainingArguments(
        output_dir=str(folder),
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        max_steps=settings.steps,
        weight_decay=settings.weight_decay,
        warmup_steps=math.ceil(settings.warmup * settings.steps),  # a share of 1 would be read as one step
        adam_beta2=0.98,
        max_grad_norm=settings.clip,
        seed=settings.seed,
        bf16=settings.bf16,
        use_cpu=not torch.accelerator.is_available(),
        save_strategy="steps" if save_steps else "no",
        # Where a line of the log ends: a checkpoint does not hold the terms of one that has begun.
        save_steps=log_steps * math.ceil((save_steps or CHECKPOINT_STEPS) / log_steps),
        save_total_limit=1,
        logging_steps=log_steps,
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)
    rate = None if settings.head_factor == 1 else settings.head_factor * settings.learning_rate
    trainer = CmalTrainer(
        model=model,
        args=arguments,
        train_dataset=Numbers(lengths),
        data_collator=collate,
        callbacks=[ProgressBar(title, "")] if progress else None,
        method_learning_rate=rate,
        group_by_length=settings.group_by_length,
        at_step=at_step,
    )
    trainer.remove_callback(PrinterCallback)
    if before is not None:
        before(trainer)
    trainer.train(resume_from_checkpoint=resume or None)
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise PolysenseError("training diverged (the model's weights are no numbers): lower the learning rate")
    return trainer
