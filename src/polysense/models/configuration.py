"""The configuration of a Polysense model: backbone, method, modalities and target, all plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from transformers import AutoConfig, PretrainedConfig

from polysense.methods.base import Sizes
from polysense.methods.catalog import METHODS, MethodConfig
from polysense.methods.row_targets import ChoiceTarget, SpanTarget
from polysense.methods.targets import ClassTarget, Target, ValueTarget
from polysense.modality import modality_order


class PolysenseConfig(PretrainedConfig):
    """What a Polysense model is made of.

    Args:
        backbone: the configuration of the text model, as a dictionary with its `model_type`.
        pooling: how the backbone makes one vector of a text: "first", "mean" or "last".
        method: a `MethodConfig` as a dictionary.
        widths: d_m of each auxiliary modality's prototypes; put in the papers' order.
        target: {"kind": "classification" | "regression" | "choice" | "span", ...} with the arguments of `ClassTarget`,
            `ValueTarget`, `ChoiceTarget` or `SpanTarget`; {"kind": "generation"} where a decoder writes a text.
        dropout: on every representation r[m].
        no_answer_margin: of spans, how much more likely than the best answer "no answer" has to be.
        generation: of texts, how they are written: the fields of a Hugging Face `GenerationConfig`.
        adapter: an `AdapterSettings` as a dictionary, where only a part of the backbone is trained; "base" in it says
            where the backbone's own weights come from, and their digest. None: the backbone is trained whole.
        prompt: of a choice between statements of the classes in `id2label`: the fields of a `tasks.Prompt`. None where
            rows have choices of their own.
        has_pair: whether it was trained on pairs of texts; None: it does not say, as models of before.
    """

    model_type = "polysense"
    # What the Trainer leaves out of the predictions it collects.
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["losses", "modality_logits", "representations"]

    def __init__(
        self,
        backbone: Mapping[str, Any] | None = None,
        pooling: str = "first",
        method: Mapping[str, Any] | None = None,
        widths: Mapping[str, int] | None = None,
        target: Mapping[str, Any] | None = None,
        dropout: float = 0.1,
        no_answer_margin: float = 0.0,
        generation: Mapping[str, Any] | None = None,
        adapter: Mapping[str, Any] | None = None,
        prompt: Mapping[str, Any] | None = None,
        has_pair: bool | None = None,
        **kwargs: Any,
    ) -> None:
        self.backbone = dict(backbone or {"model_type": "bert"})
        self.pooling = pooling
        self.method = dict(method or METHODS["text"].to_dict())
        # Saving sorts the keys of a configuration, and the weights of modalities are stored by their place.
        self.widths = {m: (widths or {})[m] for m in modality_order(widths or {})}
        self.target = dict(target or {"kind": "classification", "frequency": [0.5, 0.5]})
        self.dropout = dropout
        self.no_answer_margin = no_answer_margin
        self.generation = dict(generation or {})
        self.adapter = dict(adapter) if adapter else None
        self.prompt = dict(prompt) if prompt else None
        self.has_pair = has_pair
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """d, the width of the backbone."""
        config = self.backbone_config()
        return int(getattr(config, "hidden_size", None) or config.d_model)

    def backbone_config(self) -> PretrainedConfig:
        settings = dict(self.backbone)
        settings.pop("dtype", None)  # the whole model is of one, which its loading decides
        return AutoConfig.for_model(settings.pop("model_type"), **settings)

    def method_config(self) -> MethodConfig:
        return MethodConfig(**self.method)

    def sizes(self) -> Sizes:
        return Sizes(self.hidden_size, self.widths)

    def build_target(self) -> Target:
        settings = dict(self.target)
        return TARGETS[settings.pop("kind")](**settings)


TARGETS: dict[str, Callable[..., Target]] = {
    "classification": ClassTarget,
    "regression": ValueTarget,
    "choice": ChoiceTarget,
    "span": SpanTarget,
}
"""What is predicted, by its kind."""
