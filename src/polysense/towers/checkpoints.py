"""The text towers in the checkpoints that the papers use, read from files in their own formats.

| family | modality | file | source |
| --- | --- | --- | --- |
| `openai-clip` | image | TorchScript archive (fp16) or plain state dict | github.com/openai/CLIP |
| `audioclip` | audio | plain state dict | github.com/AndreyGuzhov/AudioCLIP, Full-Training |
| `clip-vip` | video | plain state dict, names behind `clipmodel.` | github.com/microsoft/XPretrain, base-patch32 |

All three hold one network, CLIP's text transformer with QuickGELU, and become a `CLIPTextModelWithProjection`. Its
sizes are told from the weights. A model of open_clip that was trained with plain GELU has the same names and shapes as
OpenAI's: nothing in the file tells them apart, so it must not be read here.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from polysense.errors import PolysenseError
from polysense.towers.torchscript import CodeError, is_torchscript, read_torchscript
from polysense.weight_files import check_sum, check_weights

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
"""Ends of the names of files that may be checkpoints, for the search in a folder."""

HEAD_WIDTH = 64
"""Of all CLIP models: the number of heads is the width divided by it."""


@dataclass(frozen=True)
class _Part:
    """One tensor of a file, and what it is in `CLIPTextModelWithProjection`.

    Attributes:
        key: its name in the file.
        names: its name in the model; several where it holds as many tensors, one below the other.
        transposed: whether the model has it the other way round.
    """

    key: str
    names: tuple[str, ...]
    transposed: bool = False


_TOKENS = "text_model.embeddings.token_embedding.weight"
_POSITIONS = "text_model.embeddings.position_embedding.weight"
_PROJECTION = "text_projection.weight"
_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def _original_parts(layers: int) -> Iterator[_Part]:
    """The names of OpenAI's code, which AudioCLIP kept."""
    yield _Part("token_embedding.weight", (_TOKENS,))
    yield _Part("positional_embedding", (_POSITIONS,))
    for i in range(layers):
        theirs, ours = f"transformer.resblocks.{i}.", f"text_model.encoder.layers.{i}."
        for kind in ("weight", "bias"):
            yield _Part(f"{theirs}attn.in_proj_{kind}", tuple(f"{ours}self_attn.{x}_proj.{kind}" for x in "qkv"))
            for part, name in _BLOCK.items():
                yield _Part(f"{theirs}{part}.{kind}", (f"{ours}{name}.{kind}",))
    for kind in ("weight", "bias"):
        yield _Part(f"ln_final.{kind}", (f"text_model.final_layer_norm.{kind}",))
    yield _Part("text_projection", (_PROJECTION,), transposed=True)


def _prefixed_parts(layers: int) -> Iterator[_Part]:
    """The names of Hugging Face's code behind `clipmodel.`."""
    return (_Part(f"clipmodel.{name}", (name,)) for part in _original_parts(layers) for name in part.names)


@dataclass(frozen=True)
class _Layout:
    """How a kind of file names its tensors.

    Attributes:
        parts: the text tower's, for a number of layers.
        text: matches the key of any tensor of a text tower; the rest of the file is left alone.
        layer: matches such a key of a layer and gives its number.
    """

    parts: Callable[[int], Iterator[_Part]]
    text: re.Pattern[str]
    layer: re.Pattern[str]


_ORIGINAL = _Layout(
    _original_parts,
    re.compile(r"(token_embedding|positional_embedding|transformer|ln_final|text_projection)(\.|$)"),
    re.compile(r"transformer\.resblocks\.(\d{1,6})\."),
)
_PREFIXED = _Layout(
    _prefixed_parts,
    # Older versions of transformers save the positions 0, 1, 2, ... too.
    re.compile(r"clipmodel\.(text_model|text_projection)\.(?!embeddings\.position_ids$)"),
    re.compile(r"clipmodel\.text_model\.encoder\.layers\.(\d{1,6})\."),
)


@dataclass(frozen=True)
class CheckpointFamily:
    """One of the models: the modality that it was trained beside, and how its file names things."""

    modality: str
    layout: _Layout


