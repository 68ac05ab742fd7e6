"""The Trainer of transformers, as every training run here uses it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import Trainer

from polysense.durable import flush
from polysense.folder import write_checksums
from polysense.processes import SharedBatches, gather_objects, is_main, mean_amount, processes
from polysense.training.divergence import check_finite
from polysense.training.order import EpochGroupedSampler, EpochSampler
from polysense.training.problems import Rows
from polysense.training.problems.generation import NO_TOKEN

UNFINISHED = "unfinished"
"""Folder of a checkpoint that is being written."""


class PolysenseTrainer(Trainer):
    """The Trainer with a learning rate of its own for the method's layers, and the terms of the loss in its logs.

    Towers that are trained with the model learn at the rate of the backbone. Of several processes each has its part of
    a global batch, and the loss is its mean; so it is where several batches make a step. A checkpoint is there whole or
    not at all.

    Args:
        method_learning_rate: of what is neither the backbone nor a tower; None: that of the backbone.
        group_by_length: batches of rows of like length.
        generate: what a prediction is, where it is not the logits that the loss is computed from.
    """

    def __init__(
        self,
        *args: Any,
        method_learning_rate: float | None = None,
        group_by_length: bool = False,
        generate: Callable[[Any, Mapping[str, Any]], Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.method_learning_rate = method_learning_rate
        self.group_by_length = group_by_length
        self.generate = generate
        self._terms: dict[str, list[float]] = {}
        self._mean_amount: float | None = None
        self._unfinished: Path | None = None

    def create_optimizer(self, model: Any = None) -> Any:
        optimizer = super().create_optimizer() if model is None else super().create_optimizer(model)
        if self.method_learning_rate is None:
            return optimizer
        trained: Any = self.model
        parts = (trained.backbone, getattr(trained, "towers", torch.nn.ModuleDict()))
        pretrained = {id(p) for part in parts for p in part.parameters()}
        for group in list(optimizer.param_groups):
            own = [p for p in group["params"] if id(p) not in pretrained]
            if own:
                group["params"] = [p for p in group["params"] if id(p) in pretrained]
                rest = {k: v for k, v in group.items() if k != "params"}
                optimizer.add_param_group({**rest, "params": own, "lr": self.method_learning_rate})
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ARG002 - that of the run
        seed, rows = self.args.seed, cast("Rows", self.train_dataset)
        if not self.group_by_length:
            return EpochSampler(len(rows), seed, self._epoch)
        # By hand: the argument that asks for it has another name in other versions of transformers.
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * processes()
        return EpochGroupedSampler(batch, rows.lengths, seed, self._epoch)

    def _epoch(self) -> int:
        return int((self.state.epoch or 0) + 1e-6)  # a run that goes on may be within an epoch

    def get_train_dataloader(self) -> Any:
        loader = super().get_train_dataloader()
        if processes() > 1:
            # Accelerate would fill an epoch's last batches with rows that were there before.
            sharded: Any = loader.batch_sampler
            sharded.batch_sampler = SharedBatches(sharded.batch_sampler)
            sharded.num_processes, sharded.process_index, sharded.even_batches = 1, 0, False
        return loader

    def _run_epoch(self, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step >= self.state.max_steps:
            # Gone on with from a checkpoint of the last step, within an epoch: the Trainer would do one step more.
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        batches, items = super().get_batch_samples(*args, **kwargs)
        # One batch of one process counts whole; its tokens need not be counted.
        several = batches and (len(batches) > 1 or processes() > 1)
        amounts = [self._amount(batch) for batch in batches] if several else []
        self._mean_amount = mean_amount(amounts, self.args.device) if amounts else None
        return batches, items

    def _amount(self, inputs: Mapping[str, Any]) -> int:
        """Of what a batch's loss is the mean: rows, or the tokens that are written."""
        if self.generate is None:
            return len(inputs["input_ids"])
        return int((inputs["labels"] != NO_TOKEN).sum())

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        outputs = model(**inputs)
        loss = outputs.loss
        if model.training:
            weight = 1.0 if self._mean_amount is None else self._amount(inputs) / (self._mean_amount or 1)
            loss = weight * loss
            for name, value in (outputs.losses or {}).items():
                self._terms.setdefault(f"loss_{name}", []).append(weight * float(value))
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Any:
        if self.generate is None:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        loss, *_ = super().prediction_step(model, inputs, True, ignore_keys)
        check_finite(cast("Tensor", loss).float().cpu().numpy())
        if prediction_loss_only:
            return loss, None, None
        inputs = self._prepare_inputs(inputs)
        return loss, self.generate(self.accelerator.unwrap_model(model), inputs), inputs["labels"]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            for name, values in self._terms.items():
                logs[name] = float(np.mean(gather_objects(float(np.mean(values)))))
            self._terms.clear()
        super().log(logs, *args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(str(self.args.output_dir))
        # Beside its place, and moved there when all of it is written.
        self._unfinished = folder / UNFINISHED
        if is_main():
            shutil.rmtree(self._unfinished, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        try:
            super()._save_checkpoint(model, trial)
        finally:
            written, self._unfinished = self._unfinished, None
        self.accelerator.wait_for_everyone()
        if is_main():
            (made,) = written.glob("checkpoint-*")
            write_checksums(made)
            before = list(folder.glob("checkpoint-*"))
            shutil.rmtree(folder / made.name, ignore_errors=True)
            made.rename(folder / made.name)
            flush(folder)  # before what it replaces is gone
            for stale in before:
                if stale.name != made.name:
                    shutil.rmtree(stale)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._unfinished) if self._unfinished is not None else super()._get_output_dir(trial)
