"""How much vision-language pre-training needs: recipes and shares of the data, fine-tuned and scored over seeds.

A finished model or score is kept in a folder under a key of all that it depends on; several processes may work on the
same study, each on what no other has begun.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from polysense.errors import PolysenseError
from polysense.experiments.cells import finished, write_cell
from polysense.experiments.vl_backbone import open_backbone
from polysense.experiments.vl_digest import backbone_digest, digest, folder_digest, method_identity
from polysense.folder import RESULTS_FILE, check_files, read_json, working_folder
from polysense.methods.catalog import method_config
from polysense.prototypes.reading import Reading
from polysense.towers.registry import parse_towers
from polysense.training.runs import NotResumableError, newest_checkpoint
from polysense.training.train import DEFAULT_TOWERS
from polysense.vision_language.captions import read_caption_folder, take_share
from polysense.vision_language.examples import Caption
from polysense.vision_language.fine_tuning import fine_tune, fresh_start, load_start, score_parts
from polysense.vision_language.models.pretraining import RECIPES
from polysense.vision_language.pretraining import pretrain
from polysense.vision_language.processing import CmalProcessor
from polysense.vision_language.question_inputs import QuestionProcessor
from polysense.vision_language.regions import RegionSource
from polysense.vision_language.settings import RunSettings
from polysense.vision_language.tasks import Split, Task
from polysense.vision_language.tasks.questions import QuestionAnswering
from polysense.vision_language.with_method import fine_tune_with_method, score

logger = logging.getLogger(__name__)

WAIT_SECONDS = 5

SCORE: dict[str, Any] = {
    "start": str, "problem": str, "seed": int, "metric": str, "scores": dict, "seconds": (int, float),
}  # fmt: skip
"""What the file of a score holds, and the share, which may be null."""


@dataclass(frozen=True)
class Start:
    """What a fine-tuned model starts from and what is added to it, one line of a table.

    Attributes:
        name: what tables print.
        recipe: of pre-training, or None for none: the sizes of a pre-trained model, from the backbone's weights.
        share: of the pre-training pictures.
        look: False hides every region; such a start has no cell in a task without answers from text alone.
        method: of fine-tuning on VQA (see `with_method`): "mase", or "text" for the same head without prototypes;
            None: the task's own head.

    Raises:
        PolysenseError: an unknown recipe or method, or a method without a recipe.
    """

    name: str
    recipe: str | None
    share: float = 1.0
    look: bool = True
    method: str | None = None

    def __post_init__(self) -> None:
        if self.recipe is not None and self.recipe not in RECIPES:
            raise PolysenseError(f"unknown recipe {self.recipe!r}; choose {', '.join(RECIPES)}")
        if self.method is not None:
            method_config(self.method)
            if self.recipe is None:
                raise PolysenseError(f"method {self.method}: it is compared on a pre-trained model; give a recipe")


@dataclass(frozen=True)
class Problem:
    """A downstream task on some data.

    Attributes:
        name: what tables print.
        task: how it is learnt and scored.
        splits: from a seed to "train" and the parts to score, e.g. "test".
        settings: fields of `RunSettings`, without the seed.
        digest: of the data.
        note: what has to be said of its scores, or "".

    Raises:
        PolysenseError: a setting is unknown, out of range, or the seed.
    """

    name: str
    task: Task[Any]
    splits: Callable[[int], Mapping[str, Split[Any]]]
    settings: Mapping[str, Any]
    digest: str
    note: str = ""

    def __post_init__(self) -> None:
        self.run_settings(0)

    def run_settings(self, seed: int) -> RunSettings:
        """Of a fine-tuning: the task's defaults, with `settings` instead."""
        return _run_settings(f"fine-tuning {self.name}", asdict(self.task.defaults), self.settings, seed)


