"""Hyper-parameters by search (Bergstra et al., 2011: TPE), scored on the validation split or held-out training rows."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from inspect import signature
from pathlib import Path
from typing import Any, cast

from datasets import Dataset
from filelock import FileLock
from tqdm.auto import tqdm

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.methods.catalog import REGULARISERS, MethodConfig
from polysense.models import PolysenseProcessor
from polysense.tasks import Defaults, Kind, TaskData
from polysense.tasks.splitting import hold_out
from polysense.training.fine_tune import build_processor, fine_tune, score_splits
from polysense.training.settings import TrainingSettings

JOURNAL = "search.log"
"""File of the trials, in the folder of the search: Optuna's journal, JSON lines."""

HELD_OUT = 0.1
"""Of the training rows, where no validation split can be spared."""

_RANDOM_TRIALS = 5
"""Before the sampler models what it has seen."""

_MOST_DROPOUT = 0.3
_WEIGHT = "weight"


@dataclass(frozen=True)
class Range:
    """What a hyper-parameter is drawn from: `low` to `high`, on a logarithmic scale or in whole numbers."""

    low: float
    high: float
    default: float
    log: bool = True
    whole: bool = False

    def draw(self, trial: Any, name: str) -> float:
        """A trial's value."""
        if self.whole:
            return int(trial.suggest_int(name, int(self.low), int(self.high)))
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        settings: the best trial's, of those that were searched.
        options: the best trial's options of the method.
        score: its score, in the task's first metric (0 to 1; CIDEr 0 to 10).
        rows: what the trials were scored on, in words.
        trials: all finished ones: "number", "score" (None where it failed), "error" ("" where it did not), "settings",
            "options" and "seconds".
    """

    settings: dict[str, Any]
    options: dict[str, Any]
    score: float
    rows: str
    trials: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def search(
    data: TaskData,
    defaults: Defaults,
    method: MethodConfig,
    backbone: str,
    towers: Mapping[str, str],
    trials: int,
    folder: Path,
    *,
    given: Mapping[str, Any] | None = None,
    store: Store = None,
    seed: int = 0,
    progress: bool = True,
) -> Search:
    """Search learning rates, epochs, dropout, and the weight of the method's regulariser where it has one.

    The first trial is what the run would have without a search, so that on the search's rows nothing is lost. Trials
    are scored on `search_rows`. A search that was stopped goes on, and gives the trials that it would have given.

    Args:
        data: with the training rows that the run will have.
        defaults: of the task.
        method, backbone, towers, store: as in `train`.
        trials: how many, those that are finished in `folder` included.
        folder: where the trials are kept; two programs take turns there.
        given: settings that are fixed, and so are not searched.
        seed: of the draws and of each trial's training.
        progress: show a bar over the trials.

    Raises:
        PolysenseError: Optuna is not installed, `trials` is not above 0, or the first trial or all others fail.
    """
    if trials < 1:
        raise PolysenseError(f"a search needs 1 trial or more, not {trials}")
    fixed = {name: value for name, value in (given or {}).items() if value is not None}
    base = TrainingSettings.for_task(defaults, **{**fixed, "seed": seed})
    rows, said = search_rows(data, seed)
    space = search_space(base, method, fixed, data.kind)
    processor = build_processor(method, backbone, towers, base, store)
    towers_read = {m: extractor.fingerprint for m, extractor in processor.extractors.items()}
    asked = [_digests(rows), method.to_dict(), backbone, towers_read, base.identity(), repr(space)]
    with _study(folder, sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]) as study:
        bar = tqdm(total=trials, initial=min(trials, len(_finished(study))), unit="trial", desc="search")
        bar.disable = not progress
        with bar:
            while len(_finished(study)) < trials:
                trial, drawn = _next_trial(study, space, seed)
                own: dict[str, Any] = {name: value for name, value in drawn.items() if name != _WEIGHT}
                options = {name: value for name, value in drawn.items() if name == _WEIGHT}
                run = (method.with_options(options), backbone, processor, replace(base, **own))
                _attempt(study, trial, rows, *run)
                bar.update()
        finished = _finished(study)[:trials]
    good = [trial for trial in finished if trial.value is not None]
    if not good:
        raise PolysenseError(f"all {trials} trials failed; the first: {finished[0].user_attrs['error']}")
    best = max(good, key=lambda trial: float(trial.value))
    found = _trial_dict(best)
    return Search(found["settings"], found["options"], found["score"], said, [_trial_dict(t) for t in finished])


def search_space(
    base: TrainingSettings, method: MethodConfig, fixed: Mapping[str, Any], kind: Kind = "classification"
) -> dict[str, Range]:
    """What is searched, around what the run would have without a search.

    Args:
        base: the settings without a search.
        fixed: settings that the user gave.
        kind: of the task; where texts are written there is no regulariser to weigh.
    """
    rate, of_method = base.learning_rate, base.method_learning_rate
    space = {
        "learning_rate": Range(rate / 5, rate * 5, rate),
        "method_learning_rate": (
            Range(rate / 5, rate * 30, rate) if of_method is None else Range(of_method / 5, of_method * 5, of_method)
        ),
        "epochs": Range(max(1, round(base.epochs / 2)), max(2, round(2 * base.epochs)), round(base.epochs), whole=True),
        "dropout": Range(0, max(_MOST_DROPOUT, base.dropout), base.dropout, log=False),
    }
    space = {name: limits for name, limits in space.items() if name not in fixed}
    regulariser = REGULARISERS[method.regulariser] if kind != "generation" else None
    if regulariser is not None and _WEIGHT in signature(regulariser).parameters:
        known = signature(regulariser).parameters[_WEIGHT].default
        weight = method.options.get("regulariser", {}).get(_WEIGHT)
        if weight is None:  # else the user chose it
            space[_WEIGHT] = Range(known / 10, known * 10, known)
    return space


def search_rows(data: TaskData, seed: int) -> tuple[TaskData, str]:
    """Rows to train trials on and to score them on, and the latter in words.

    The validation split where the task has another one to report scores of, else a tenth of the training rows, drawn by
    the seed (of classes and values stratified), without which the trials train. A test split is never among them.
    """
    train = data.splits["train"]
    tests = [name for name in data.labelled if name != "train" and not name.startswith("validation")]
    if tests and "validation" in data.labelled:
        kept = {"train": train, "validation": data.splits["validation"]}
        said = f"the validation split ({len(kept['validation']):,} rows)"
    else:
        rest, held = hold_out(train, data.kind, HELD_OUT, seed, f"{data.name}: search")
        kept = {"train": train.select(rest), "validation": train.select(held)}
        said = f"{len(held):,} of {len(train):,} training rows, which the trials did not train on"
    return replace(data, splits=kept), said


@contextmanager
def _study(folder: Path, name: str) -> Iterator[Any]:
    """The study of that name, with what was finished before."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise PolysenseError("a search needs Optuna: pip install 'polysense[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    turn = FileLock(folder / f"{JOURNAL}.turn")
    with turn:
        # Its lock as well: held already, it is only counted. Optuna's own outlives a program that is killed.
        storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL), cast("Any", turn)))
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):  # its program was stopped
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        yield study


