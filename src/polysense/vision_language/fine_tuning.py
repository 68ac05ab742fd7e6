"""Fine-tuning on a downstream task, and scoring."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from transformers.utils import SAFE_WEIGHTS_NAME

from polysense.errors import PolysenseError
from polysense.folder import check_free, file_digest
from polysense.loading import hub_errors, no_report
from polysense.models.processing import PROCESSOR_FILE as METHOD_FILE
from polysense.processes import refuse_others
from polysense.training.runs import finish_run, run_folder
from polysense.training.train import versions
from polysense.vision_language.captions import REGIONS_FILE, load_regions
from polysense.vision_language.models.cmal import CmalModel, CmalPreTrainedModel, load_tokenizer
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.pretraining import CmalForPreTraining
from polysense.vision_language.processing import PROCESSOR_FILE, CmalProcessor, ProcessorSettings
from polysense.vision_language.settings import RunSettings
from polysense.vision_language.tasks import Split, Task, get_task
from polysense.vision_language.training import CHECKPOINT_STEPS, run_training

E = TypeVar("E")
SPLITS = ("train", "validation", "test", "test_seen")
STARTED = ("backbone", "contrast", "matching")
"""Parts of a model that go on from pre-training: the encoders and, of retrieval, the heads that pre-training has."""


def read_splits(
    folder: str | Path, task: Task[E], look: bool = True, reads: ProcessorSettings | None = None
) -> dict[str, Split[E]]:
    """The splits of a data folder to train on: train/, and those of `SPLITS` that are there, with regions.h5 in each.

    Args:
        look: False hides every region.
        reads: what the model reads of a picture; None: everything.

    Raises:
        PolysenseError: no train/, or a split that `read_split` refuses.
    """
    folder = Path(folder).expanduser()
    splits = {}
    for name in SPLITS:
        if (folder / name).is_dir():
            splits[name] = read_split(folder / name, task, look=look, reads=reads)
    if not splits:
        raise PolysenseError(f"{folder}: none of {', '.join(SPLITS)} is a folder in it; give a folder of data")
    if "train" not in splits:
        raise PolysenseError(f"{folder}: there is no train folder in it; give a folder of data with train/")
    return splits


def read_split(
    folder: Path,
    task: Task[E],
    regions: Path | None = None,
    look: bool = True,
    reads: ProcessorSettings | None = None,
) -> Split[E]:
    """One split's folder; `regions` names another file of regions, e.g. a detector's.

    Raises:
        PolysenseError: a file cannot be read, there is no example, one has no label, or its picture no regions; the
            features are not as wide as the model reads them; or text alone (`look` False) has nothing to choose from.
    """
    task.check_look(look)
    file = regions or folder / REGIONS_FILE
    most = None if reads is None else reads.max_regions
    split = Split(task.read(folder), load_regions(file), look, most)
    if not split.examples:
        raise PolysenseError(f"{folder}: there is no example of {task.name} in it")
    unlabelled = sum(not task.labelled(example) for example in split.examples)
    if unlabelled:
        raise PolysenseError(
            f"{folder}: {unlabelled} of {len(split.examples)} examples of {task.name} have no label to learn or score; "
            "give labelled ones"
        )
    missing = [name for example in split.examples for name in task.pictures(example) if name not in split.regions]
    if missing:
        raise PolysenseError(
            f"{folder}: picture {missing[0]} has no regions ({len(missing)} mentions have none); "
            "give the regions of all pictures, or leave those examples out"
        )
    if look and reads is not None and split.regions.width != reads.region_width:
        raise PolysenseError(
            f"{file}: regions have features {split.regions.width} wide, but this model reads {reads.region_width}: "
            "use the features that it was trained with"
        )
    return split


def learnt_from(splits: Mapping[str, Split[Any]], start: str | Path) -> dict[str, str]:
    """What a run that goes on must find again: the training examples, the folder it starts from, and its weights."""
    weights = file_digest(Path(start) / SAFE_WEIGHTS_NAME)
    return {"examples": splits["train"].digest(), "start": str(start), "start_weights": weights}


def score_parts(
    splits: Mapping[str, Split[E]], score: Callable[[Split[E]], dict[str, float]]
) -> dict[str, dict[str, float]]:
    """The scores of every part but the one that was trained on."""
    return {name: score(split) for name, split in splits.items() if name != "train"}


def has_method(folder: str | Path) -> bool:
    """Whether a folder holds a model of `with_method`, whose text side has a processor of its own."""
    return (Path(folder) / METHOD_FILE).exists()


def load_start(start: str | Path, task: Task[E], examples: Sequence[E]) -> tuple[Any, CmalProcessor]:
    """A model of the task whose encoders are those of the folder `start`, and its processor.

    The head is fresh, even where `start` has one of the same name; only retrieval goes on from pre-training's own
    contrast and matching.

    Raises:
        PolysenseError: `start` is no CMAL, has a method, or lacks weights of the encoders.
    """
    processor = CmalProcessor.from_pretrained(start)
    if has_method(start):
        raise PolysenseError(f"{start}: a model with a method; start from the pre-trained model that it was made of")
    with hub_errors("model", str(start)):
        config = CmalConfig.from_pretrained(str(start))
        for name, value in task.configure(examples).items():
            setattr(config, name, value)
        config.task = task.name
        learnt = _load(CmalForPreTraining, start, config, needed="backbone.")
    model: Any = task.model(config)
    for name in STARTED:
        if hasattr(model, name):
            setattr(model, name, getattr(learnt, name))
    return model, processor


def fresh_start(start: str | Path, backbone: str, task: Task[E], examples: Sequence[E]) -> tuple[Any, CmalProcessor]:
    """The same as `load_start`, without what pre-training learnt: the sizes of `start`, from the weights of a BERT.

    Raises:
        PolysenseError: the BERT is of other sizes than `start`, or has another vocabulary.
    """
    model, processor = load_start(start, task, examples)
    config, sizes = model.config, model.config.layer
    if load_tokenizer(backbone).get_vocab() != processor.tokenizer.get_vocab():
        raise PolysenseError(f"fresh {backbone}: its vocabulary is not that of {start}; give the BERT that it began as")
    encoders = CmalModel.from_bert(backbone, config)
    if config.layer != sizes:
        raise PolysenseError(f"fresh {backbone}: its sizes are not those of {start}; give the BERT that it began as")
    fresh: Any = task.model(config)
    fresh.backbone = encoders
    return fresh, processor


def fine_tune(
    task: Task[E],
    splits: Mapping[str, Split[E]],
    build: Any,
    settings: RunSettings,
    folder: Path,
    *,
    save_steps: int | None = None,
    resume: bool = False,
    progress: bool = True,
) -> tuple[Any, CmalProcessor, dict[str, int], list[dict[str, Any]]]:
    """Train on the split "train".

    Args:
        build: from the training examples to a model and a processor (`load_start`, `fresh_start`).
        folder: of checkpoints.

    Returns:
        the model, its processor, how many examples were left out by reason, and the log.
    """
    usable, left_out = task.usable(splits["train"])
    if not usable.examples:
        raise PolysenseError(f"{task.name}: no training example can be learnt from ({left_out})")
    made: list[CmalProcessor] = []
    config: list[CmalConfig] = []

    def make() -> Any:
        model, processor = build(usable.examples)
        made.append(processor)
        config.append(model.config)
        return model

    def collate(numbers: Sequence[int]) -> dict[str, Any]:
        examples = [usable.examples[i] for i in numbers]
        return {**task.collate(examples, usable, made[0]), **task.labels(examples, usable, config[0])}

    trainer = run_training(
        make,
        [len(task.text(example)) for example in usable.examples],
        collate,
        settings,
        folder,
        task.name,
        save_steps=save_steps,
        resume=resume,
        progress=progress,
    )
    model = trainer.accelerator.unwrap_model(trainer.model)
    return model, made[0], left_out, trainer.state.log_history


def train(
    output_dir: str | Path,
    task: str,
    data: str | Path,
    start: str | Path,
    *,
    fresh: str | None = None,
    look: bool = True,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Fine-tune a pre-trained model on a task, score it, and write it to `output_dir`.

    Args:
        task: "vqa", "nlvr2", "snli-ve", "rec" or "retrieval".
        data: a folder of data (see `read_splits`).
        start: the folder of a pre-trained model.
        fresh: a BERT ("minilm", a hub id, a folder) to start from instead of what `start` learnt; its sizes are kept.
        look: False hides every region, for the score of text alone.
        settings: fields of `RunSettings`; what is not given is the task's default.

    Returns:
        the results: scores by split, settings, seconds.

    Raises:
        PolysenseError: an unknown task or setting, a start that is no CMAL, a part that `read_split` refuses, or a
            folder that is not free; all before training begins.
    """
    refuse_others("fine-tuning with pictures")
    folder = Path(output_dir)
    check_free(folder, overwrite, marker=PROCESSOR_FILE)
    chosen = get_task(task)
    run_settings = RunSettings.of(asdict(chosen.defaults), settings)
    started = time.perf_counter()
    splits = read_splits(data, chosen, look, CmalProcessor.from_pretrained(start).settings)
    run = {
        "task": task,
        "data": str(data),
        **learnt_from(splits, start),
        "fresh": fresh,
        "look": look,
        "settings": asdict(run_settings),
    }
    with run_folder(folder, run, overwrite=overwrite, resume=resume) as partial:

        def build(examples: Sequence[Any]) -> tuple[Any, CmalProcessor]:
            return load_start(start, chosen, examples) if fresh is None else fresh_start(start, fresh, chosen, examples)

        model, processor, left_out, log = fine_tune(
            chosen, splits, build, run_settings, partial, save_steps=CHECKPOINT_STEPS, resume=resume, progress=progress
        )
        scores = score_parts(splits, lambda split: chosen.evaluate(model, processor, split, progress=progress))
        results = {
            **run,
            "metric": chosen.metric,
            "scores": scores,
            "rows": {name: len(split.examples) for name, split in splits.items()},
            "left_out": left_out,
            "seconds": round(time.perf_counter() - started, 1),
            "versions": versions(),
        }
        finish_run(folder, (model, processor), results, log)
    return results


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    regions: str | Path | None = None,
    look: bool = True,
    batch_size: int = 64,
    progress: bool = True,
) -> dict[str, Any]:
    """Score a trained model on one split's folder.

    Args:
        regions: another file of regions than the folder's own, e.g. a detector's.
    """
    trained, processor, task = load_trained(model)
    file = None if regions is None else Path(regions)
    split = read_split(Path(data).expanduser(), task, file, look, processor.settings)
    scores = task.evaluate(trained, processor, split, batch_size, progress)
    return {
        "model": str(model),
        "task": task.name,
        "metric": task.metric,
        "scores": scores,
        "rows": len(split.examples),
    }