@dataclass
class Study:
    """Pre-trained models and their scores.

    Attributes:
        captions: the folder to pre-train on (captions.json, regions.h5).
        cells: folder of what is finished.
        pretraining: fields of `RunSettings`, without the seed.
        config: fields of `CmalConfig`.
        backbone: the BERT that all start from (see `open_backbone`).
        progress: show one bar over all cells.

    Raises:
        PolysenseError: a setting of pre-training is unknown, out of range, or the seed.
    """

    captions: Path
    cells: Path
    pretraining: Mapping[str, Any]
    config: Mapping[str, Any]
    backbone: str = "minilm"
    progress: bool = True

    def __post_init__(self) -> None:
        _run_settings("pre-training", {}, self.pretraining, 0)

    @cached_property
    def _read(self) -> tuple[list[Caption], RegionSource, str]:
        return read_caption_folder(self.captions)

    @cached_property
    def _bert(self) -> str:
        return open_backbone(self.backbone, self.cells)

    def run(
        self,
        starts: Sequence[Start],
        problems: Sequence[Problem],
        seeds: Sequence[int],
        at_seed: Callable[[list[dict[str, Any]]], Any] | None = None,
    ) -> list[dict[str, Any]]:
        """The scores of every start, problem and seed; what is not there yet is computed, here or by another process.

        Args:
            at_seed: is given the cells of all whole seeds each time that one more is whole.

        Returns:
            one dictionary a cell: start, share, problem, seed, metric, scores by part and name (0 to 1), seconds.

        Raises:
            PolysenseError: a share is out of range, data cannot be read, or a method meets no questions, all before any
                work; or a run fails.
        """
        cells = [
            (start, problem, seed)
            for seed in seeds for start in starts for problem in problems if start.look or problem.task.text_alone
        ]  # fmt: skip
        files = [self._file(start, problem, seed) for start, problem, seed in cells]
        if not all(file.exists() for file in files):
            self._check(starts, problems, seeds)
        found: dict[int, dict[str, Any]] = {}
        with tqdm(total=len(cells), desc="compare", unit="cell", disable=not self.progress) as bar:
            while len(found) < len(cells):
                before = len(found)
                for number, (start, problem, seed) in enumerate(cells):
                    if number in found:
                        continue
                    bar.set_postfix_str(f"{problem.name} {start.name} {100 * start.share:g}% seed {seed}")
                    score = self._try_score(files[number], start, problem, seed)
                    if score is None:
                        continue
                    found[number] = score
                    bar.update()
                    left = {cell[2] for other, cell in enumerate(cells) if other not in found}
                    if at_seed is not None and seed not in left:
                        at_seed([found[i] for i in sorted(found) if cells[i][2] not in left])
                if len(found) == before:
                    time.sleep(WAIT_SECONDS)  # another process works on what is left
        return [found[number] for number in range(len(cells))]

    def _check(self, starts: Sequence[Start], problems: Sequence[Problem], seeds: Sequence[int]) -> None:
        """Let a mistake show before hours of work."""
        for start in starts:
            take_share(self._read[0], start.share)
        for problem in problems:
            if problem.task.name != QuestionAnswering.name and any(start.method for start in starts):
                raise PolysenseError(f"{problem.name}: no questions, which methods are for; compare them on vqa alone")
            problem.splits(seeds[0])

    def _file(self, start: Start, problem: Problem, seed: int) -> Path:
        return self.cells / f"{problem.name}-{start.name}-{start.share:g}-{seed}-{self._score_key(start, problem)}.json"

    def _try_score(self, file: Path, start: Start, problem: Problem, seed: int) -> dict[str, Any] | None:
        """A cell, or None while another process makes it or what it stands on."""
        if file.exists():
            return finished(file, SCORE)
        model = self._try_pretrained(start.recipe or "cmal", start.share if start.recipe else 1.0, seed)
        if model is None:
            return None
        try:
            with FileLock(f"{file}.lock", timeout=0):
                if not file.exists():
                    write_cell(file, self._score(start, problem, seed, model))
        except Timeout:
            return None
        return finished(file, SCORE)

    def _score(self, start: Start, problem: Problem, seed: int, model: Path) -> dict[str, Any]:
        most = CmalProcessor.from_pretrained(model).settings.max_regions
        splits = {
            name: Split(split.examples, split.regions, start.look, most) for name, split in problem.splits(seed).items()
        }
        started = time.perf_counter()
        if start.method is not None:
            scores, left_out = self._with_method(start.method, problem, seed, model, splits)
        else:
            scores, left_out = self._with_own_head(start, problem, seed, model, splits)
        return {
            "start": start.name,
            "share": start.share if start.recipe else None,
            "problem": problem.name,
            "seed": seed,
            "metric": problem.task.metric,
            "scores": scores,
            "rows": {name: len(split.examples) for name, split in splits.items()},
            "left_out": left_out,
            "seconds": round(time.perf_counter() - started, 1),
        }

    def _with_own_head(
        self, start: Start, problem: Problem, seed: int, model: Path, splits: Mapping[str, Split[Any]]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """Scores by part, and how many examples were left out by reason."""

        def build(examples: Sequence[Any]) -> tuple[Any, CmalProcessor]:
            if start.recipe is None:
                return fresh_start(model, self._bert, problem.task, examples)
            return load_start(model, problem.task, examples)

        with tempfile.TemporaryDirectory() as folder:
            trained, processor, left_out, _ = fine_tune(
                problem.task, splits, build, problem.run_settings(seed), Path(folder), progress=False
            )
            scores = score_parts(splits, lambda s: problem.task.evaluate(trained, processor, s, progress=False))
        return scores, left_out

    def _with_method(
        self, method: str, problem: Problem, seed: int, model: Path, splits: Mapping[str, Split[Any]]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """The same by a method, with the default towers."""
        chosen, settings = method_config(method), problem.run_settings(seed)
        task = cast("QuestionAnswering", problem.task)  # see `_check`
        processor = QuestionProcessor.from_start(model, chosen, parse_towers(DEFAULT_TOWERS), Reading())
        with tempfile.TemporaryDirectory() as folder:
            trained, left_out, _ = fine_tune_with_method(
                task, splits, processor, chosen, model, settings, Path(folder), progress=False
            )
        size = 2 * settings.batch_size
        return score_parts(splits, lambda s: score(task, trained, processor, s, size, progress=False)), left_out

    def _try_pretrained(self, recipe: str, share: float, seed: int) -> Path | None:
        """The folder of a pre-trained model, or None while another process makes it."""
        folder = self._folder(recipe, share, seed)
        if folder.exists():
            return folder
        self.cells.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(f"{folder}.lock", timeout=0):
                if not folder.exists():
                    self._pretrain(folder, recipe, share, seed)
        except Timeout:
            return None
        return folder

    def _pretrain(self, folder: Path, recipe: str, share: float, seed: int) -> None:
        """Go on with what a kill has left, if it can be gone on with."""
        captions, regions, detector = self._read

        def run(resume: bool) -> None:
            pretrain(
                folder,
                take_share(captions, share),
                regions,
                recipe=recipe,
                backbone=self._bert,
                config=self.config,
                detector=detector,
                overwrite=True,
                resume=resume,
                progress=False,
                seed=seed,
                **self.pretraining,
            )

        if newest_checkpoint(working_folder(folder)) is not None:
            try:
                run(resume=True)
            except NotResumableError as error:
                logger.warning("%s is pre-trained from its beginning: %s", folder.name, error)
            else:
                return
        run(resume=False)

    def pretrained(self, recipe: str, share: float, seed: int) -> dict[str, Any]:
        """The results of a finished pre-training; PolysenseError where they are damaged."""
        folder = self._folder(recipe, share, seed)
        check_files(folder, lambda name: name == RESULTS_FILE)
        return dict(read_json(folder / RESULTS_FILE))

    def _folder(self, recipe: str, share: float, seed: int) -> Path:
        return self.cells / f"pretrained-{recipe}-{share:g}-{seed}-{self._pretraining_key}"

    @cached_property
    def _pretraining_key(self) -> str:
        """Worked out once: it reads all files of the data and of the backbone."""
        data, backbone = folder_digest(self.captions), backbone_digest(self._bert)
        return digest(dict(self.pretraining), dict(self.config), backbone, data)

    def _score_key(self, start: Start, problem: Problem) -> str:
        task = [problem.task.name, vars(problem.task)]
        settings = asdict(problem.run_settings(0))
        read = None if start.method is None else method_identity(start.method)
        return digest(asdict(start), settings, task, problem.digest, problem.name, self._pretraining_key, read)


def _run_settings(of: str, base: dict[str, Any], given: Mapping[str, Any], seed: int) -> RunSettings:
    if "seed" in given:
        raise PolysenseError(f"{of}: seed is no setting of a study, which runs over seeds; say how many seeds instead")
    try:
        return RunSettings.of(base, {**given, "seed": seed})
    except PolysenseError as error:
        raise PolysenseError(f"{of}: {error}") from None
