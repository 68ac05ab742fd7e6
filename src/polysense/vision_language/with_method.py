"""Visual question answering with the question's prototypes and scene graph (MASE Table 5).

CMAL's encoders are the backbone of a method: the interaction reads the states of the question's words, which know the
picture, as it reads those of a text model. The method "text" is the same backbone and head without prototypes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from tqdm.auto import tqdm

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.folder import check_free
from polysense.methods.catalog import MethodConfig, method_config
from polysense.methods.mase.weighting import InformationWeighting
from polysense.modality import TEXT
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification
from polysense.processes import refuse_others
from polysense.prototypes.reading import Reading
from polysense.towers.registry import parse_towers
from polysense.training.divergence import check_finite
from polysense.training.e_step import EStep, e_step_history
from polysense.training.predict import AHEAD
from polysense.training.predict import load_trained as load_trained_method
from polysense.training.runs import finish_run, run_folder
from polysense.training.train import DEFAULT_TOWERS, WEIGHTS_FIGURE, modality_weights, versions
from polysense.training.weights_figure import draw_weights
from polysense.vision_language.answers import normalise_answer
from polysense.vision_language.examples import Question
from polysense.vision_language.fine_tuning import (
    fresh_start,
    learnt_from,
    load_start,
    read_split,
    read_splits,
    score_parts,
)
from polysense.vision_language.processing import PROCESSOR_FILE, CmalProcessor
from polysense.vision_language.question_inputs import QuestionProcessor, QuestionRows
from polysense.vision_language.settings import RunSettings
from polysense.vision_language.tasks import Split
from polysense.vision_language.tasks.questions import QuestionAnswering
from polysense.vision_language.training import CHECKPOINT_STEPS, CmalTrainer, run_training

NO_ANSWER = "none of its answers is in the vocabulary"


def train_with_method(
    output_dir: str | Path,
    data: str | Path,
    start: str | Path,
    method: str | MethodConfig = "mase",
    *,
    towers: Sequence[str] = DEFAULT_TOWERS,
    options: Mapping[str, Any] | None = None,
    reading: Reading | None = None,
    fresh: str | None = None,
    look: bool = True,
    store: Store = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Fine-tune a pre-trained CMAL on VQA by a method, score it, and write it to `output_dir`.

    The answers are classes: a training question's is the commonest of its people's answers that is in the vocabulary,
    and the loss on it cross-entropy, which is what MASE's information about labels (Eq. 10) is made for. The score is
    VQA's own, of all answers.

    Args:
        data: a folder of data (see `fine_tuning.read_splits`).
        start: the folder of a pre-trained CMAL.
        method: "text", "mpb", "macsc", "mase", or choices of your own (`method_config`).
        towers: ["image=SPEC", ...] (see `polysense.towers.registry`), which read the questions.
        options: of the method's choices, e.g. {"heads": 4}.
        reading: how prototypes are read; None: its defaults.
        fresh: a BERT ("minilm", a hub id, a folder) to start from instead of what `start` learnt; its sizes are kept.
        look: False hides every region, for the score of text alone.
        store: folder of stored prototypes, as in `polysense.train`.
        settings: fields of `RunSettings`; what is not given is the task's default.

    Returns:
        the results: scores by split, weights of the modalities, E-steps, settings, seconds.

    Raises:
        PolysenseError: an unknown method, tower or setting, a start that is no CMAL, data that cannot be read, a
            picture without regions, or a folder that is not free.
    """
    refuse_others("fine-tuning with pictures")
    folder = Path(output_dir)
    check_free(folder, overwrite, marker=PROCESSOR_FILE)
    task = QuestionAnswering()
    chosen = (method_config(method) if isinstance(method, str) else method).with_options(options or {})
    run_settings = RunSettings.of(asdict(task.defaults), settings)
    started = time.perf_counter()
    processor = QuestionProcessor.from_start(start, chosen, parse_towers(towers), reading or Reading(), store)
    splits = read_splits(data, task, look, processor.pictures.settings)
    run = {
        "task": task.name,
        "data": str(data),
        "method": chosen.name,
        "method_choices": chosen.to_dict(),
        **learnt_from(splits, start),
        "fresh": fresh,
        "look": look,
        "settings": asdict(run_settings),
        "reading": (reading or Reading()).to_dict(),
        "towers": {m: e.fingerprint for m, e in processor.text.extractors.items()},
        "scene_graphs": processor.text.graphs.identity if processor.text.graphs is not None else None,
    }
    with run_folder(folder, run, overwrite=overwrite, resume=resume) as partial:
        trained, left_out, log = fine_tune_with_method(
            task, splits, processor, chosen, start, run_settings, partial,
            fresh=fresh, save_steps=CHECKPOINT_STEPS, resume=resume, progress=progress,
        )  # fmt: skip
        e_steps = e_step_history(log)
        results = {
            **run,
            "modalities": [TEXT, *processor.text.widths],
            "metric": task.metric,
            "scores": score_parts(
                splits, lambda split: score(task, trained, processor, split, 2 * run_settings.batch_size, progress)
            ),
            "weights": modality_weights(trained),
            "e_steps": e_steps,
            "rows": {name: len(split.examples) for name, split in splits.items()},
            "left_out": left_out,
            "seconds": round(time.perf_counter() - started, 1),
            "versions": versions(),
        }

        def draw(staged: Path) -> None:
            if e_steps:
                draw_weights(e_steps, staged / WEIGHTS_FIGURE)

        finish_run(folder, (trained, processor), results, log, draw)
    return results