CHECKPOINT_FAMILIES: Mapping[str, CheckpointFamily] = {
    "openai-clip": CheckpointFamily("image", _ORIGINAL),
    "audioclip": CheckpointFamily("audio", _ORIGINAL),
    "clip-vip": CheckpointFamily("video", _PREFIXED),
}
"""The models by name."""


@dataclass(frozen=True)
class TextCheckpoint:
    """The text tower of a checkpoint.

    Attributes:
        file: that it was read from.
        family: a key of `CHECKPOINT_FAMILIES`.
        config: of the model, with its sizes. The last two tokens of the vocabulary start and end a text; the end pads.
        weights: float32, by their names in `CLIPTextModelWithProjection`.
    """

    file: Path
    family: str
    config: CLIPTextConfig
    weights: Mapping[str, Tensor]

    @property
    def modality(self) -> str:
        return CHECKPOINT_FAMILIES[self.family].modality

    def model(self) -> CLIPTextModelWithProjection:
        """The tower as Hugging Face's model, in eval mode; it shares the memory of `weights`."""
        return CLIPTextModelWithProjection.from_pretrained(None, config=self.config, state_dict=dict(self.weights))


def read_checkpoint(source: Path, family: str | None = None) -> TextCheckpoint:
    """Read the text tower of a checkpoint; the other towers in the file are not read where the format allows it.

    Args:
        source: a TorchScript archive, a state dict of `torch.save`, a safetensors file, or a folder with one of them.
        family: a key of `CHECKPOINT_FAMILIES`; None: told from the names of the tensors.

    Raises:
        PolysenseError: there is no such file, or it is damaged or of another kind; the message names the first tensor
            that is missing, unknown or of a wrong shape.
    """
    if family is not None and family not in CHECKPOINT_FAMILIES:
        raise PolysenseError(f"no family of towers is called {family!r}; known are {', '.join(CHECKPOINT_FAMILIES)}")
    file = _find(source)
    state = _open(file)
    family = _recognise(file, state, family)
    layout = CHECKPOINT_FAMILIES[family].layout
    parts = _check_keys(file, state, layout)
    config = _sizes(file, state, parts)
    with torch.device("meta"):
        empty = CLIPTextModelWithProjection(config).state_dict()
    check_sum(file, empty.values())
    shapes = {name: value.shape for name, value in empty.items()}
    weights: dict[str, Tensor] = {}
    for part in parts:
        tensor, (rows, *columns) = state[part.key], shapes[part.names[0]]
        expected = (len(part.names) * rows, *columns)
        if part.transposed:
            expected = expected[::-1]
        if tensor.shape != expected or not tensor.is_floating_point():
            found = f"{tuple(tensor.shape)} of {tensor.dtype}"
            raise PolysenseError(f"{file}: {part.key!r} is {found}, not {expected} of floating-point numbers")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise PolysenseError(f"{file}: {part.key!r} has more numbers than the file holds; fetch the file again")
        pieces = (tensor.T if part.transposed else tensor).chunk(len(part.names))
        for name, piece in zip(part.names, pieces, strict=True):
            # A copy, so that nothing depends on the file any more.
            weights[name] = torch.empty(shapes[name]).copy_(piece)
    return TextCheckpoint(file, family, config, weights)