def load_trained(folder: str | Path) -> tuple[Any, CmalProcessor, Task[Any]]:
    """A model that `train` wrote, in eval mode, its processor and its task.

    Raises:
        PolysenseError: it is none.
    """
    processor = CmalProcessor.from_pretrained(folder)
    if has_method(folder):
        raise PolysenseError(
            f"{folder}: a model with a method; vl evaluate scores it, and it answers no single picture"
        )
    with hub_errors("model", str(folder)):
        config = CmalConfig.from_pretrained(str(folder))
        name = getattr(config, "task", None)
        if name is None:
            raise PolysenseError(f"{folder}: a pre-trained model, of no task yet; train it on one first")
        task = get_task(name)
        return _load(task.model, folder, config).eval(), processor, task


def _load(kind: type[CmalPreTrainedModel], folder: str | Path, config: CmalConfig, needed: str = "") -> Any:
    """A model with a folder's weights, of which those that begin with `needed` must be there."""
    read: Any = kind.from_pretrained
    with no_report():  # of every weight of the heads that a start has and the task has not, or the other way
        model, info = read(str(folder), config=config, output_loading_info=True)
    missing = sorted(name for name in info["missing_keys"] if name.startswith(needed))
    if missing:
        raise PolysenseError(f"{folder}: its weights are not whole: {missing[0]} is missing; train it again")
    return model