def fine_tune_with_method(
    task: QuestionAnswering,
    splits: Mapping[str, Split[Question]],
    processor: QuestionProcessor,
    method: MethodConfig,
    start: str | Path,
    settings: RunSettings,
    folder: Path,
    *,
    fresh: str | None = None,
    save_steps: int | None = None,
    resume: bool = False,
    progress: bool = True,
) -> tuple[PolysenseForSequenceClassification, dict[str, int], list[dict[str, Any]]]:
    """Train on the split "train"; the questions of all splits are read first, so that towers are needed once.

    Args:
        task: says which answers there are.
        processor: of `start` and the method (`QuestionProcessor.from_start`).
        folder: of checkpoints.

    Returns:
        the model, how many examples were left out by reason, and the log.

    Raises:
        PolysenseError: the method's layers do not fit the backbone's width, or training diverged.
    """
    answers = task.configure(splits["train"].examples)
    usable, labels = answerable(splits["train"], answers["label2id"])
    processor.text.prepare(list(dict.fromkeys(e.text for split in splits.values() for e in split.examples)), progress)
    processor.text.release_towers()
    rows = QuestionRows(usable, processor, labels)

    def build() -> PolysenseForSequenceClassification:
        model, _ = (
            load_start(start, task, usable.examples)
            if fresh is None
            else fresh_start(start, fresh, task, usable.examples)
        )
        counts = Counter(labels)
        config = PolysenseConfig(
            pooling="first",  # as CMAL's own heads
            method=method.to_dict(),
            widths=processor.text.widths,
            target={"kind": "classification", "frequency": [counts[i] / len(labels) for i in answers["id2label"]]},
            problem_type="single_label_classification",
            **answers,
        )
        try:
            return PolysenseForSequenceClassification.around(model.backbone, config)
        except ValueError as error:  # the method's layers do not fit the backbone's width
            raise PolysenseError(f"method {method.name}: {error}; choose other options") from error

    def add_e_steps(trainer: CmalTrainer) -> None:
        weighting = cast("PolysenseForSequenceClassification", trainer.model).combination
        if isinstance(weighting, InformationWeighting):
            trainer.add_callback(EStep(weighting, rows, rows.collate, 2 * settings.batch_size, trainer.log))

    trainer = run_training(
        build,
        [len(example.text) for example in usable.examples],
        lambda numbers: rows.collate([rows[i] for i in numbers]),
        settings,
        folder,
        f"{task.name}, {method.name}",
        before=add_e_steps,
        save_steps=save_steps,
        resume=resume,
        progress=progress,
    )
    trained = trainer.accelerator.unwrap_model(trainer.model)
    left_out = {NO_ANSWER: len(splits["train"].examples) - len(rows)}
    return trained, left_out, trainer.state.log_history


