"""What every Polysense model is made of: a text backbone and a method's three choices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from polysense.entity_graph import EntityGraph
from polysense.errors import PolysenseError
from polysense.methods.base import Sizes, TextStates
from polysense.methods.catalog import MethodConfig
from polysense.modality import Blocks, PrototypeBlock
from polysense.models.adapters import AdapterMixin, base_of
from polysense.models.backbone import build_backbone, load_backbone, token_states
from polysense.models.configuration import PolysenseConfig
from polysense.prototypes.trained import LiveTower
from polysense.prototypes.windows import Window


@dataclass
class PolysenseOutput(ModelOutput):
    """What a Polysense model gives.

    Attributes:
        loss: L (MaCSC Eq. 14, MASE Eq. 9), where labels were given.
        logits: the prediction: (B, C) log-probabilities of classes or choices, (B,) values in the unit of the labels,
            or (B, 1 + L, 2) log-probabilities of the first and the last place of a span.
        losses: the terms of the loss by name, before they are added.
        modality_logits: of each modality alone, where the method has them: (B, C), (B, 1) or (B, 1 + L, 2).
        representations: r[m] by modality, (B, d), or (B, C, d) of choices.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    losses: dict[str, Tensor] | None = None
    modality_logits: dict[str, Tensor] | None = None
    representations: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class Sources:
    """What a method's choices read: the text's states, the modalities' prototypes, and scene graphs where it asks."""

    text: TextStates
    blocks: Blocks
    entities: EntityGraph | None


