"""The verb `train`: from a task to a model in a folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
import transformers

from polysense.cache import Store
from polysense.embedded import EMBEDDED
from polysense.errors import PolysenseError
from polysense.folder import check_free, only_writer, working_folder
from polysense.methods.catalog import MethodConfig, method_config
from polysense.methods.macsc.contrast import SelfBalancingContrast
from polysense.methods.macsc.fusion import LateFusion
from polysense.methods.mase.weights import ModalityWeights
from polysense.modality import TEXT
from polysense.models import PolysensePreTrainedModel
from polysense.models.processing import PROCESSOR_FILE
from polysense.processes import join, processes, refuse_others, refuse_sharding
from polysense.tasks import Defaults, Kind, TaskData, get_task, load_files
from polysense.tasks.files import DEFAULTS_OF
from polysense.tasks.prompts import prompted
from polysense.towers.registry import parse_towers
from polysense.training.compilation import check_compiler
from polysense.training.e_step import e_step_history
from polysense.training.fine_tune import build_processor, check_settings, fine_tune, score_splits
from polysense.training.problems import PROBLEMS
from polysense.training.run_report import report_run
from polysense.training.runs import SEARCH_FOLDER, finish_run, run_folder
from polysense.training.sampling import sample_rows
from polysense.training.search import search
from polysense.training.settings import TrainingSettings
from polysense.training.trackers import check_trackers, keep_logs
from polysense.training.weights_figure import draw_weights
from polysense.version import __version__

logger = logging.getLogger(__name__)

DEFAULT_TOWERS = ("image",)
WEIGHTS_FIGURE = "weights.png"

_LIBRARIES = ("accelerate", "tokenizers", "spacy", "torch-geometric", "peft", "pycocoevalcap")
"""Whose versions a number may depend on."""


def load_data(
    task: str | None = None,
    *,
    data_dir: str | Path | None = None,
    train_file: str | Path | None = None,
    validation_file: str | Path | None = None,
    text_columns: Sequence[str] = ("text",),
    label_column: str = "label",
    kind: Kind | None = None,
    seed: int = 0,
) -> tuple[TaskData, Defaults]:
    """The data of a task by name, or of the user's own files, with the hyper-parameters to start from.

    Raises:
        PolysenseError: neither or both are given, or the data cannot be used (see `polysense.tasks`).
    """
    if (task is None) == (train_file is None):
        raise PolysenseError("give either a task by name or a training file (--task or --train-file)")
    if task is not None and (validation_file or kind):
        raise PolysenseError(f"--validation-file and --kind go with --train-file; the task {task} says both itself")
    if task is not None:
        known = get_task(task)
        return known.load(Path(data_dir) if data_dir else None), known.defaults
    data = load_files(
        train_file,
        validation_file,
        text_columns=list(text_columns),
        label_column=label_column,
        kind=kind,
        seed=seed,
    )
    return data, DEFAULTS_OF[data.kind]


def train(
    output_dir: str | Path,
    task: str | None = None,
    *,
    method: str | MethodConfig = "macsc",
    towers: Sequence[str] = DEFAULT_TOWERS,
    backbone: str = EMBEDDED,
    options: Mapping[str, Any] | None = None,
    train_rows: int | None = None,
    train_share: float | None = None,
    shots: int | None = None,
    store: Store = None,
    report_to: Sequence[str] = (),
    search_trials: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    data_dir: str | Path | None = None,
    train_file: str | Path | None = None,
    validation_file: str | Path | None = None,
    text_columns: Sequence[str] = ("text",),
    label_column: str = "label",
    kind: Kind | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Fine-tune a model and write it, with its processor and results, to `output_dir`.

    The folder appears whole at the end; until then `<output_dir>.partial` keeps a checkpoint an epoch, from which
    `resume` goes on.

    Args:
        output_dir: where the model goes.
        task: a task by name ("mrpc", "coda", ...), or None for files.
        method: "text", "mpb", "macsc", "mase", or choices of your own (`method_config`).
        towers: ["image=SPEC", ...] (see `polysense.towers.registry`).
        backbone: "minilm", a hub id or a folder of an `AutoModel` encoder.
        options: of the method's choices, e.g. {"heads": 4}.
        train_rows: train on that many rows, drawn by the seed; or
        train_share: on this share of them, 0.05 for the papers' low-resource setting; or
        shots: on that many of each class.
        store: folder of stored prototypes, to read and add to; None: the cache's (`$POLYSENSE_CACHE`), False: none.
        report_to: where the run can be followed, "tensorboard" or "wandb"; TensorBoard's logs are kept in `logs`.
        search_trials: search for settings first, with that many trials (see `search`).
        overwrite: replace a result that is there.
        settings: fields of `TrainingSettings`; what is not given is the task's default.

    Returns:
        the results: the score of each split, settings, seconds.
    """
    folder = Path(output_dir)
    check_free(folder, overwrite, marker=PROCESSOR_FILE)
    refuse_sharding()
    if search_trials is not None:
        refuse_others("a search (--search)")
    check_trackers(report_to)
    chosen = method_config(method) if isinstance(method, str) else method
    chosen = chosen.with_options(options or {})
    if TrainingSettings.for_task(Defaults(), **settings).compile:  # bad ones are found before any data are read
        check_compiler()
    data, defaults = load_data(
        task,
        data_dir=data_dir,
        train_file=train_file,
        validation_file=validation_file,
        text_columns=text_columns,
        label_column=label_column,
        kind=kind,
        seed=settings.get("seed") or 0,
    )
    run_settings = TrainingSettings.for_task(defaults, **settings)
    check_settings(chosen, data.kind, run_settings)
    data = sample_rows(data, train_rows, run_settings.seed, share=train_share, shots=shots)
    if run_settings.prompt:
        data = prompted(data)
    found = None
    together = join()
    if search_trials is not None:
        specs = parse_towers(towers) if chosen.multimodal else {}
        with only_writer(folder):
            found = search(
                data, defaults, chosen, backbone, specs, search_trials, working_folder(folder) / SEARCH_FOLDER,
                given=settings, store=store, seed=run_settings.seed, progress=progress,
            )  # fmt: skip
        chosen, run_settings = chosen.with_options(found.options), replace(run_settings, **found.settings)
    started = time.perf_counter()
    processor = build_processor(chosen, backbone, parse_towers(towers), run_settings, store)
    labels = list(data.label_names or ())
    run = {
        "data": {"task": data.name, "kind": data.kind, "labels": labels, "rows": rows_digest(data)},
        "backbone": backbone,
        "method_choices": chosen.to_dict(),
        "settings": run_settings.identity(),
        "towers": {m: e.fingerprint for m, e in processor.extractors.items()},
        "scene_graphs": processor.graphs.identity if processor.graphs is not None else None,
        "train_rows": len(data.splits["train"]),
        "processes": processes(),
    }
    with run_folder(folder, run, overwrite=overwrite, resume=resume) as partial:
        trainer = fine_tune(
            data,
            chosen,
            backbone,
            processor,
            run_settings,
            partial,
            save_epochs=True,
            resume=resume,
            progress=progress,
            report_to=report_to,
        )
        model = cast("PolysensePreTrainedModel", trainer.model)
        e_steps = e_step_history(trainer.state.log_history)
        results = {
            "task": data.name,
            "kind": data.kind,
            "method": chosen.name,
            "modalities": [TEXT, *processor.widths],
            "metric": data.metric,
            "metrics": list(data.metrics),
            "scores": score_splits(trainer, data, processor),
            "weights": modality_weights(model),
            "e_steps": e_steps,
            "rows": {name: len(split) for name, split in data.splits.items()},
            "seconds": round(time.perf_counter() - started, 1),
            **run,
            "settings": asdict(run_settings),
            "notes": [*data.notes, *PROBLEMS[data.kind].notes(chosen)],
            "search": found.to_dict() if found else None,
            "samples": PROBLEMS[data.kind].samples(model, processor, data),
            "versions": versions(),
        }

        def draw(staged: Path) -> None:
            if e_steps:
                draw_weights(e_steps, staged / WEIGHTS_FIGURE)
            try:
                report_run(staged, results, trainer, data, processor, run_settings)
            except Exception as error:  # a trained model is worth more than its page
                logger.warning("no report.html: %s: %s", type(error).__name__, error)
            keep_logs(partial, staged)

        finish_run(folder, (model, processor), results, trainer.state.log_history, draw)
    together.wait_for_everyone()  # no process ends while another still writes
    return results


def modality_weights(model: PolysensePreTrainedModel) -> dict[str, dict[str, float]]:
    """What a method has learnt of its modalities, where it has: rho (MaCSC Eq. 11), pi_z (Eq. 6), z (MASE Eq. 11)."""
    weights = {}
    for name, kind in (("rho", LateFusion), ("z", ModalityWeights)):
        if isinstance(model.combination, kind):
            weights[name] = model.combination.weights()
    if isinstance(model.regulariser, SelfBalancingContrast):
        pairs = model.regulariser.coarse()
        weights["pi_z"] = {f"{m},{k}": round(weight.item(), 4) for (m, k), weight in pairs.items()}
    return weights


def rows_digest(data: TaskData) -> str:
    """Of all labelled rows, for a run that goes on: the same ones must be there again."""
    rows = {name: split.to_dict() for name, split in data.labelled.items()}
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


def versions() -> dict[str, str]:
    """What a number was made with; of other libraries those that are installed."""
    others = {}
    for name in _LIBRARIES:
        try:
            others[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "polysense": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        **others,
    }
