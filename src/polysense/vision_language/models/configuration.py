"""The configuration of CMAL's models, all plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from transformers import BertConfig, PretrainedConfig

from polysense.errors import PolysenseError

Variant = Literal["paper", "released"]
"""Whether uni-modal encoders stand before the swap, or the embeddings are swapped as in the code released with it."""
Swap = Literal["both", "text", "region", "either"]
"""Which side of an anchor is filled with the other's content; "either": one side of each example, drawn."""

VARIANTS: tuple[Variant, ...] = get_args(Variant)
SWAPS: tuple[Swap, ...] = get_args(Swap)


class CmalConfig(PretrainedConfig):
    """What a CMAL model is made of.

    Args:
        layer: sizes of the Transformer layers, as a `BertConfig` has them: "vocab_size", "hidden_size" (d),
            "num_attention_heads", "intermediate_size", "max_position_embeddings", "hidden_dropout_prob", ...
        region_width: W, of a region's features.
        text_layers, visual_layers: of the uni-modal encoders; the variant "released" has none.
        unified_layers: of the unified encoder.
        variant: "paper": content passes the uni-modal encoders and lies on their hyperspheres before it is swapped;
            "released": word embeddings and projected features are swapped.
        swap: which side of an anchor is filled (see `Swap`).
        hide_anchors: in pre-training, the rest of a side does not attend to its anchors while it is encoded alone;
            else what stood at an anchor could be read off its neighbours, and no association would be needed.
        mask_words: share of the other words that are masked in pre-training, as BERT does (80/10/10).
        mask_regions: share of the other regions whose features are zeroed in pre-training.
        contrast_temperature: at the start, of the contrasts; learnt, within 0.001 and 0.5.
        projection: width of the space of the global contrast.
        target_words: ids of the words that the associative classifier tells apart; none: the whole vocabulary.
        object_classes: names of the object classes; class 0 is the first (regions without a name have no class).
        mask_token_id: of the tokenizer.
        special_token_ids: of the tokenizer; these are never masked.

    Raises:
        PolysenseError: a value is out of range.
    """

    model_type = "cmal"

    def __init__(
        self,
        layer: Mapping[str, Any] | None = None,
        region_width: int = 2048,
        text_layers: int = 2,
        visual_layers: int = 2,
        unified_layers: int = 4,
        variant: Variant = "paper",
        swap: Swap = "both",
        hide_anchors: bool = True,
        mask_words: float = 0.15,
        mask_regions: float = 0.25,
        contrast_temperature: float = 0.07,
        projection: int = 256,
        target_words: Sequence[int] = (),
        object_classes: Sequence[str] = (),
        mask_token_id: int = 103,
        special_token_ids: Sequence[int] = (0, 101, 102),
        **kwargs: Any,
    ) -> None:
        for name, value, choices in (("variant", variant, VARIANTS), ("swap", swap, SWAPS)):
            if value not in choices:
                raise PolysenseError(f"{name} {value!r}: choose one of {', '.join(choices)}")
        for name, share in (("mask_words", mask_words), ("mask_regions", mask_regions)):
            if not 0 <= share <= 1:
                raise PolysenseError(f"{name} must be from 0 to 1, not {share}")
        counts = {"region_width": region_width, "unified_layers": unified_layers, "projection": projection}
        if variant == "paper":
            counts |= {"text_layers": text_layers, "visual_layers": visual_layers}
        for name, count in counts.items():
            if count < 1:
                raise PolysenseError(f"{name} must be at least 1, not {count}")
        if not 0.001 <= contrast_temperature <= 0.5:
            raise PolysenseError(f"contrast_temperature must be from 0.001 to 0.5, not {contrast_temperature}")
        self.layer = dict(layer or {})
        self.region_width = region_width
        self.text_layers = text_layers if variant == "paper" else 0
        self.visual_layers = visual_layers if variant == "paper" else 0
        self.unified_layers = unified_layers
        self.variant = variant
        self.swap = swap
        self.hide_anchors = hide_anchors
        self.mask_words = mask_words
        self.mask_regions = mask_regions
        self.contrast_temperature = contrast_temperature
        self.projection = projection
        self.target_words = list(target_words)
        self.object_classes = list(object_classes)
        self.mask_token_id = mask_token_id
        self.special_token_ids = list(special_token_ids)
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """d, the width of all states."""
        return int(self.layer_config(1).hidden_size)

    @property
    def vocab_size(self) -> int:
        return int(self.layer_config(1).vocab_size)

    @property
    def max_position_embeddings(self) -> int:
        return int(self.layer_config(1).max_position_embeddings)

    def layer_config(self, layers: int) -> BertConfig:
        """Of an encoder of so many layers."""
        settings = {name: value for name, value in self.layer.items() if name != "num_hidden_layers"}
        config = BertConfig(**settings, num_hidden_layers=layers)
        config._attn_implementation = self._attn_implementation or "sdpa"
        return config
