"""Fine-tuning a small part of a backbone: LoRA, (IA)^3, prompt tuning, or nothing of it.

The backbone alone is adapted; a method's layers are trained whole. A model is saved without the weights that stay as
they were: its configuration names the backbone that they come from, and their digest.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput
from transformers.pytorch_utils import Conv1D
from transformers.utils import SAFE_WEIGHTS_NAME, cached_file

from polysense.embedded import EMBEDDED
from polysense.errors import PolysenseError
from polysense.folder import forget_checksums
from polysense.loading import HUB_OPTIONS, check_model
from polysense.models.saved_files import is_of_model
from polysense.towers.packed_encoder import usable_length

Kind = Literal["lora", "ia3", "prompt", "frozen"]

OPTIONS: dict[Kind, tuple[str, ...]] = {
    "lora": ("r", "alpha", "dropout"),
    "ia3": (),
    "prompt": ("virtual_tokens",),
    "frozen": (),
}
"""What may be set of each kind."""


@dataclass(frozen=True)
class AdapterSettings:
    """Which part of the backbone is trained.

    Attributes:
        kind: "lora", low-rank updates of its matrices (Hu et al. 2022); "ia3", a factor for each of some activations
            (Liu et al. 2022); "prompt", vectors before the text's (Lester et al. 2021); "frozen", nothing. Which
            matrices LoRA and (IA)^3 adapt is what PEFT has for the family, else all linear ones.
        r: rank of LoRA's updates.
        alpha: they are scaled by alpha / r.
        dropout: on what they read.
        virtual_tokens: length of the prompt; it takes that many of the backbone's positions.

    Raises:
        PolysenseError: a value is out of range.
    """

    kind: Kind
    r: int = 8
    alpha: float = 16
    dropout: float = 0.0
    virtual_tokens: int = 20

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise PolysenseError(f"unknown adapter {self.kind!r}: one of {', '.join(get_args(Kind))}")
        for name in ("r", "virtual_tokens"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise PolysenseError(f"adapter {self.kind}: {name} must be a whole number above 0, not {value!r}")
        if not _is_number(self.alpha) or self.alpha <= 0:
            raise PolysenseError(f"adapter {self.kind}: alpha must be a number above 0, not {self.alpha!r}")
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise PolysenseError(f"adapter {self.kind}: dropout must be 0 or more and below 1, not {self.dropout!r}")

    @classmethod
    def of(cls, kind: str, options: Mapping[str, Any] | None = None) -> Self:
        """An adapter with some of its kind's options set.

        Raises:
            PolysenseError: unknown kind, no option of it, or a value out of range.
        """
        settings = cls(cast("Kind", kind))
        known = OPTIONS[settings.kind]
        for name in options or {}:
            if name not in known:
                raise PolysenseError(
                    f"adapter {kind} has no option {name!r}; its options: {', '.join(known) or 'none'}"
                )
        return cls(settings.kind, **(options or {}))

    def to_dict(self) -> dict[str, Any]:
        """The kind and its own options."""
        return {name: value for name, value in asdict(self).items() if name in ("kind", *OPTIONS[self.kind])}


class PromptedBackbone(nn.Module):
    """A frozen backbone that reads trained vectors before each text, and gives the states of the text alone.

    The vectors start as those of tokens drawn from the vocabulary. Texts are padded on the right (see `token_states`).

    Args:
        backbone: takes `inputs_embeds`.
        length: of the prompt.
    """

    def __init__(self, backbone: PreTrainedModel, length: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = backbone.config
        words = cast("Tensor", backbone.get_input_embeddings().weight)
        drawn = torch.randint(len(words), (length,), device=words.device)
        self.prompt = nn.Parameter(words.detach()[drawn].clone())

    def get_input_embeddings(self) -> nn.Module:
        """The backbone's, which transformers asks for with gradient checkpointing."""
        return self.backbone.get_input_embeddings()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> BaseModelOutput:
        """`last_hidden_state` (B, L, d) of the tokens (B, L)."""
        words = self.backbone.get_input_embeddings()(input_ids)
        length = len(self.prompt)
        inputs = {"inputs_embeds": torch.cat([self.prompt.to(words).expand(len(words), -1, -1), words], dim=1)}
        for name, given, filling in (("attention_mask", attention_mask, 1), ("token_type_ids", token_type_ids, 0)):
            if given is not None:
                inputs[name] = torch.cat([given.new_full((len(given), length), filling), given], dim=1)
        states = self.backbone(**inputs).last_hidden_state
        return BaseModelOutput(last_hidden_state=states[:, length:])


