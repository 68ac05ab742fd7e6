"""CMAL and CMCL in pre-training: one model, whose objectives are drawn by the proportions of a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from polysense.errors import PolysenseError
from polysense.vision_language.models.cmal import CmalModel, CmalPreTrainedModel
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.prompt import Anchors, draw_sides, swap_fill
from polysense.vision_language.objectives.association import AssociativeClassifier
from polysense.vision_language.objectives.contrast import GlobalContrast, Temperature, word_region_contrast
from polysense.vision_language.objectives.masking import draw, mask_batch
from polysense.vision_language.objectives.matching import MatchingHead, mismatch

Objective = Literal["matching", "association", "masking", "word_region", "contrast"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

RECIPES: Mapping[str, Mapping[Objective, float]] = {
    "cmal": {"matching": 1, "association": 3, "word_region": 2},
    "cmcl": {"matching": 1, "masking": 3, "contrast": 2},
}
"""Proportions of the objectives. CMAL's are those of the code released with it. CMCL, the baseline that the paper
argues against, has a contrast of whole texts with whole pictures where CMAL contrasts anchors, and masked words and
regions without a swap where CMAL associates; nothing in it knows of anchors."""


def objective_at(recipe: Mapping[Objective, float], seed: int, step: int) -> Objective:
    """The objective of a step, drawn by its proportion; the same for the same seed and step.

    Raises:
        PolysenseError: an unknown objective, or no positive proportion.
    """
    for name, share in recipe.items():
        if name not in OBJECTIVES:
            raise PolysenseError(f"objective {name!r}: choose from {', '.join(OBJECTIVES)}")
        if not 0 <= share < math.inf:
            raise PolysenseError(f"objective {name}: its proportion must be a number of 0 or more, not {share}")
    total = sum(recipe.values())
    if not total > 0:
        raise PolysenseError("pre-training needs an objective with a proportion above 0")
    names = list(recipe)
    drawn = np.random.default_rng([seed, step]).choice(len(names), p=[recipe[name] / total for name in names])
    return names[int(drawn)]


@dataclass
class PreTrainingOutput(ModelOutput):
    """The loss of one objective, and its terms by name."""

    loss: Tensor | None = None
    losses: dict[str, Tensor] | None = None


class CmalForPreTraining(CmalPreTrainedModel):
    """The encoders with the heads of all objectives; a step asks for one.

    Inputs beside those of `CmalModel`: `anchor_spans` (B, L) and `anchor_links` (B, L, R), the fields of `Anchors`;
    `region_classes` (B, R); `pictures` (B,), numbers that say which picture an example shows.
    """

    def __init__(self, config: CmalConfig) -> None:
        super().__init__(config)
        self.backbone = CmalModel(config)
        self.association = AssociativeClassifier(config)
        self.matching = MatchingHead(config.hidden_size)
        self.word_region_temperature = Temperature(config.contrast_temperature)
        self.contrast = GlobalContrast(config.hidden_size, config.projection, config.contrast_temperature)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Also of the heads' own parameters, which the folder of a `CmalModel` has none of."""
        super()._init_weights(module)
        if isinstance(module, AssociativeClassifier):
            module.start(self.config)
        if isinstance(module, Temperature):
            nn.init.constant_(module.log, math.log(self.config.contrast_temperature))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        region_features: Tensor,
        region_locations: Tensor,
        region_mask: Tensor,
        anchor_spans: Tensor,
        anchor_links: Tensor,
        region_classes: Tensor,
        pictures: Tensor,
        objective: Objective = "association",
        **kwargs: Any,  # noqa: ARG002
    ) -> PreTrainingOutput:
        inputs: dict[str, Any] = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "region_features": region_features,
            "region_locations": region_locations,
            "region_mask": region_mask,
        }
        anchors = Anchors(anchor_spans, anchor_links)
        match objective:
            case "matching":
                losses = {"matching": self._matching(inputs, pictures)}
            case "association":
                losses = self._association(inputs, anchors, region_classes)
            case "masking":
                none = Anchors(torch.zeros_like(anchor_spans), torch.zeros_like(anchor_links))
                losses = self._association(inputs, none, region_classes)
            case "word_region":
                losses = {"word_region": self._word_region(inputs, anchors, region_classes)}
            case "contrast":
                texts, shown = self.contrast.embed(*self.backbone.alone(self.backbone.sides(**inputs)))
                losses = {"contrast": self.contrast.loss(texts, shown, pictures)}
        return PreTrainingOutput(
            loss=torch.stack(list(losses.values())).sum(),
            losses={name: loss.detach() for name, loss in losses.items()},
        )

    def _matching(self, inputs: Mapping[str, Any], pictures: Tensor) -> Tensor:
        source, labels = mismatch(pictures)
        regions = {name: value[source] for name, value in inputs.items() if name.startswith("region_")}
        words, _ = self.backbone.unite(self.backbone.sides(**{**inputs, **regions}))
        return self.matching.loss(words[:, 0], labels)

    def _word_region(self, inputs: Mapping[str, Any], anchors: Anchors, classes: Tensor) -> Tensor:
        """On the hyperspheres; in the variant "released", which has none, behind the unified encoder."""
        sides = self.backbone.sides(**inputs)
        words, regions = sides.words, sides.regions
        if self.config.variant == "released":
            words, regions = self.backbone.unite(sides)
        return word_region_contrast(
            words, regions[:, 1:], anchors, inputs["region_mask"].bool(), classes, self.word_region_temperature()
        )

    def _association(self, inputs: Mapping[str, Any], anchors: Anchors, classes: Tensor) -> dict[str, Tensor]:
        """AMC, with masked words and regions beside the anchors; without anchors, those alone."""
        config = self.config
        ids, mask = inputs["input_ids"], inputs["region_mask"].bool()
        filled_sides = draw_sides(config.swap, len(ids), ids.device)
        special = torch.isin(ids, torch.tensor(config.special_token_ids, device=ids.device))
        words = draw(
            ~special & inputs["attention_mask"].bool() & ~anchors.words,
            config.mask_words,
            anchors.words.any(dim=1) & filled_sides[0],
        )
        regions = draw(mask & ~anchors.regions, config.mask_regions, anchors.regions.any(dim=1) & filled_sides[1])
        hidden = mask_batch(ids, inputs["region_features"], words, regions, config.mask_token_id, config.vocab_size)
        seen = {**inputs, "input_ids": hidden.input_ids, "region_features": hidden.features}
        # Without an anchor there is nothing to hide, and a mask a token, (B, L, L), would be made for nothing.
        hide = config.hide_anchors and bool(anchors.words.any())
        sides = self.backbone.sides(**seen, hidden=anchors if hide else None)
        prompt = swap_fill(sides.words, sides.regions[:, 1:], anchors, filled_sides)
        filled = torch.cat([sides.regions[:, :1], prompt.regions], dim=1)
        word_states, region_states = self.backbone.unite(sides.filled(prompt.words, filled))
        return self.association.loss(
            word_states,
            region_states[:, 1:],
            ids,
            classes,
            words | prompt.filled_words,
            regions | prompt.filled_regions,
            self.backbone.words.weight,
        )