def _find(source: Path) -> Path:
    if not source.is_dir():
        if not source.is_file():
            raise PolysenseError(f"{source}: no such file or folder")
        return source
    files = sorted(file for file in source.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if len(files) != 1:
        found = f"holds {', '.join(file.name for file in files)}" if files else f"holds no {', '.join(SUFFIXES)}"
        raise PolysenseError(f"{source}: {found}; give the checkpoint's file itself")
    return files[0]


class _SafeTensors(Mapping[str, Tensor]):
    """A safetensors file, read tensor by tensor."""

    def __init__(self, file: Path) -> None:
        self._file = safe_open(file, framework="pt")
        self._keys = dict.fromkeys(self._file.keys())

    def __getitem__(self, key: str) -> Tensor:
        return self._file.get_tensor(key)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _open(file: Path) -> Mapping[str, Tensor]:
    with file.open("rb"):  # a file that may not be read says so itself, and is not called damaged
        pass
    try:
        with warnings.catch_warnings():
            # Of protocols of pickle: nothing that the person can change.
            warnings.simplefilter("ignore")
            if file.suffix == ".safetensors":
                return _SafeTensors(file)
            is_zip = zipfile.is_zipfile(file)
            if is_zip and is_torchscript(file):
                state = read_torchscript(file)
            else:
                check_weights(file)
                # Mapped into memory, what is not used is not read; only the zip format allows it.
                state = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)  # noqa: TID251
    except PolysenseError:
        raise
    except Exception as error:  # a damaged file can raise nearly anything
        if isinstance(error, CodeError) or "GLOBAL" in str(error):
            raise PolysenseError(
                f"{file}: it holds Python objects that could run code, so it is not read; save its state dict alone"
            ) from error
        raise PolysenseError(
            f"{file}: neither a TorchScript archive nor a state dict of torch.save nor a safetensors file, or only a "
            "part of one: check that it is the checkpoint, and fetch it again"
        ) from error
    if not isinstance(state, Mapping):
        raise PolysenseError(f"{file}: it holds a {type(state).__name__}, not a state dict")
    return {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _recognise(file: Path, keys: Collection[str], family: str | None) -> str:
    if any(key.startswith("text_model.") for key in keys):
        raise PolysenseError(f"{file}: it has Hugging Face's names already: give the folder of its model as a tower")
    found = [name for name, kind in CHECKPOINT_FAMILIES.items() if any(kind.layout.text.match(key) for key in keys)]
    if not found:
        missing = next(_original_parts(1)).key
        first = next((f"; its first tensor is {key!r}" for key in keys), "; it holds no tensor at all")
        raise PolysenseError(
            f"{file}: no text tower of {', '.join(CHECKPOINT_FAMILIES)}: {missing!r} is missing{first}"
        )
    if family is None:
        is_audioclip = "audioclip" in found and any(key.startswith("audio.") for key in keys)
        return "audioclip" if is_audioclip else found[0]
    if family not in found:
        raise PolysenseError(f"{file}: its tensors are named as in {' or '.join(found)}, not as in {family}")
    return family


def _check_keys(file: Path, keys: Collection[str], layout: _Layout) -> list[_Part]:
    layers = [int(match[1]) for key in keys if (match := layout.layer.match(key))]
    parts = []
    for part in layout.parts(max(layers, default=0) + 1):
        if part.key not in keys:
            raise PolysenseError(f"{file}: the text tower is not whole: {part.key!r} is missing")
        parts.append(part)
    known = {part.key for part in parts}
    key = next((key for key in keys if layout.text.match(key) and key not in known), None)
    if key is not None:
        raise PolysenseError(f"{file}: {key!r} is no part of CLIP's text tower: a model of another architecture")
    return parts


def _sizes(file: Path, state: Mapping[str, Tensor], parts: list[_Part]) -> CLIPTextConfig:
    keys = {name: part for part in parts for name in part.names}

    def shape(name: str) -> tuple[int, int]:
        part = keys[name]
        size = tuple(state[part.key].shape)
        if len(size) != 2:
            raise PolysenseError(f"{file}: {part.key!r} has the shape {size}, which is no matrix")
        return size[::-1] if part.transposed else size

    vocabulary, width = shape(_TOKENS)
    if not width or width % HEAD_WIDTH:
        raise PolysenseError(
            f"{file}: a text tower {width} wide; the attention heads of CLIP are {HEAD_WIDTH} wide, and do not fill it"
        )
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=shape("text_model.encoder.layers.0.mlp.fc1.weight")[0],
        projection_dim=shape(_PROJECTION)[0],
        num_hidden_layers=sum(name.endswith(".mlp.fc1.weight") for name in keys),
        num_attention_heads=width // HEAD_WIDTH,
        max_position_embeddings=shape(_POSITIONS)[0],
        hidden_act="quick_gelu",
        layer_norm_eps=1e-5,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
