"""Text generation by any method: the decoder reads the enhanced prototypes behind the text (MaCSC section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn, Self

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from polysense.errors import PolysenseError
from polysense.methods.base import Sizes, TextStates
from polysense.methods.catalog import MethodConfig
from polysense.methods.memory import AttendedMemory, InformedMemory
from polysense.modality import TEXT, PrototypeBlock
from polysense.models.backbone import token_states
from polysense.models.base import PolysenseOutput, PolysensePreTrainedModel
from polysense.models.configuration import PolysenseConfig
from polysense.models.encoder_decoder import build_encoder_decoder, load_encoder_decoder
from polysense.prototypes.windows import Window


class PolysenseForConditionalGeneration(PolysensePreTrainedModel):
    """An encoder-decoder whose decoder attends to [H^t; H^image; H^audio; H^video].

    "We insert enhanced representations of all conceptual prototypes after the output features of the text encoder in
    T5, while canceling self-balancing calibration" (MaCSC section 3.2): the interaction gives the enhanced prototypes
    (`Interaction.memory`), the decoder's cross-attention is what combines them, and there is no regulariser, whatever
    the method has elsewhere. Of a combination only MASE's weights z are left (`InformedMemory`). Text alone is the
    backbone as it is.

    `labels` (B, T) are the tokens of the text to write, -100 where there is none; the loss is their mean cross-entropy,
    and `logits` are (B, T, V). `leave_out` may name the text, too; a row with nothing left to read reads zeros.

    Raises:
        PolysenseError: the method reads towers alone, or an adapter that a decoder cannot have was asked for.
    """

    load_backbone = staticmethod(load_encoder_decoder)
    build_backbone = staticmethod(build_encoder_decoder)
    combination: AttendedMemory | InformedMemory  # type: ignore[assignment]  # a decoder has no head to choose

    def build_prediction(self, method: MethodConfig, sizes: Sizes) -> None:
        if method.combination == "towers":
            raise PolysenseError(f"method {method.name}: towers alone write no text; choose another method")
        if self.config.adapter is not None and self.config.adapter["kind"] == "prompt":
            raise PolysenseError("adapter prompt: it is made for texts that are read; to write texts take lora or ia3")
        self.regulariser = None
        for name in self.interaction.unread_by_memory:
            self.interaction.get_submodule(name).requires_grad_(False)
        informed = method.combination == "information"
        options = method.options.get("combination", {})
        self.combination = InformedMemory(sizes, **options) if informed else AttendedMemory()

    @classmethod
    def around(cls, backbone: PreTrainedModel, config: PolysenseConfig) -> Self:
        """A model around a backbone that is loaded already; its ways to generate hold where `config` says nothing.

        Raises:
            PolysenseError: the texts to write are longer than the decoder's positions.
        """
        longest, positions = config.generation.get("max_new_tokens", 0), _positions(backbone.config)
        if longest > positions:
            raise PolysenseError(
                f"max-target-length {longest}: the backbone's decoder has {positions:.0f} positions; set it lower"
            )
        own = backbone.generation_config.to_diff_dict()
        left = ("transformers_version", *(_LENGTHS if "max_new_tokens" in config.generation else ()))
        config.generation = {**{k: v for k, v in own.items() if k not in left}, **config.generation}
        backbone.generation_config = GenerationConfig.from_dict(config.generation)
        return super().around(backbone, config)

    def represent(self, *_: Any) -> NoReturn:
        """There is no head that would read representations."""
        raise NotImplementedError

    def forward(  # type: ignore[override]  # its arguments go by name
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        leave_out: Collection[str] = (),
        **kwargs: Any,
    ) -> PolysenseOutput:
        if labels is None and decoder_input_ids is None:
            raise ValueError("no labels were given: give them, or let `generate` write the text")
        parts = self.parts(input_ids, attention_mask, leave_out=leave_out, **kwargs)
        output = self.decode(self.scaled(parts, leave_out), labels=labels, decoder_input_ids=decoder_input_ids)
        return PolysenseOutput(
            loss=output.loss,
            logits=output.logits,
            losses={} if output.loss is None else {"prediction": output.loss.detach()},
        )

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        prototypes: Mapping[str, Tensor] | None = None,
        prototype_masks: Mapping[str, Tensor] | None = None,
        windows: Mapping[str, Sequence[Window]] | None = None,
        graph: Mapping[str, Any] | None = None,
        leave_out: Collection[str] = (),
        **generation: Any,
    ) -> Any:
        """Write a text for each row, by the backbone's own `generate`.

        Args:
            generation: as Hugging Face's `generate` takes them (`num_beams`, `max_new_tokens`, ...); what is not given
                is as `config.generation` says.

        Returns:
            (B, T) token ids, or what `return_dict_in_generate` asks for.
        """
        parts = self.parts(input_ids, attention_mask, prototypes, prototype_masks, windows, graph, leave_out)
        states, mask = _joined(self.scaled(parts, leave_out))
        return self.backbone.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states), attention_mask=mask, **generation
        )

    def parts(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        prototypes: Mapping[str, Tensor] | None = None,
        prototype_masks: Mapping[str, Tensor] | None = None,
        windows: Mapping[str, Sequence[Window]] | None = None,
        graph: Mapping[str, Any] | None = None,
        leave_out: Collection[str] = (),
        inputs_embeds: Tensor | None = None,
        **_: Any,
    ) -> dict[str, PrototypeBlock]:
        """What the decoder may read, by modality: the text's states (B, L, d) and enhanced prototypes (B, K, d)."""
        inputs = {} if inputs_embeds is None else {"inputs_embeds": inputs_embeds}
        states = token_states(self.backbone.get_encoder(), input_ids, attention_mask, **inputs)
        if attention_mask is None:
            attention_mask = torch.ones(states.shape[:2], device=states.device)
        text = TextStates(states, attention_mask.bool(), self.config.pooling)
        parts = {TEXT: PrototypeBlock(states, text.mask)}
        if not self.config.widths:
            return parts
        # As for heads: in mixed precision the backbone alone is in half.
        with torch.autocast(states.device.type, enabled=False):
            text = TextStates(states.to(self.dtype), text.mask, text.pooling)
            blocks = self._blocks(prototypes, prototype_masks, windows, text.states, leave_out)
            entities = self._balanced(graph, text.states, leave_out) if graph is not None else None
            for m, memory in self.interaction.memory(text, blocks, entities).items():
                parts[m] = PrototypeBlock(self.dropout(memory.features).to(states), memory.mask)
        return parts

    def scaled(self, parts: Mapping[str, PrototypeBlock], leave_out: Collection[str] = ()) -> list[PrototypeBlock]:
        """The parts as the decoder reads them: weighted, without those that are left out."""
        present = [m for m in parts if m not in leave_out]
        scaled = {
            m: part if m == TEXT else PrototypeBlock(self.combination.scale(m, present, part.features), part.mask)
            for m, part in parts.items()
            if m in present
        }
        # Something has to stand where everything is left out.
        return list(scaled.values()) or [
            PrototypeBlock(torch.zeros_like(part.features), torch.zeros_like(part.mask)) for part in parts.values()
        ]

    def decode(self, parts: Sequence[PrototypeBlock], **inputs: Any) -> Any:
        """What the decoder says of `labels` or `decoder_input_ids`, reading these parts alone."""
        states, mask = _joined(parts)
        return self.backbone(
            encoder_outputs=BaseModelOutput(last_hidden_state=states), attention_mask=mask, use_cache=False, **inputs
        )


_LENGTHS = ("max_length", "min_length")
"""Of a backbone's own ways to generate: for the texts that it was trained to write before."""


def _positions(config: PreTrainedConfig) -> float:
    """Tokens that a decoder can write; no limit where positions are relative."""
    return getattr(config, "max_position_embeddings", None) or math.inf


def _joined(parts: Sequence[PrototypeBlock]) -> tuple[Tensor, Tensor]:
    """(B, S, d) side by side and the mask (B, S), which leaves no row without anything: zeros instead."""
    states = torch.cat([part.features for part in parts], dim=1)
    mask = torch.cat([part.mask for part in parts], dim=1)
    nothing = ~mask.any(dim=1)
    states = torch.where(nothing[:, None, None], torch.zeros_like(states), states)
    return states, (mask | nothing[:, None]).long()
