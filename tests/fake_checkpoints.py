"""Checkpoints of the papers' contrastive models in their original formats, at tiny random size, and what they compute.

The forward passes are written out from the published descriptions (Radford et al., 2021, section 2.4, and the
parameters' names), without a line of transformers.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = dict[str, Tensor]


@dataclass(frozen=True)
class Sizes:
    """Of a text tower; the defaults are those of the real ones where a test needs them to be."""

    width: int = 64
    layers: int = 2
    feed_forward: int = 96
    context: int = 77
    vocabulary: int = 49_408
    projection: int = 40


TINY = Sizes(vocabulary=50, context=12)


def original_text(sizes: Sizes, seed: int = 0) -> State:
    """The text tower as OpenAI and AudioCLIP name it, with weights large enough for attention that is far from even."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * (1.5 / math.sqrt(sizes.width) if len(shape) == 2 else 0.2)

    w, f = sizes.width, sizes.feed_forward
    state = {"positional_embedding": random(sizes.context, w), "text_projection": random(w, sizes.projection)}
    for i in range(sizes.layers):
        block = f"transformer.resblocks.{i}."
        state[block + "attn.in_proj_weight"], state[block + "attn.in_proj_bias"] = random(3 * w, w), random(3 * w)
        for name, out, size in (("attn.out_proj", w, w), ("mlp.c_fc", f, w), ("mlp.c_proj", w, f)):
            state[f"{block}{name}.weight"], state[f"{block}{name}.bias"] = random(out, size), random(out)
        for name in ("ln_1", "ln_2"):
            state[f"{block}{name}.weight"], state[f"{block}{name}.bias"] = 1 + random(w), random(w)
    state["token_embedding.weight"] = random(sizes.vocabulary, w) * 4
    state["ln_final.weight"], state["ln_final.bias"] = 1 + random(w), random(w)
    return state


def clip_vip_text(sizes: Sizes, seed: int = 0) -> State:
    """A text tower as CLIP-ViP names it, with the buffer of positions that its version of transformers saved."""
    state: State = {}
    model = "clipmodel.text_model."
    for key, value in original_text(sizes, seed).items():
        if key.startswith("transformer"):
            _, _, layer, *rest = key.split(".")
            block, part = f"{model}encoder.layers.{layer}.", ".".join(rest)
            if "in_proj" in part:
                size = len(value) // 3
                for i, letter in enumerate("qkv"):
                    kind = part.rpartition("_")[2]
                    state[f"{block}self_attn.{letter}_proj.{kind}"] = value[i * size : (i + 1) * size].clone()
                continue
            name, _, kind = part.rpartition(".")
            renamed = {
                "attn.out_proj": "self_attn.out_proj",
                "mlp.c_fc": "mlp.fc1",
                "mlp.c_proj": "mlp.fc2",
                "ln_1": "layer_norm1",
                "ln_2": "layer_norm2",
            }
            state[f"{block}{renamed[name]}.{kind}"] = value
    other = original_text(sizes, seed)
    state[model + "embeddings.position_ids"] = torch.arange(sizes.context)[None]
    state[model + "embeddings.token_embedding.weight"] = other["token_embedding.weight"]
    state[model + "embeddings.position_embedding.weight"] = other["positional_embedding"]
    state[model + "final_layer_norm.weight"] = other["ln_final.weight"]
    state[model + "final_layer_norm.bias"] = other["ln_final.bias"]
    state["clipmodel.text_projection.weight"] = other["text_projection"].T.contiguous()
    return state


def save_openai(file: Path, text: State, archive: bool = True) -> Path:
    """As OpenAI's: a TorchScript archive in half precision with the image tower beside, or its plain state dict."""
    state = {"visual.class_embedding": torch.randn(8), "visual.conv1.weight": torch.randn(8, 3, 4, 4), **text}
    state["visual.transformer.resblocks.0.attn.in_proj_weight"] = torch.randn(24, 8)
    state["logit_scale"] = torch.tensor(4.6)
    state = {key: value.half() for key, value in state.items()}
    if not archive:
        torch.save(state, file)
        return file
    for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49_408)):
        state[name] = torch.tensor(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out; OpenAI's files are not
        torch.jit.save(torch.jit.script(Tree(state)), file)
    return file


def save_audioclip(file: Path, text: State) -> Path:
    state = {"audio.conv1.weight": torch.randn(4, 1, 3, 3), "visual.conv1.weight": torch.randn(8, 3, 4, 4), **text}
    scales = {name: torch.tensor(4.6) for name in ("logit_scale", "logit_scale_ai", "logit_scale_at")}
    torch.save(state | scales, file)
    return file


def save_clip_vip(file: Path, text: State) -> Path:
    beside = {
        "clipmodel.logit_scale": torch.tensor(4.6),
        "clipmodel.vision_model.embeddings.added_cls": torch.randn(3, 8),
        "clipmodel.vision_model.embeddings.position_ids": torch.arange(5)[None],
        "clipmodel.visual_projection.weight": torch.randn(6, 8),
    }
    torch.save(text | beside, file)
    return file


class Tree(nn.Module):
    """Modules that hold the tensors of a state dict under its names."""

    def __init__(self, state: State) -> None:
        super().__init__()
        children: dict[str, State] = {}
        for key, value in state.items():
            name, dot, rest = key.partition(".")
            if dot:
                children.setdefault(name, {})[rest] = value
            elif value.is_floating_point():
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)
        for name, content in children.items():
            self.add_module(name, Tree(content))

    def forward(self, x: Tensor) -> Tensor:
        return x