def _finished(study: Any) -> list[Any]:
    """Trials that came to an end, good or bad; those that were stopped have none."""
    return [trial for trial in study.trials if trial.value is not None or "error" in trial.user_attrs]


def _next_trial(study: Any, space: Mapping[str, Range], seed: int) -> tuple[Any, dict[str, float]]:
    """A trial and its values: the defaults first, then what the sampler draws."""
    import optuna

    number = len(_finished(study))
    # One for each trial: after a stop it draws what it would have drawn.
    study.sampler = optuna.samplers.TPESampler(seed=seed + number, n_startup_trials=_RANDOM_TRIALS)
    if number == 0 and not study.get_trials(states=(optuna.trial.TrialState.WAITING,)):
        study.enqueue_trial({name: limits.default for name, limits in space.items()})
    trial = study.ask()
    return trial, {name: limits.draw(trial, name) for name, limits in space.items()}


def _attempt(
    study: Any,
    trial: Any,
    rows: TaskData,
    method: MethodConfig,
    backbone: str,
    processor: PolysenseProcessor,
    settings: TrainingSettings,
) -> None:
    """Train and score; a trial that cannot be is noted as failed, unless it is the first: then nothing could be.

    So is one whose score is no finite number, the first among them: other settings may have one.
    """
    first = not _finished(study)
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as work:
            trainer = fine_tune(rows, method, backbone, processor, settings, Path(work), progress=False)
            scores = score_splits(trainer, rows, processor)
    except PolysenseError as error:
        if first:
            raise
        _fail(study, trial, str(error), started)
        return
    # The first metric is the first of the validation split's.
    score = next(value for name, value in scores.items() if name.startswith("validation"))
    if not math.isfinite(score):
        _fail(study, trial, f"the score is {score}", started)
        return
    trial.set_user_attr("seconds", round(time.perf_counter() - started, 1))
    study.tell(trial, score)


def _fail(study: Any, trial: Any, reason: str, started: float) -> None:
    """Note a trial that has no score."""
    import optuna

    trial.set_user_attr("error", reason)
    trial.set_user_attr("seconds", round(time.perf_counter() - started, 1))
    study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _trial_dict(trial: Any) -> dict[str, Any]:
    return {
        "number": trial.number,
        "score": trial.value,
        "error": trial.user_attrs.get("error", ""),
        "settings": {name: value for name, value in trial.params.items() if name != _WEIGHT},
        "options": {name: value for name, value in trial.params.items() if name == _WEIGHT},
        "seconds": trial.user_attrs["seconds"],
    }


def _digests(data: TaskData) -> list[str]:
    def digest(split: Dataset) -> str:
        return sha256(json.dumps(split.to_dict()).encode()).hexdigest()

    return [data.name, *map(digest, data.splits.values())]
