"""The problems of a study: a world's downstream tasks, and data that others published, cross-validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError
from polysense.experiments.vl_digest import folder_digest, split_digest
from polysense.experiments.vl_study import Problem
from polysense.tasks.tables import near
from polysense.vision_language.corpora import (
    folds,
    load_coco_mini,
    load_easy_vqa,
    load_flickr8k,
    load_nlvr,
    load_snli_ve,
)
from polysense.vision_language.corpora.nlvr import groups
from polysense.vision_language.fine_tuning import read_split
from polysense.vision_language.regions import RegionSource
from polysense.vision_language.tasks import Split, Task, get_task
from polysense.vision_language.tasks.retrieval import Retrieval

FOLDS = 5
REREAD = 8
"""Pairs a photo and a caption that are read together in retrieval."""
_WITH_TEST = ("easy_vqa",)
_FOLDED = "{}: seed s tests on fold s of 5 (s modulo 5); folds share training data, so that the t-test is only a guide"
WORLD_TASKS = ("vqa", "nlvr2", "snli-ve", "rec")


def world_problems(world: Path, tasks: Sequence[str], settings: Mapping[str, Any]) -> list[Problem]:
    """Each task on the training part of a world, scored on test/ and, where it is there, test_seen/.

    The parts are the same for every seed.

    Args:
        settings: fields of `RunSettings`, for one task as "TASK.FIELD", e.g. {"steps": 2000, "vqa.steps": 4000}.

    Raises:
        PolysenseError: an unknown task or setting, or there is no such world.
    """

    parts = ["train", "test"]
    if (world / "test_seen").is_dir():
        parts.append("test_seen")

    def splits_of(task: Task[Any]) -> Callable[[int], Mapping[str, Split[Any]]]:
        @cache
        def read() -> Mapping[str, Split[Any]]:
            return {part: read_split(world / part, task) for part in parts}

        return lambda seed: read()  # noqa: ARG005

    chosen = [get_task(name) for name in tasks]
    digest = "".join(folder_digest(world / part) for part in parts)
    return [Problem(task.name, task, splits_of(task), settings_of(task.name, settings), digest) for task in chosen]


def corpus_problems(names: Sequence[str], settings: Mapping[str, Any]) -> list[Problem]:
    """Published data by name; seed s tests on fold s of 5 (s modulo 5), except where the data come with a test part.

    Args:
        settings: fields of `RunSettings`, for one of the data as "NAME.FIELD".

    Raises:
        PolysenseError: an unknown name or setting, or the data are not there.
    """
    for name in names:
        if name not in _CORPORA:
            raise PolysenseError(f"unknown data {name!r}{near(name, list(_CORPORA))}; known are {', '.join(_CORPORA)}")
    problems = []
    for name in names:
        task, splits = _CORPORA[name]
        digest = "".join(split_digest(split) for split in splits(0).values())
        note = "" if name in _WITH_TEST else _FOLDED.format(name)
        problems.append(Problem(name, task, splits, settings_of(name, settings), digest, note))
    return problems


def settings_of(problem: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of the settings is for every problem, with what is for this one, "PROBLEM.FIELD", instead."""
    own = {
        name.removeprefix(f"{problem}."): value for name, value in settings.items() if name.startswith(f"{problem}.")
    }
    return {name: value for name, value in settings.items() if "." not in name} | own


def check_questions(problems: Sequence[str]) -> None:
    """Refuse problems that `with_method` cannot fine-tune on, of those that are known.

    Raises:
        PolysenseError: there is one.
    """
    for name in problems:
        task = _CORPORA[name][0] if name in _CORPORA else get_task(name)
        if task.name != "vqa":
            raise PolysenseError(f"--method: {name} has no questions, which methods are for; give --task vqa alone")


def check_owners(settings: Mapping[str, Any], problems: Sequence[str]) -> None:
    """Refuse a setting "PROBLEM.FIELD" of a problem that is none of these.

    Raises:
        PolysenseError: there is one.
    """
    for name in settings:
        owner, dot, _ = name.rpartition(".")
        if dot and owner not in problems:
            raise PolysenseError(f"setting {name}: {owner!r} is not compared; compared are {', '.join(problems)}")


def _folded(
    examples: Sequence[Any], groups: Sequence[str], regions: RegionSource, seed: int
) -> Mapping[str, Split[Any]]:
    held_out = set(folds(groups, FOLDS)[seed % FOLDS])
    parts: dict[str, list[Any]] = {"train": [], "test": []}
    for i, example in enumerate(examples):
        parts["test" if i in held_out else "train"].append(example)
    return {name: Split(part, regions) for name, part in parts.items()}


@cache
def _easy_vqa() -> Any:
    return load_easy_vqa()


@cache
def _nlvr() -> Any:
    return load_nlvr()


@cache
def _flickr8k() -> Any:
    return load_flickr8k()


@cache
def _snli_ve() -> Any:
    return load_snli_ve()


@cache
def _coco_mini() -> Any:
    return load_coco_mini()


def _nlvr_splits(seed: int) -> Mapping[str, Split[Any]]:
    questions = (*_nlvr().splits["dev"], *_nlvr().splits["test"])
    return _folded(questions, groups(questions), _nlvr().regions, seed)


def _easy_vqa_splits(seed: int) -> Mapping[str, Split[Any]]:  # noqa: ARG001
    return {name: Split(part, _easy_vqa().regions) for name, part in _easy_vqa().splits.items()}


def _flickr8k_splits(seed: int) -> Mapping[str, Split[Any]]:
    captions = _flickr8k().splits["all"]
    return _folded(captions, [c.picture for c in captions], _flickr8k().regions, seed)


def _snli_ve_splits(seed: int) -> Mapping[str, Split[Any]]:
    pairs = _snli_ve().splits["all"]
    return _folded(pairs, [pair.picture for pair in pairs], _snli_ve().regions, seed)


def _coco_mini_splits(seed: int) -> Mapping[str, Split[Any]]:
    expressions = _coco_mini().expressions
    return _folded(expressions, [e.picture for e in expressions], _coco_mini().regions, seed)


_CORPORA: Mapping[str, tuple[Task[Any], Callable[[int], Mapping[str, Split[Any]]]]] = {
    "nlvr": (get_task("vqa"), _nlvr_splits),
    "easy_vqa": (get_task("vqa"), _easy_vqa_splits),
    "flickr8k": (Retrieval(rerank=REREAD), _flickr8k_splits),
    "snli_ve": (get_task("snli-ve"), _snli_ve_splits),
    "coco_mini": (get_task("rec"), _coco_mini_splits),
}