# What the networks compute: (B, L) ids to token states (B, L, D), projected, and the sentence feature (B, D).


def original_forward(state: State, ids: Tensor) -> tuple[Tensor, Tensor]:
    """OpenAI CLIP and AudioCLIP: pooled where the id is highest, which is the first end of text."""
    length = ids.shape[1]
    x = state["token_embedding.weight"][ids] + state["positional_embedding"][:length]
    future = torch.full((length, length), float("-inf")).triu(1)
    layers = len({key.split(".")[2] for key in state if key.startswith("transformer.resblocks.")})
    for i in range(layers):
        part = {key.split(".", 3)[3]: value for key, value in state.items() if f".resblocks.{i}." in key}
        h = _norm(x, part["ln_1.weight"], part["ln_1.bias"])
        q, k, v = (h @ part["attn.in_proj_weight"].T + part["attn.in_proj_bias"]).split(x.shape[-1], dim=-1)
        mixed = _attention(q, k, v, future)
        x = x + mixed @ part["attn.out_proj.weight"].T + part["attn.out_proj.bias"]
        h = _norm(x, part["ln_2.weight"], part["ln_2.bias"]) @ part["mlp.c_fc.weight"].T + part["mlp.c_fc.bias"]
        x = x + _quick_gelu(h) @ part["mlp.c_proj.weight"].T + part["mlp.c_proj.bias"]
    x = _norm(x, state["ln_final.weight"], state["ln_final.bias"]) @ state["text_projection"]
    return x, x[torch.arange(len(ids)), ids.argmax(dim=1)]


def clip_vip_forward(state: State, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """CLIP-ViP: queries, keys and values apart, and padding hidden where a mask is given."""
    length = ids.shape[1]
    model = {key.removeprefix("clipmodel.text_model."): value for key, value in state.items()}
    x = model["embeddings.token_embedding.weight"][ids]
    x = x + model["embeddings.position_embedding.weight"][model["embeddings.position_ids"][0, :length]]
    hidden = torch.full((length, length), float("-inf")).triu(1)[None, None]
    if mask is not None:
        hidden = hidden + torch.zeros(mask.shape).masked_fill(mask == 0, float("-inf"))[:, None, None]
    layers = len({key.split(".")[2] for key in model if key.startswith("encoder.layers.")})
    for i in range(layers):
        part = {key.split(".", 3)[3]: value for key, value in model.items() if key.startswith(f"encoder.layers.{i}.")}

        def linear(h: Tensor, name: str, part: State = part) -> Tensor:
            return h @ part[f"{name}.weight"].T + part[f"{name}.bias"]

        h = _norm(x, part["layer_norm1.weight"], part["layer_norm1.bias"])
        mixed = _attention(*(linear(h, f"self_attn.{letter}_proj") for letter in "qkv"), hidden)
        x = x + linear(mixed, "self_attn.out_proj")
        h = _norm(x, part["layer_norm2.weight"], part["layer_norm2.bias"])
        x = x + linear(_quick_gelu(linear(h, "mlp.fc1")), "mlp.fc2")
    x = _norm(x, model["final_layer_norm.weight"], model["final_layer_norm.bias"])
    x = x @ state["clipmodel.text_projection.weight"].T
    return x, x[torch.arange(len(ids)), ids.argmax(dim=1)]


def _norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt() * weight + bias


def _quick_gelu(x: Tensor) -> Tensor:
    return x * (1.702 * x).sigmoid()


def _attention(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor) -> Tensor:
    """(B, L, W) each; heads of 64; `hidden` is added to the scores (B, heads, L, L)."""
    q, k, v = (x.unflatten(-1, (-1, 64)).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2) / 8 + hidden
    return (F.softmax(scores, dim=-1) @ v).transpose(1, 2).flatten(2)
