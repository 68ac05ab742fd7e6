"""Pre-training on captions: CMAL, or the contrastive baseline CMCL."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from polysense.embedded import EMBEDDED, resolve_model
from polysense.errors import PolysenseError
from polysense.folder import check_free
from polysense.loading import hub_errors, open_auto
from polysense.processes import refuse_others
from polysense.tasks.tables import near
from polysense.training.runs import finish_run, run_folder
from polysense.training.train import versions
from polysense.vision_language.examples import Caption
from polysense.vision_language.lexicon import Lexicon
from polysense.vision_language.models.cmal import CmalModel, load_tokenizer, special_tokens
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.pretraining import RECIPES, CmalForPreTraining, Objective, objective_at
from polysense.vision_language.processing import (
    MAX_LENGTH,
    PROCESSOR_FILE,
    Anchored,
    CmalProcessor,
    ProcessorSettings,
    class_numbers,
)
from polysense.vision_language.regions import RegionSource
from polysense.vision_language.settings import RunSettings
from polysense.vision_language.training import CHECKPOINT_STEPS, CmalTrainer, run_training

OPTIONS = (
    "text_layers", "visual_layers", "unified_layers", "variant", "swap", "hide_anchors", "mask_words", "mask_regions",
    "contrast_temperature", "projection",
)  # fmt: skip
"""Fields of `CmalConfig` that are free to choose; the others follow from the backbone and the data."""
OF_ANCHORS: tuple[Objective, ...] = ("association", "word_region")
"""Objectives that learn at anchors."""


@dataclass
class CaptionBatches:
    """Captions with their anchors, as batches of the pre-training model.

    Attributes:
        captions, anchored: the same texts as published and as tokens.
        regions: of their pictures.
        processor: of the model.
        classes: numbers of the object classes.
    """

    captions: Sequence[Caption]
    anchored: Sequence[Anchored]
    regions: RegionSource
    processor: CmalProcessor
    classes: Mapping[str, int]

    @classmethod
    def read(
        cls,
        captions: Sequence[Caption],
        regions: RegionSource,
        tags: Mapping[str, Sequence[str]],
        processor: CmalProcessor,
        classes: Mapping[str, int],
        lexicon: Lexicon,
    ) -> CaptionBatches:
        """Find the anchors of all captions once; `tags` are those of `read_tags`."""
        anchored = [processor.anchor(c.text, tags[c.picture], lexicon) for c in captions]
        return cls(captions, anchored, regions, processor, classes)

    @property
    def with_anchors(self) -> float:
        """Share of the captions that have an anchor."""
        return sum(bool(row.regions) for row in self.anchored) / max(len(self.anchored), 1)

    @property
    def digest(self) -> str:
        """SHA-256 of the captions and their anchors: the same for the same data, tokenizer and lexicon."""
        digest = hashlib.sha256()
        for caption, row in zip(self.captions, self.anchored, strict=True):
            told = [caption.picture, caption.text, row.input_ids, row.spans, row.regions]
            digest.update(json.dumps(told).encode() + b"\n")
        return digest.hexdigest()

    def __call__(self, numbers: Sequence[int]) -> dict[str, Any]:
        shown = [self.regions[self.captions[i].picture] for i in numbers]
        rows = [self.anchored[i] for i in numbers]
        of_regions = self.processor.region_inputs(shown)
        count = of_regions["region_mask"].shape[1]
        pictures: dict[str, int] = {}
        which = [pictures.setdefault(self.captions[i].picture, len(pictures)) for i in numbers]
        return {
            **self.processor.text_inputs([row.input_ids for row in rows]),
            **of_regions,
            **self.processor.anchor_inputs(rows, count),
            "region_classes": class_numbers(shown, self.classes, count),
            "pictures": torch.tensor(which),
        }


def read_tags(captions: Sequence[Caption], regions: RegionSource) -> dict[str, Sequence[str]]:
    """The tags of the regions of each picture that has captions; each picture is read once."""
    return {name: regions[name].tags for name in dict.fromkeys(c.picture for c in captions)}


def object_classes(tags: Mapping[str, Sequence[str]], min_count: int = 1) -> list[str]:
    """The tags that `read_tags` found, most frequent first."""
    counts = Counter(tag for of_picture in tags.values() for tag in of_picture if tag)
    return [tag for tag, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= min_count]


def pretrain(
    output_dir: str | Path,
    captions: Sequence[Caption],
    regions: RegionSource,
    *,
    recipe: str | Mapping[Objective, float] = "cmal",
    backbone: str = EMBEDDED,
    config: Mapping[str, Any] | None = None,
    max_regions: int = 36,
    detector: str = "",
    lexicon: Lexicon | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Pre-train a model and write it, with its processor and results, to `output_dir`.

    The folder appears whole at the end; until then `<output_dir>.partial` keeps a checkpoint each 500 steps, from which
    `resume` goes on.

    Args:
        output_dir: where the model goes.
        captions: of pictures that `regions` has.
        recipe: "cmal", "cmcl" or proportions of objectives by name.
        backbone: the BERT that the text side and the unified encoder start from: "minilm", a hub id or a folder.
        config: fields of `CmalConfig` (see `OPTIONS`), e.g. {"unified_layers": 6, "variant": "released"}.
        max_regions: of a picture, the first ones, 1 or more.
        detector: what made the regions, so that the model can be used on plain pictures (see `open_detector`).
        lexicon: of the anchors; None: the built-in one.
        settings: fields of `RunSettings`.

    Returns:
        the results: recipe, settings, counts, the mean of each loss over the last tenth of the run, seconds.

    Raises:
        PolysenseError: no captions, a picture without regions, nothing to associate though the recipe asks for it,
            settings out of range, a folder that is not free, or a backbone that is no BERT.
    """
    refuse_others("pre-training")
    folder = Path(output_dir)
    check_free(folder, overwrite, marker=PROCESSOR_FILE)
    chosen = _recipe(recipe)
    run_settings = RunSettings.of({}, settings)
    if not captions:
        raise PolysenseError("pre-training needs captions; there are none")
    started = time.perf_counter()
    missing = [c.picture for c in captions if c.picture not in regions]
    if missing:
        raise PolysenseError(
            f"picture {missing[0]}: a caption names it, but it has no regions ({len(missing)} captions have none); "
            "give the regions of all pictures, or leave those captions out"
        )
    tokenizer = load_tokenizer(backbone)
    processor = CmalProcessor(
        tokenizer,
        ProcessorSettings(
            region_width=regions.width,
            max_length=min(MAX_LENGTH, tokenizer.model_max_length, _positions(backbone)),
            max_regions=max_regions,
            detector=detector,
        ),
    )
    tags = read_tags(captions, regions)
    classes = object_classes(tags)
    associates = any(chosen.get(name) for name in OF_ANCHORS)
    if associates and not classes:
        raise PolysenseError(
            "no region has a tag, so that there is nothing to associate: give regions with tags (and the names of "
            "their classes, where the file has numbers), or the recipe cmcl"
        )
    batches = CaptionBatches.read(
        captions, regions, tags, processor, {name: i for i, name in enumerate(classes)}, lexicon or Lexicon.default()
    )
    if associates and not batches.with_anchors:
        raise PolysenseError(
            f"none of {len(captions)} captions names a region (tags are e.g. {', '.join(classes[:3])}), so that there "
            "is nothing to associate: give tags in the captions' language, more synonyms, or the recipe cmcl"
        )
    model_config = CmalConfig(
        **{
            **special_tokens(tokenizer),
            "region_width": regions.width,
            "object_classes": classes,
            "target_words": sorted({token for row in batches.anchored for token in row.input_ids}),
            **_options(config or {}),
        }
    )
    run = {
        "recipe": dict(chosen),
        "backbone": backbone,
        "config": dict(config or {}),
        "settings": asdict(run_settings),
        "captions": len(captions),
        "pictures": len({c.picture for c in captions}),
        "max_regions": max_regions,
        "object_classes": len(classes),
        "with_anchors": round(batches.with_anchors, 4),
        "digest": batches.digest,
    }
    with run_folder(folder, run, overwrite=overwrite, resume=resume) as partial:

        def build() -> CmalForPreTraining:
            encoders = CmalModel.from_bert(backbone, model_config)
            model = CmalForPreTraining(model_config)
            model.backbone = encoders
            return model

        trainer = run_training(
            build,
            [len(row.input_ids) for row in batches.anchored],
            batches,
            run_settings,
            partial,
            f"pre-training, {'+'.join(chosen)}",
            at_step=lambda step: {"objective": objective_at(chosen, run_settings.seed, step)},
            save_steps=CHECKPOINT_STEPS,
            resume=resume,
            progress=progress,
        )
        results = {
            **run,
            "losses": _last_losses(trainer),
            "seconds": round(time.perf_counter() - started, 1),
            "versions": versions(),
        }
        trained = trainer.accelerator.unwrap_model(trainer.model)
        finish_run(folder, (trained, processor), results, trainer.state.log_history)
    return results


