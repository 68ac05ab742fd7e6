"""CMAL's encoders: uni-modal ones to hyperspheres, and the unified encoder over both sides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, BertModel, PreTrainedModel
from transformers.models.bert.modeling_bert import BertEncoder
from transformers.utils import ModelOutput

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.folder import forget_checksums
from polysense.loading import check_model, hub_errors, load_weights, open_auto, warn_of_random
from polysense.models.saved_files import is_of_model
from polysense.pooling import pool
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.embeddings import TEXT_TYPE, Places, RegionContent, with_picture
from polysense.vision_language.models.prompt import Anchors


@dataclass
class CmalOutput(ModelOutput):
    """What the encoders give.

    Attributes:
        last_hidden_state: (B, L, d) states of the text's places, after the unified encoder.
        region_states: (B, 1 + R, d) states of the picture and its regions.
    """

    last_hidden_state: Tensor | None = None
    region_states: Tensor | None = None


@dataclass(frozen=True)
class Sides:
    """Both sides before they meet.

    Attributes:
        words: (B, L, d) contents; rows of length sqrt(d) in the variant "paper".
        regions: (B, 1 + R, d) contents of the picture and its regions, likewise.
        word_mask: (B, L) bool. region_mask: (B, 1 + R) bool. locations: (B, 1 + R, 7).
    """

    words: Tensor
    regions: Tensor
    word_mask: Tensor
    region_mask: Tensor
    locations: Tensor

    def filled(self, words: Tensor, regions: Tensor) -> Sides:
        """The same places with other contents."""
        return replace(self, words=words, regions=regions)


class CmalPreTrainedModel(PreTrainedModel):
    """What CMAL's models share."""

    config_class = CmalConfig
    config: CmalConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    # Losses are means: the Trainer has to divide them by the steps that it accumulates over.
    accepts_loss_kwargs = False

    def save_pretrained(self, folder: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """As Hugging Face's."""
        forget_checksums(Path(folder))
        return super().save_pretrained(folder, *args, **kwargs)

    @classmethod
    def from_pretrained(cls, source: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # its options
        """As Hugging Face's.

        Raises:
            PolysenseError: the saved files are not whole.
        """
        if source is not None:
            check_model(source, is_of_model, **kwargs)
        return super().from_pretrained(source, *args, **kwargs)

    def _init_weights(self, module: nn.Module) -> None:
        """BERT's: normal, with a deviation of 0.02."""
        deviation = float(self.config.layer.get("initializer_range", 0.02))
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=deviation)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        if isinstance(module, RegionContent):
            nn.init.normal_(module.picture, std=deviation)


class CmalModel(CmalPreTrainedModel):
    """Text (B, L) and regions (B, R) to states.

    Inputs, as `CmalProcessor` makes them: `input_ids` and `attention_mask` (B, L); `region_features` (B, R, W),
    `region_locations` (B, R, 7) and `region_mask` (B, R) bool. R may be 0.
    """

    def __init__(self, config: CmalConfig) -> None:
        super().__init__(config)
        layer = config.layer_config(1)
        self.words = nn.Embedding(layer.vocab_size, layer.hidden_size)
        self.region_content = RegionContent(config)
        if config.variant == "paper":
            self.uni_places = Places(config)
            self.text_encoder = BertEncoder(config.layer_config(config.text_layers))
            self.visual_encoder = BertEncoder(config.layer_config(config.visual_layers))
        self.places = Places(config)
        self.unified_encoder = BertEncoder(config.layer_config(config.unified_layers))
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.words

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Take other embeddings of words, as Hugging Face's models do."""
        self.words = cast("nn.Embedding", value)

    @classmethod
    def from_bert(cls, source: str, config: CmalConfig) -> Self:
        """A model whose text side and unified encoder start from a BERT.

        The text encoder takes its first layers, the unified encoder the next ones (from the first again, where it has
        too few), and both sides' positions and the text's type are its own. `config.layer` is set to its sizes.

        Args:
            source: "minilm", a hub id or a folder.

        Raises:
            PolysenseError: it is not a BERT.
        """
        bert = _load_bert(source)
        config.layer = layer_sizes(bert)
        model = cls(config)
        embeddings, layers = bert.embeddings, bert.encoder.layer
        model.words.load_state_dict(embeddings.word_embeddings.state_dict())
        places = [model.places]
        first = 0
        if config.variant == "paper":
            places.append(model.uni_places)
            first = config.text_layers
            _copy_layers(model.text_encoder, layers, 0)
        for place in places:
            place.positions.load_state_dict(embeddings.position_embeddings.state_dict())
            place.norm.load_state_dict(embeddings.LayerNorm.state_dict())
            with torch.no_grad():
                place.types.weight[TEXT_TYPE] = embeddings.token_type_embeddings.weight[0]
        _copy_layers(model.unified_encoder, layers, first)
        return model

    def sides(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        region_features: Tensor,
        region_locations: Tensor,
        region_mask: Tensor,
        hidden: Anchors | None = None,
    ) -> Sides:
        """Both sides' contents before they meet (CMAL, part 2).

        Args:
            hidden: anchors that the rest of their side must not see.
        """
        if region_features.shape[-1] != self.config.region_width:
            raise PolysenseError(
                f"regions have features {region_features.shape[-1]} wide, but this model reads "
                f"{self.config.region_width}: use the features that it was trained with"
            )
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        locations, present = with_picture(region_locations.to(self.dtype), region_mask.bool())
        words, regions = self.words(input_ids), self.region_content(region_features.to(self.dtype))
        if self.config.variant == "paper":
            seen = mask.bool()[:, None, :] if hidden is None else hidden.words_apart(mask.bool())
            words = self._encode(self.text_encoder, self.uni_places.words(words), seen)
            seen = present[:, None, :] if hidden is None else hidden.regions_apart(present)
            regions = self._encode(self.visual_encoder, self.uni_places.regions(regions, locations), seen)
            # On the hypersphere. Its radius is the length of a state behind a LayerNorm, so that the unified encoder,
            # which may start from BERT's weights, meets states of the size it knows.
            radius = self.config.hidden_size**0.5
            words, regions = radius * F.normalize(words, dim=-1), radius * F.normalize(regions, dim=-1)
        return Sides(words, regions, mask.bool(), present, locations)

    def unite(self, sides: Sides) -> tuple[Tensor, Tensor]:
        """Both sides through the unified encoder (CMAL, part 4): states (B, L, d) and (B, 1 + R, d)."""
        words = self.places.words(sides.words)
        regions = self.places.regions(sides.regions, sides.locations)
        mask = torch.cat([sides.word_mask, sides.region_mask], dim=1)
        states = self._encode(self.unified_encoder, torch.cat([words, regions], dim=1), mask[:, None, :])
        length = words.shape[1]
        return states[:, :length], states[:, length:]

    def alone(self, sides: Sides) -> tuple[Tensor, Tensor]:
        """One vector (B, d) for each text and each picture, read without the other: the mean of a side's states.

        In the variant "paper" these are the contents already; in "released", which has no uni-modal encoders, each side
        passes the unified encoder by itself.
        """
        words, regions = sides.words, sides.regions
        if self.config.variant == "released":
            seen = sides.word_mask[:, None, :], sides.region_mask[:, None, :]
            words = self._encode(self.unified_encoder, self.places.words(words), seen[0])
            regions = self._encode(self.unified_encoder, self.places.regions(regions, sides.locations), seen[1])
        return pool(words, sides.word_mask, "mean"), pool(regions, sides.region_mask, "mean")

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> CmalOutput:
        if region_features is None or region_locations is None or region_mask is None:
            raise ValueError("no regions were given: let CmalProcessor make the inputs")
        sides = self.sides(input_ids, attention_mask, region_features, region_locations, region_mask)
        words, regions = self.unite(sides)
        return CmalOutput(last_hidden_state=words, region_states=regions)

    def _encode(self, encoder: BertEncoder, embedded: Tensor, seen: Tensor) -> Tensor:
        """States behind an encoder; `seen` (B, 1 or Q, K) bool says what each place attends to."""
        mask = seen[:, None]
        if encoder.config._attn_implementation == "eager":
            lowest = torch.finfo(embedded.dtype).min
            mask = torch.zeros(mask.shape, dtype=embedded.dtype, device=mask.device).masked_fill(~mask, lowest)
        states: Tensor = encoder(embedded, attention_mask=mask).last_hidden_state
        return states


def _load_bert(source: str) -> BertModel:
    with hub_errors("backbone", source):
        model, missing = load_weights(AutoModel, "backbone", source, dtype=torch.float32)
        warn_of_random("backbone", source, missing, model)
    if not isinstance(model, BertModel):
        raise PolysenseError(f"backbone {source}: a {model.config.model_type} model; CMAL starts from a BERT")
    return model


def layer_sizes(bert: BertModel) -> dict[str, Any]:
    """`CmalConfig.layer` of a BERT."""
    names = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings",
             "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob", "layer_norm_eps",
             "initializer_range")  # fmt: skip
    return {name: getattr(bert.config, name) for name in names}


def special_tokens(tokenizer: Any) -> dict[str, Any]:
    """What a `CmalConfig` has to know of a tokenizer.

    Raises:
        PolysenseError: it has no mask token.
    """
    if tokenizer.mask_token_id is None:
        raise PolysenseError(f"tokenizer {tokenizer.name_or_path}: it has no mask token, which pre-training needs")
    return {"mask_token_id": tokenizer.mask_token_id, "special_token_ids": sorted(set(tokenizer.all_special_ids))}


def load_tokenizer(source: str) -> Any:
    """The tokenizer of a BERT.

    Raises:
        PolysenseError: there is none, or it gives no character offsets, which anchors need.
    """
    with hub_errors("backbone", source):
        tokenizer = open_auto(AutoTokenizer, resolve_model(source))
    if not tokenizer.is_fast:
        raise PolysenseError(f"backbone {source}: its tokenizer gives no character offsets, which anchors need")
    return tokenizer


def _copy_layers(encoder: BertEncoder, layers: nn.ModuleList, first: int) -> None:
    for i, layer in enumerate(encoder.layer):
        layer.load_state_dict(layers[(first + i) % len(layers)].state_dict())
