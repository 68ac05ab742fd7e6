"""Fine-tuning a backbone on a task by a method, under `transformers.Trainer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedConfig, PrinterCallback, Trainer, TrainingArguments, set_seed
from transformers.utils import CONFIG_NAME

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.folder import PARTIAL, read_json
from polysense.methods.catalog import MethodConfig
from polysense.methods.mase.weights import PosteriorWeights
from polysense.models import MODELS, PolysenseConfig, PolysensePreTrainedModel, PolysenseProcessor
from polysense.processes import join, processes, rank
from polysense.tasks import Kind, TaskData
from polysense.training.data import has_pairs, split_texts
from polysense.training.e_step import EStep
from polysense.training.problems import PROBLEMS
from polysense.training.progress import ProgressBar
from polysense.training.runs import newest_checkpoint
from polysense.training.settings import TrainingSettings
from polysense.training.trackers import place_logs
from polysense.training.trainer import PolysenseTrainer

_USED = ("train", "validation")
"""Splits that training itself looks at."""


def build_model(
    data: TaskData,
    method: MethodConfig,
    backbone: str,
    widths: Mapping[str, int],
    settings: TrainingSettings,
) -> PolysensePreTrainedModel:
    """A fresh model of the method on a pretrained backbone, fitted to the labels of a task."""
    problem, adapter = PROBLEMS[data.kind].with_settings(settings), settings.adapter_settings()
    check_settings(method, data.kind, settings)
    config = PolysenseConfig(
        method=method.to_dict(),
        widths=dict(widths),
        target={"kind": data.kind, **problem.target(data)},
        dropout=settings.dropout,
        adapter=adapter.to_dict() if adapter else None,
        has_pair=data.prompt.has_pair if data.prompt else has_pairs(data.splits["train"]),
        **problem.label_settings(data),
    )
    with _fitting(method):
        return MODELS[data.kind].from_backbone(backbone, config)


def check_method(method: MethodConfig, backbone: PreTrainedConfig, widths: Mapping[str, int]) -> None:
    """Whether the method's layers fit a backbone, before any training.

    Args:
        backbone: its configuration.
        widths: d_m of the prototypes.

    Raises:
        PolysenseError: they do not.
    """
    config = PolysenseConfig(method=method.to_dict(), backbone=backbone.to_dict(), widths=widths)
    with _fitting(method):
        method.build_interaction(config.sizes())


def check_settings(method: MethodConfig, kind: Kind, settings: TrainingSettings) -> None:
    """Whether the settings fit a method and a kind of task, before any training.

    Raises:
        PolysenseError: they do not.
    """
    if settings.compile and PROBLEMS[kind].generates:
        raise PolysenseError(
            "--compile is for models that read: a decoder's memory grows with each token that it writes; leave it out"
        )
    # A span's ends are pointed to among the backbone's states, whatever the method.
    trains_backbone = method.reads_text or kind == "span"
    if settings.adapter not in (None, "frozen") and not trains_backbone:
        raise PolysenseError(
            f"method {method.name}: its prediction ignores the backbone, so that an adapter "
            f"({settings.adapter}) would learn nothing; leave the adapter out"
        )


@contextmanager
def _fitting(method: MethodConfig) -> Iterator[None]:
    """What a method's options and a backbone's width have against each other, in a line."""
    try:
        yield
    except ValueError as error:
        raise PolysenseError(f"method {method.name}: {error}; choose other options") from error


def build_processor(
    method: MethodConfig,
    backbone: str,
    towers: Mapping[str, str],
    settings: TrainingSettings,
    store: Store = None,
) -> PolysenseProcessor:
    """The processor of a model to fine-tune; a method that looks at text alone opens no tower."""
    used = towers if method.multimodal else {}
    return PolysenseProcessor.from_backbone(
        backbone, used, settings.reading(), settings.max_length, store, method.uses_graph
    )


def fine_tune(
    data: TaskData,
    method: MethodConfig,
    backbone: str,
    processor: PolysenseProcessor,
    settings: TrainingSettings,
    folder: Path,
    *,
    save_epochs: bool = False,
    resume: bool = False,
    progress: bool = True,
    report_to: Sequence[str] = (),
) -> PolysenseTrainer:
    """Train on the "train" split, and score the "validation" split after each epoch if checkpoints are kept.

    Args:
        folder: of the Trainer's checkpoints and logs.
        save_epochs: keep a checkpoint after each epoch (the newest only), from which a run can go on.
        resume: go on from the newest checkpoint in `folder`.
        report_to: trackers of the Trainer's (see `trackers`).

    Returns:
        the trainer, its model trained.
    """
    set_seed(settings.seed)
    widths = processor.widths if method.multimodal else {}
    problem = PROBLEMS[data.kind].with_settings(settings)
    problem.check(data)
    model = build_model(data, method, backbone, widths, settings)
    if resume:
        _check_base(model.config, backbone, folder)
    if settings.compile:
        model.backbone.compile(dynamic=True)  # in its place: weights keep their names; batches have many lengths
    model.train_towers(processor.begin_training())
    together = join()
    progress = progress and together.is_main_process
    with together.main_process_first():  # the others find in the store what it has read
        # What has no labels is neither trained on nor scored.
        for split in data.labelled.values():
            processor.prepare(split_texts(split), progress)
    processor.release_towers()
    # Else a text that is longer than the backbone's positions would end in an index error.
    processor.max_length = min(processor.max_length, model.text_length(processor.tokenizer))
    splits = {name: problem.rows(data.splits[name], processor) for name in _USED if name in data.labelled}
    problem.fit(model, splits["train"])
    strategy = "epoch" if save_epochs else "no"
    arguments = TrainingArguments(
        output_dir=str(folder),
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=2 * settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        num_train_epochs=settings.epochs,
        weight_decay=settings.weight_decay,
        warmup_steps=min(settings.warmup, 1 - 1e-9),  # 1 would be read as one step
        seed=settings.seed,
        bf16=settings.bf16,
        use_cpu=not torch.accelerator.is_available(),  # else mixed precision is refused there
        eval_strategy=strategy if "validation" in splits else "no",
        save_strategy=strategy,
        save_total_limit=1,
        logging_strategy="epoch",
        remove_unused_columns=False,
        label_names=["labels"],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to=list(report_to) or "none",
        run_name=folder.name.removesuffix(PARTIAL),
    )
    # Several GPUs are for several processes (torchrun): split over threads, a batch would lose its scene graphs.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    collator = problem.collator(processor)
    trainer = PolysenseTrainer(
        model=model,
        args=arguments,
        train_dataset=splits["train"],
        eval_dataset=splits.get("validation"),
        data_collator=collator,
        compute_metrics=lambda found: problem.score(data, splits["validation"], found.predictions, model.config),
        callbacks=[ProgressBar(f"{data.name}, {method.name}", data.metric)] if progress else None,
        method_learning_rate=settings.method_learning_rate,
        group_by_length=settings.group_by_length,
        generate=problem.outputs if problem.generates else None,
    )
    if isinstance(model.combination, PosteriorWeights):
        batch_size = arguments.per_device_eval_batch_size
        trainer.add_callback(
            EStep(model.combination, splits["train"], collator, batch_size, trainer.log, problem.information)
        )
    # It prints to standard output, which is for results.
    trainer.remove_callback(PrinterCallback)
    place_logs(trainer, folder)
    if processes() > 1:  # all began with the same weights; from here on each draws dropout of its own
        torch.manual_seed(settings.seed + rank())
    trainer.train(resume_from_checkpoint=resume or None)
    model.leave_towers()
    return trainer


def _check_base(config: PolysenseConfig, backbone: str, folder: Path) -> None:
    """Whether what stands under an adapter is what it was: a checkpoint has the adapter alone.

    Raises:
        PolysenseError: it is not.
    """
    newest = newest_checkpoint(folder)
    if config.adapter is None or newest is None:
        return
    if read_json(newest / CONFIG_NAME)["adapter"]["base"]["sha256"] != config.adapter["base"]["sha256"]:
        raise PolysenseError(
            f"the run in {folder} began on other weights of {backbone}: put them back, or begin anew with --overwrite "
            "instead of --resume"
        )


def predict_rows(trainer: Trainer, rows: Any) -> np.ndarray:
    """The trained model's `logits` of rows, in their order."""
    # Else the Trainer would score any rows as if they were the validation split's.
    measure, trainer.compute_metrics = trainer.compute_metrics, None
    try:
        return cast("np.ndarray", trainer.predict(rows).predictions)
    finally:
        trainer.compute_metrics = measure


def score_splits(trainer: Trainer, data: TaskData, processor: PolysenseProcessor) -> dict[str, float]:
    """The task's metrics on every labelled split but the training one, by the names of `TaskData.scores`.

    What a prediction needs beside the weights is chosen on the validation split first.
    """
    problem, model = PROBLEMS[data.kind], cast("PolysensePreTrainedModel", trainer.model)
    rows = {
        name: problem.rows(split, processor, by_length=True) for name, split in data.labelled.items() if name != "train"
    }
    found = {name: predict_rows(trainer, rows[name]) for name in rows}
    if "validation" in rows:
        problem.calibrate(rows["validation"], found["validation"], model)
    scores: dict[str, float] = {}
    for name in rows:
        scores |= data.scores(name, problem.score(data, rows[name], found[name], model.config))
    return scores