def evaluate_with_method(
    model: str | Path,
    data: str | Path,
    *,
    regions: str | Path | None = None,
    look: bool = True,
    store: Store = None,
    batch_size: int = 64,
    progress: bool = True,
) -> dict[str, Any]:
    """Score a model that `train_with_method` wrote on one split's folder.

    Args:
        regions: another file of regions than the folder's own, e.g. a detector's.
        store: folder of stored prototypes, as in `polysense.evaluate`.
    """
    trained, processor = load_with_method(model, store)
    task, file = QuestionAnswering(), None if regions is None else Path(regions)
    split = read_split(Path(data).expanduser(), task, file, look, processor.pictures.settings)
    return {
        "model": str(model),
        "task": task.name,
        "method": trained.config.method["name"],
        "metric": task.metric,
        "scores": score(task, trained, processor, split, batch_size, progress),
        "rows": len(split.examples),
    }


def load_with_method(
    folder: str | Path, store: Store = None
) -> tuple[PolysenseForSequenceClassification, QuestionProcessor]:
    """A model that `train_with_method` wrote, in eval mode, and its processor.

    Raises:
        PolysenseError: it is none.
    """
    pictures = CmalProcessor.from_pretrained(folder)
    model, text = load_trained_method(folder, store)
    return model.eval(), QuestionProcessor(text, pictures)


def answerable(split: Split[Question], classes: Mapping[str, int]) -> tuple[Split[Question], list[int]]:
    """The questions that can be learnt from, and of each the class of its commonest answer that is one.

    Of answers that equally many people gave, the first given counts, as in `AnswerVocabulary.from_questions`.
    """
    examples, labels = [], []
    for example in split.examples:
        given = Counter(map(normalise_answer, example.answers)).most_common()
        known = [classes[answer] for answer, _ in given if answer in classes]
        if known:
            examples.append(example)
            labels.append(known[0])
    return replace(split, examples=examples), labels


def score(
    task: QuestionAnswering,
    model: PolysenseForSequenceClassification,
    processor: QuestionProcessor,
    split: Split[Question],
    batch_size: int,
    progress: bool = True,
) -> dict[str, float]:
    """VQA's soft-score accuracy, as `QuestionAnswering.score` gives it."""
    outputs = predict(model, processor, split, batch_size, progress)
    return task.score(split, outputs, cast("Any", model.config))


@torch.no_grad()
def predict(
    model: PolysenseForSequenceClassification,
    processor: QuestionProcessor,
    split: Split[Question],
    batch_size: int,
    progress: bool = True,
) -> list[Tensor]:
    """Log-probabilities (answers,) of each question, in order, on the CPU.

    Raises:
        PolysenseError: training diverged.
    """
    model.eval()
    rows = QuestionRows(split, processor)
    outputs: list[Tensor] = []
    ahead = max(1, AHEAD // batch_size) * batch_size
    for start in tqdm(range(0, len(rows), batch_size), desc="vqa", unit="batch", disable=not progress, leave=False):
        if start % ahead == 0:
            processor.text.look_ahead([example.text for example in split.examples[start : start + ahead]])
        batch = rows.collate([rows[i] for i in range(start, min(start + batch_size, len(rows)))])
        logits = model(**send_to_device(batch, model.device)).logits.float().cpu()
        check_finite(logits.numpy())
        outputs += logits
    return outputs