class PolysensePreTrainedModel(AdapterMixin, PreTrainedModel):  # type: ignore[misc]  # takes more in from_pretrained
    """A text backbone and a method's three choices.

    Inputs beside the backbone's own, as `PolysenseProcessor` makes them: `prototypes`, {modality: (B, K, d_m)}, and
    `prototype_masks`, {modality: (B, K)}; `graph`, the fields of an `EntityGraph`, for methods that look at scene
    graphs. `leave_out` names modalities whose prototypes, words and vote a prediction does without; the text itself
    keeps what it says to the others. With `labels` the loss is then that of the prediction alone.

    While it is fine-tuned a model may hold towers that are trained with it, `towers` by modality. Of these there are
    `windows`, {modality: what the tower reads}, in the place of prototypes. They are in the Trainer's checkpoints; in
    the end the processor saves them (`leave_towers`), and they are read like any frozen tower.
    """

    config_class = PolysenseConfig
    config: PolysenseConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    # The loss is a mean: the Trainer has to divide it by the steps that it accumulates over.
    accepts_loss_kwargs = False

    def __init__(self, config: PolysenseConfig) -> None:
        super().__init__(config)
        method, sizes = config.method_config(), config.sizes()
        if method.multimodal and not config.widths:
            raise PolysenseError(f"method {method.name!r} needs prototypes: give at least one modality a tower")
        self.backbone = self.build_backbone(config)
        self.towers = nn.ModuleDict()
        self.interaction = method.build_interaction(sizes)
        self.dropout = nn.Dropout(config.dropout)
        self.build_prediction(method, sizes)
        self.post_init()
        self.adapt_backbone()

    @staticmethod
    def load_backbone(source: str) -> tuple[PreTrainedModel, str]:
        """A pretrained text model from a name, a hub id or a folder, and how it pools."""
        return load_backbone(source)

    @staticmethod
    def build_backbone(config: PolysenseConfig) -> PreTrainedModel:
        """The same with fresh weights."""
        return build_backbone(config.backbone_config())

    def build_prediction(self, method: MethodConfig, sizes: Sizes) -> None:
        """Add the parts that come after the interaction: choices 2 and 3."""
        self.target = self.config.build_target()
        self.combination = method.build_combination(sizes, self.target)
        self.regulariser = method.build_regulariser(sizes, self.target)

    @classmethod
    def from_backbone(cls, source: str, config: PolysenseConfig) -> Self:
        """A model to fine-tune: the method fresh, the backbone pretrained.

        Args:
            source: a name, a hub id or a folder.
            config: its `backbone` and `pooling` are set from what is found there, and what its `adapter` stands on.
        """
        backbone, config.pooling = cls.load_backbone(source)
        if config.adapter is not None:
            config.adapter = {**config.adapter, "base": base_of(source, backbone)}
        return cls.around(backbone, config)

    @classmethod
    def around(cls, backbone: PreTrainedModel, config: PolysenseConfig) -> Self:
        """The same for a backbone that is loaded already, which pools as `config` says."""
        config.backbone = backbone.config.to_dict()
        model = cls(config)
        model.backbone = backbone
        model.adapt_backbone()
        return model

    def _init_weights(self, module: nn.Module) -> None:
        """Start the method's layers with Glorot's variance, which keeps the size of what passes through them.

        Hugging Face's default, a deviation of 0.02, is made for the layers of a transformer with residual paths.
        """
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def train_towers(self, towers: Mapping[str, LiveTower]) -> None:
        """Take towers in, to be trained with the model."""
        self.towers.update(towers)

    def leave_towers(self) -> None:
        """From now on leave the trained towers out of what is saved: the processor writes them."""
        names = {f"towers.{name}" for name in self.towers.state_dict()}
        self._keys_to_ignore_on_save = {*(self._keys_to_ignore_on_save or ()), *names}

    @abstractmethod
    def represent(self, sources: Sources, candidates: Tensor | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the prediction is made of, by modality, and what a regulariser compares (see `compared`)."""

    def compared(self, pooled: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """(B, d) by modality: what a regulariser compares."""
        return dict(pooled)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        prototypes: Mapping[str, Tensor] | None = None,
        prototype_masks: Mapping[str, Tensor] | None = None,
        windows: Mapping[str, Sequence[Window]] | None = None,
        graph: Mapping[str, Any] | None = None,
        candidates: Tensor | None = None,
        labels: Tensor | None = None,
        leave_out: Collection[str] = (),
        **kwargs: Any,
    ) -> PolysenseOutput:
        inputs = {k: v for k, v in kwargs.items() if k in _BACKBONE_INPUTS}
        states = token_states(self.backbone, input_ids, attention_mask, **inputs)
        mask = (
            attention_mask.bool() if attention_mask is not None else torch.ones_like(states[..., 0], dtype=torch.bool)
        )
        # In mixed precision the backbone alone is in half: the method's layers cost little, and its values and
        # contrasts lose their last digits there.
        with torch.autocast(states.device.type, enabled=False):
            states = states.to(self.dtype)
            blocks = self._blocks(prototypes, prototype_masks, windows, states, leave_out)
            entities = self._balanced(graph, states, leave_out) if graph is not None else None
            sources = Sources(TextStates(states, mask, self.config.pooling), blocks, entities)
            heads, pooled = self.represent(sources, candidates)
            heads, pooled = (
                {m: r for m, r in parts.items() if m not in leave_out} for parts in self._dropped(heads, pooled)
            )
            prediction, modality_logits = self.combination(heads, candidates)
            losses: dict[str, Tensor] = {}
            if labels is not None:
                losses["prediction"] = self.target.loss(prediction, labels)
                if self.regulariser is not None and not leave_out:  # which compares all modalities
                    compared = self.compared(pooled, labels)
                    losses[self.regulariser.name] = self.regulariser(compared, modality_logits, labels)
        return PolysenseOutput(
            loss=torch.stack(list(losses.values())).sum() if losses else None,
            logits=prediction,
            losses={name: loss.detach() for name, loss in losses.items()},
            modality_logits=modality_logits,
            representations=pooled,
        )

    def _dropped(
        self, heads: Mapping[str, Tensor], pooled: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        dropped = {m: self.dropout(r) for m, r in heads.items()}
        return dropped, dropped if pooled is heads else {m: self.dropout(r) for m, r in pooled.items()}

    def _blocks(
        self,
        prototypes: Mapping[str, Tensor] | None,
        prototype_masks: Mapping[str, Tensor] | None,
        windows: Mapping[str, Sequence[Window]] | None,
        like: Tensor,
        leave_out: Collection[str],
    ) -> dict[str, PrototypeBlock]:
        """The prototypes of each modality, given or read by a tower that is trained; none of one that is left out."""
        read: dict[str, PrototypeBlock] = {m: self.towers[m](of_tower) for m, of_tower in (windows or {}).items()}
        features = {**(prototypes or {}), **{m: block.features for m, block in read.items()}}
        masks = {**(prototype_masks or {}), **{m: block.mask for m, block in read.items()}}
        missing = [m for m in self.config.widths if m not in features or m not in masks]
        if missing:
            raise ValueError(
                f"no prototypes of {', '.join(missing)} were given: let PolysenseProcessor make the inputs"
            )
        # `BatchEncoding.to` moves tensors, not dictionaries of them.
        keep = {m: m not in leave_out for m in self.config.widths}
        return {m: PrototypeBlock(keep[m] * features[m].to(like), keep[m] & masks[m].to(like.device)) for m in keep}

    def _balanced(self, graph: Mapping[str, Any], like: Tensor, leave_out: Collection[str]) -> EntityGraph:
        """The scene graph with each modality's features scaled by its weight (MASE section 3.5)."""
        shares = self.combination.weights() or dict.fromkeys(
            self.config.sizes().modalities, 1 / (1 + len(self.config.widths))
        )
        features = {
            m: graph["features"][m].to(like) * (0.0 if m in leave_out else shares[m]) for m in self.config.widths
        }
        indices = {name: graph[name].to(like.device) for name in ("sentence", "words", "edges", "types")}
        return EntityGraph(features=features, **indices)


_BACKBONE_INPUTS = (
    "token_type_ids",
    "position_ids",
    "inputs_embeds",
    "region_features",
    "region_locations",
    "region_mask",
)