def _positions(backbone: str) -> int:
    """How many tokens the BERT has positions for; of other models, which are refused later, any number."""
    with hub_errors("backbone", backbone):
        config = open_auto(AutoConfig, resolve_model(backbone))
    return int(getattr(config, "max_position_embeddings", MAX_LENGTH))


def _recipe(recipe: str | Mapping[Objective, float]) -> Mapping[Objective, float]:
    if not isinstance(recipe, str):
        for name, share in recipe.items():
            if isinstance(share, bool) or not isinstance(share, int | float):
                raise PolysenseError(f"objective {name}: its proportion must be a number, not {share!r}")
        objective_at(recipe, 0, 0)  # says what is wrong with it
        return recipe
    if recipe not in RECIPES:
        raise PolysenseError(f"unknown recipe {recipe!r}; choose {', '.join(RECIPES)}, or name proportions")
    return RECIPES[recipe]


def _options(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was given, each a known option with a value of its kind; `CmalConfig` looks at the ranges."""
    usual = CmalConfig()
    for name, value in given.items():
        if name not in OPTIONS:
            raise PolysenseError(
                f"unknown option {name!r} of the model{near(name, list(OPTIONS))}; they are {', '.join(OPTIONS)}"
            )
        kind = type(getattr(usual, name))
        if type(value) is not kind and not (kind is float and type(value) is int):
            said = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]
            raise PolysenseError(f"option {name} must be {said}, not {value!r}")
    return given


def _last_losses(trainer: CmalTrainer) -> dict[str, float]:
    """Each loss, the mean over the last tenth of the run."""
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    last: dict[str, list[float]] = {}
    for entry in log[-max(1, len(log) // 10) :]:
        for name, value in entry.items():
            if name.startswith("loss_"):
                last.setdefault(name.removeprefix("loss_"), []).append(value)
    return {name: round(sum(values) / len(values), 4) for name, values in last.items()}
