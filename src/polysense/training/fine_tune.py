"""Fine-tuning a backbone on a task by a method, under `transformers.Trainer`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed
from transformers.trainer_pt_utils import LengthGroupedSampler

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.methods.catalog import MethodConfig
from polysense.methods.mase.weighting import InformationWeighting
from polysense.methods.targets import value_target
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.tasks import TaskData, compute
from polysense.towers.packed_encoder import usable_length
from polysense.training.data import Collator, Samples, split_texts
from polysense.training.divergence import check_finite
from polysense.training.e_step import EStep
from polysense.training.progress import ProgressBar
from polysense.training.settings import TrainingSettings


class PolysenseTrainer(Trainer):
    """The Trainer with a learning rate of its own for the method's layers, and the terms of the loss in its logs."""

    def __init__(
        self, *args: Any, method_learning_rate: float | None = None, group_by_length: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.method_learning_rate = method_learning_rate
        self.group_by_length = group_by_length
        self._terms: dict[str, list[float]] = {}

    def create_optimizer(self, model: Any = None) -> Any:
        optimizer = super().create_optimizer() if model is None else super().create_optimizer(model)
        if self.method_learning_rate is None:
            return optimizer
        trained: Any = self.model
        of_backbone = {id(p) for p in trained.backbone.parameters()}
        for group in list(optimizer.param_groups):
            own = [p for p in group["params"] if id(p) not in of_backbone]
            if own:
                group["params"] = [p for p in group["params"] if id(p) in of_backbone]
                rest = {k: v for k, v in group.items() if k != "params"}
                optimizer.add_param_group({**rest, "params": own, "lr": self.method_learning_rate})
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self.group_by_length:
            return super()._get_train_sampler(train_dataset)
        # By hand: the argument that asks for it has another name in other versions of transformers.
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(batch, lengths=cast("Samples", self.train_dataset).lengths)

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        outputs = model(**inputs)
        if model.training:
            for name, value in (outputs.losses or {}).items():
                self._terms.setdefault(f"loss_{name}", []).append(float(value))
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            logs |= {name: float(np.mean(values)) for name, values in self._terms.items()}
            self._terms.clear()
        super().log(logs, *args, **kwargs)


def target_settings(data: TaskData) -> dict[str, Any]:
    """What a model has to know of its labels: class shares (Eq. 4's pi_e), or scale and bins of values."""
    labels = data.splits["train"]["label"]
    if data.kind == "regression":
        return {"kind": "regression", **value_target(labels)}
    counts = Counter(labels)
    names = data.label_names or ()
    return {"kind": "classification", "frequency": [counts[i] / len(labels) for i in range(len(names))]}


def build_model(
    data: TaskData, method: MethodConfig, backbone: str, widths: Mapping[str, int], dropout: float
) -> PolysenseForSequenceClassification:
    """A fresh model of the method on a pretrained backbone, fitted to the labels of a task."""
    labels: dict[str, Any] = {"num_labels": 1, "problem_type": "regression"}
    if data.label_names:
        labels = {
            "id2label": dict(enumerate(data.label_names)),
            "label2id": {name: i for i, name in enumerate(data.label_names)},
            "problem_type": "single_label_classification",
        }
    config = PolysenseConfig(
        method=method.to_dict(), widths=dict(widths), target=target_settings(data), dropout=dropout, **labels
    )
    try:
        return PolysenseForSequenceClassification.from_backbone(backbone, config)
    except ValueError as error:  # the method's layers do not fit the backbone's width
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
) -> PolysenseTrainer:
    """Train on the "train" split, and score the "validation" split after each epoch if checkpoints are kept.

    Args:
        folder: of the Trainer's checkpoints and logs.
        save_epochs: keep a checkpoint after each epoch (the newest only), from which a run can go on.
        resume: go on from the newest checkpoint in `folder`.

    Returns:
        the trainer, its model trained.
    """
    set_seed(settings.seed)
    widths = processor.widths if method.multimodal else {}
    model = build_model(data, method, backbone, widths, settings.dropout)
    # What has no labels is neither trained on nor scored.
    labelled = {name: split for name, split in data.splits.items() if "label" in split.column_names}
    for split in labelled.values():
        processor.prepare(split_texts(split), progress)
    processor.release_towers()
    # Else a text that is longer than the backbone's positions would end in an index error.
    processor.max_length = min(processor.max_length, usable_length(model.backbone, processor.tokenizer))
    splits = {name: Samples(split, processor) for name, split in labelled.items()}
    strategy = "epoch" if save_epochs else "no"
    arguments = TrainingArguments(
        output_dir=str(folder),
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=2 * settings.batch_size,
        num_train_epochs=settings.epochs,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup,
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
        report_to="none",
    )
    # Several GPUs are for several processes (torchrun): split over threads, a batch would lose its scene graphs.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    collator = Collator(processor)
    trainer = PolysenseTrainer(
        model=model,
        args=arguments,
        train_dataset=splits["train"],
        eval_dataset=splits.get("validation"),
        data_collator=collator,
        compute_metrics=lambda predictions: {data.metric: score(data, predictions.predictions, predictions.label_ids)},
        callbacks=[ProgressBar(f"{data.name}, {method.name}", data.metric)] if progress else None,
        method_learning_rate=settings.method_learning_rate,
        group_by_length=settings.group_by_length,
    )
    if isinstance(model.combination, InformationWeighting):
        batch_size = arguments.per_device_eval_batch_size
        trainer.add_callback(EStep(model.combination, splits["train"], collator, batch_size, trainer.log))
    # It prints to standard output, which is for results.
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=resume or None)
    return trainer


def score(data: TaskData, predictions: np.ndarray, labels: np.ndarray) -> float:
    """The task's metric of a model's `logits`.

    Raises:
        PolysenseError: training diverged.
    """
    check_finite(predictions)
    chosen = predictions.argmax(axis=-1) if data.kind == "classification" else predictions
    return compute(data.metric, chosen, labels)