def adapt(backbone: PreTrainedModel, settings: AdapterSettings) -> nn.Module:
    """The backbone with its adapter, all else of it frozen.

    Raises:
        PolysenseError: PEFT is not installed, or knows no way for this family.
    """
    backbone.requires_grad_(False)
    if settings.kind == "frozen":
        return backbone
    if settings.kind == "prompt":
        return PromptedBackbone(backbone, settings.virtual_tokens)
    try:
        from peft import IA3Config, LoraConfig, PeftConfig, get_peft_model
        from peft.utils import constants
    except ImportError as error:
        raise PolysenseError(f"adapter {settings.kind} needs peft: pip install 'polysense[peft]'") from error
    family = backbone.config.model_type
    # Else PEFT finds this out for each layer, and warns.
    transposed = any(isinstance(module, Conv1D) for module in backbone.modules())
    config: PeftConfig
    if settings.kind == "lora":
        known = family in constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
        config = LoraConfig(
            r=settings.r,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]  # any number is as good
            lora_dropout=settings.dropout,
            target_modules=None if known else "all-linear",
            fan_in_fan_out=transposed,
        )
    else:
        known = family in constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING
        targets: dict[str, Any] = {} if known else {"target_modules": "all-linear", "feedforward_modules": []}
        config = IA3Config(**targets, fan_in_fan_out=transposed)
    with warnings.catch_warnings():
        # PEFT asks transformers by names that will go.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return get_peft_model(backbone, config)
        except ValueError as error:
            reason = " ".join(str(error).split())[:200]
            raise PolysenseError(
                f"adapter {settings.kind}: a {family} model cannot be adapted so ({reason}); choose another adapter"
            ) from error


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over the parameters' shapes and values, whatever their names and order."""
    digests = []
    for parameter in model.parameters():
        values = parameter.detach().cpu().contiguous()
        digest = hashlib.sha256(str(tuple(values.shape)).encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
        digests.append(digest.digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def base_of(source: str, backbone: nn.Module) -> dict[str, str]:
    """What a configuration says of the backbone under an adapter: where it is, and the digest of its weights."""
    local = source != EMBEDDED and Path(source).exists()
    return {"source": str(Path(source).absolute()) if local else source, "sha256": weights_digest(backbone)}


class AdapterMixin:
    """What a `PreTrainedModel` with a `backbone` and `config.adapter` needs to be trained, saved and loaded in part.

    Its `__init__` calls `adapt_backbone` last, and `load_backbone` opens what the adapter stands on.
    """

    config: Any
    backbone: Any
    _keys_to_ignore_on_save: Any

    def text_length(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """Longest text that the backbone reads, in tokens, special ones included: a prompt takes its part of it.

        Raises:
            PolysenseError: the prompt leaves nothing.
        """
        prompt = len(self.backbone.prompt) if isinstance(self.backbone, PromptedBackbone) else 0
        length = usable_length(self.backbone, tokenizer)
        if length - prompt < _SHORTEST:
            raise PolysenseError(
                f"adapter prompt: {prompt} virtual tokens leave no place for a text in the {length} positions of the "
                "backbone; set virtual_tokens lower"
            )
        return length - prompt

    def trainable_parameters(self) -> tuple[int, int]:
        """How many numbers are trained, and how many there are."""
        sizes = [(p.numel(), p.requires_grad) for p in cast("nn.Module", self).parameters()]
        return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)

    def adapt_backbone(self) -> None:
        """Put the adapter of the configuration around `backbone`; without one nothing changes."""
        if self.config.adapter is not None:
            self.backbone = adapt(self.backbone, _settings(self.config.adapter))
            # Hugging Face's own way to leave weights out of what it saves, checkpoints included.
            self._keys_to_ignore_on_save = self._frozen_names()
            self._find_tied_weights()

    def merge_adapter(self) -> None:
        """Fold LoRA or (IA)^3 into the backbone's weights, which makes the model a plain and full one.

        Its predictions stay the same but for rounding. A frozen backbone is only thawed.

        Raises:
            PolysenseError: there is no adapter, or it is a prompt.
        """
        if self.config.adapter is None:
            raise PolysenseError("there is no adapter to merge: this is a full model already")
        kind = self.config.adapter["kind"]
        if kind == "prompt":
            raise PolysenseError(
                "a prompt cannot be merged into the weights: use the model as it is, or train with lora or ia3"
            )
        if kind != "frozen":
            self.backbone = self.backbone.merge_and_unload()
        self.backbone.requires_grad_(True)
        self.config.adapter = None
        self._keys_to_ignore_on_save = set()
        self._find_tied_weights()

    def save_pretrained(self, folder: Any, *args: Any, **kwargs: Any) -> Any:
        """As Hugging Face's."""
        forget_checksums(Path(folder))
        return cast("Any", super()).save_pretrained(folder, *args, **kwargs)

    @classmethod
    def from_pretrained(cls, source: Any, *args: Any, config: Any = None, **kwargs: Any) -> Any:
        """As Hugging Face's; where there is an adapter, the backbone under it comes from where the configuration says.

        Raises:
            PolysenseError: that backbone cannot be had or has other weights now, or the saved files are not whole.
        """
        model_class = cast("Any", cls)
        hub = {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
        if source is not None:
            check_model(source, is_of_model, **kwargs)
        load, given = cast("Any", super()).from_pretrained, config
        if not isinstance(config, model_class.config_class):
            config = model_class.config_class.from_pretrained(config or source, **hub)
        if config.adapter is None or "state_dict" in kwargs:
            return load(source, *args, config=given, **kwargs)
        # As Hugging Face does with what is named like a field of the configuration; the type of numbers is the model's.
        fields = {name: kwargs.pop(name) for name in list(kwargs) if name not in ("dtype", "torch_dtype")}
        config, others = model_class.config_class.from_dict(config.to_dict(), return_unused_kwargs=True, **fields)
        kwargs.update(others)
        base, _ = model_class.load_backbone(config.adapter["base"]["source"])
        if weights_digest(base) != config.adapter["base"]["sha256"]:
            raise PolysenseError(
                f"{source}: the backbone {config.adapter['base']['source']} has other weights than when its adapter "
                "was trained; put the old backbone back or train again"
            )
        whole = {f"backbone.{name}": w for name, w in adapt(base, _settings(config.adapter)).state_dict().items()}
        whole.update(load_file(str(cached_file(source, SAFE_WEIGHTS_NAME, **hub))))
        model, info = load(None, *args, config=config, state_dict=whole, output_loading_info=True, **kwargs)
        odd = sorted({*info["missing_keys"], *info["unexpected_keys"]})
        if odd:
            raise PolysenseError(
                f"{source}: its {SAFE_WEIGHTS_NAME} is not whole ({odd[0]} is missing or unknown); copy the folder "
                "again"
            )
        model.to(model.dtype)  # PEFT's own layers are in float32, whatever the others are
        model.name_or_path = str(source)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in model._keys_to_ignore_on_save)
        return model

    def _find_tied_weights(self) -> None:
        # Weights that the backbone shares have other names under an adapter.
        model = cast("Any", self)
        model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)

    def _frozen_names(self) -> set[str]:
        model = cast("nn.Module", self)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        return {name for name in model.state_dict() if name.startswith("backbone.")} - trained


_SHORTEST = 4
"""Tokens of a text that is worth reading: two words between the special tokens."""


def _settings(adapter: Mapping[str, Any]) -> AdapterSettings:
    return AdapterSettings.of(adapter["kind"], {k: v for k, v in adapter.items() if k not in ("kind", "base")})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
