"""The E-steps of a training run (MASE Eq. 2-5, Algorithm 1)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor
from transformers import TrainerCallback

from polysense.methods.mase.weighting import InformationWeighting
from polysense.methods.mase.weights import PosteriorWeights
from polysense.models import PolysensePreTrainedModel
from polysense.processes import gather_objects, processes, rank
from polysense.training.divergence import check_finite


class Rows(Protocol):
    """The rows of a training run: `Samples`, or what stands for them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> dict[str, Any]: ...

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each row."""


Estimate = Callable[[Any, Iterable[dict[str, Any]]], dict[str, float]]
"""From a model and inputs with "labels" to I(h^m, y) by modality, in nats (Eq. 10)."""


class EStep(TrainerCallback):
    """Re-estimates z while the parameters stand still, `iterations` times, evenly over the run.

    The run is cut into `iterations` + 1 M-steps, and an E-step stands between each two: z starts even, and the last one
    is still trained with. Each reads a new sample of the training rows, drawn by the run's seed and the step alone, so
    that a run which goes on from a checkpoint draws the same; nothing else of the run's random numbers is touched.
    Several processes share the sample's batches, and all come to the same z.

    Args:
        weighting: the model's combination.
        rows: the training rows.
        collate: from rows to the inputs of the model.
        batch_size: rows a call of the model.
        log: told the step's weights, information and seconds.
        estimate: of what each modality says of the labels; None: `head_information`.
    """

    def __init__(
        self,
        weighting: PosteriorWeights,
        rows: Rows,
        collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]],
        batch_size: int,
        log: Callable[[dict[str, float]], None],
        estimate: Estimate | None = None,
    ) -> None:
        self.weighting, self.rows, self.collate = weighting, rows, collate
        self.batch_size, self.log = batch_size, log
        self.estimate = estimate or head_information

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        weighting = self.weighting
        if state.global_step in e_step_moments(state.max_steps, weighting.iterations):
            started = time.perf_counter()
            generator = torch.Generator().manual_seed(args.seed * 1_000_003 + state.global_step)
            # A run may be told its steps, and be shorter than the epochs that it is in.
            step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
            trained = min(state.num_train_epochs * len(self.rows), state.max_steps * step)
            wanted = weighting.sample * trained / weighting.iterations
            count = min(len(self.rows), max(self.batch_size * processes(), math.ceil(wanted)))
            drawn = torch.randperm(len(self.rows), generator=generator)[:count].tolist()
            information = e_step(model, weighting, self._batches(drawn), self.estimate)
            self.log(
                {f"z_{m}": round(z, 4) for m, z in weighting.weights().items()}
                | {f"information_{m}": round(value, 4) for m, value in information.items()}
                | {"e_step_seconds": round(time.perf_counter() - started, 3)}
            )

    def _batches(self, drawn: Sequence[int]) -> Iterator[dict[str, Any]]:
        # Like lengths together, so that little is padding.
        order = sorted(drawn, key=self.rows.lengths.__getitem__)
        for start in range(rank() * self.batch_size, len(order), processes() * self.batch_size):
            yield self.collate([self.rows[i] for i in order[start : start + self.batch_size]])


def e_step_moments(steps: int, iterations: int) -> set[int]:
    """After which of a run's steps z is estimated; a run of few steps has fewer E-steps."""
    return {steps * i // (iterations + 1) for i in range(1, iterations + 1)} - {0}


def e_step_history(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the E-steps of a run wrote to the Trainer's log: step, z, information in nats, and seconds of each."""
    return [
        {
            "step": entry["step"],
            **{kind: _by_modality(entry, kind) for kind in ("z", "information")},
            "seconds": entry["e_step_seconds"],
        }
        for entry in log
        if "e_step_seconds" in entry
    ]


def _by_modality(entry: Mapping[str, Any], kind: str) -> dict[str, float]:
    return {name.removeprefix(f"{kind}_"): value for name, value in entry.items() if name.startswith(f"{kind}_")}


def e_step(
    model: PolysensePreTrainedModel,
    weighting: PosteriorWeights,
    batches: Iterable[dict[str, Any]],
    estimate: Estimate | None = None,
) -> dict[str, float]:
    """Set z to the posterior of Eq. 11, the parameters held (Eq. 5).

    Args:
        model: left in the mode, training or not, that it was in.
        weighting: its combination.
        batches: inputs with "labels"; this process's share of them.
        estimate: as in `EStep`.

    Returns:
        I(h^m, y) by modality, in nats.

    Raises:
        PolysenseError: training diverged.
    """
    training = model.training
    model.eval()
    information = (estimate or head_information)(model, batches)
    model.train(training)
    check_finite(np.array(list(information.values())))
    weighting.update(information)
    return information


@torch.no_grad()
def head_information(model: PolysensePreTrainedModel, batches: Iterable[dict[str, Any]]) -> dict[str, float]:
    """I(h^m, y) from what a model's head says of h^m alone.

    Raises:
        PolysenseError: training diverged.
    """
    weighting = cast("InformationWeighting", model.combination)
    logits: dict[str, list[Tensor]] = {m: [] for m in weighting.modalities}
    labels = []
    for batch in batches:
        labels.append(batch["labels"].cpu())
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        for m, alone in model(**send_to_device(inputs, model.device)).modality_logits.items():
            logits[m].append(alone.float().cpu())
    everywhere = gather_objects((logits, labels))
    together = {m: model.target.join([part for found, _ in everywhere for part in found[m]]) for m in logits}
    for values in together.values():
        check_finite(values.numpy())
    return weighting.estimate(together, torch.cat([part for _, found in everywhere for part in found]))
