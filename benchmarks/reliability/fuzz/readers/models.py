"""Trained models, backbones, towers and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from benchmarks.made_up import TINY, write_bert
from benchmarks.reliability.fuzz.reader import Reader, beside
from benchmarks.reliability.fuzz.readers.regions import write_task_data
from benchmarks.reliability.fuzz.readers.rows import TEXTS, as_lines
from polysense.folder import write_checksums
from polysense.models.backbone import load_backbone
from polysense.models.processing import PolysenseProcessor
from polysense.towers.aligned import OWN_TRUNK, AlignedConfig, AlignedHead, AlignedTower
from polysense.towers.checkpoints import read_checkpoint
from polysense.towers.memory import Memory
from polysense.towers.packed_encoder import load_encoder
from polysense.towers.packing import PackedTokens
from polysense.towers.registry import open_tower
from polysense.towers.tower import load_tokenizer
from polysense.training import train
from polysense.training.predict import Predictor
from polysense.training.progress import ProgressBar
from polysense.vision_language import fine_tuning
from polysense.vision_language.captions import read_caption_folder
from polysense.vision_language.pretraining import pretrain


def write_clip(folder: Path) -> Path:
    """A tiny random text tower of CLIP."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ends = ["<|startoftext|>", "<|endoftext|>"]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *ends]
    ids: dict[str, Any] = {
        "bos_token_id": len(pieces) - 2,
        "eos_token_id": len(pieces) - 1,
        "pad_token_id": len(pieces) - 1,
    }
    config = CLIPTextConfig(vocab_size=len(pieces), projection_dim=12, max_position_embeddings=24, **TINY, **ids)
    torch.manual_seed(0)
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    CLIPTokenizer(vocab=vocabulary, merges=[], pad_token=ends[1], model_max_length=24).save_pretrained(folder)
    return folder


def _training(folder: Path) -> dict[str, Any]:
    """Arguments of `train`, of what lies beside."""
    data = beside(folder)
    return {
        "train_file": data / "rows.jsonl", "validation_file": data / "rows.jsonl", "backbone": str(data / "bert"),
        "towers": [f"image=train:{data / 'clip'}"], "batch_size": 8, "store": False,
    }  # fmt: skip


def _write_beside(folder: Path) -> None:
    write_bert(beside(folder) / "bert")
    write_clip(beside(folder) / "clip")
    (beside(folder) / "rows.jsonl").write_text(as_lines(TEXTS))


def _write_model(**settings: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        _write_beside(folder)
        train(folder / "model", progress=False, epochs=1, **_training(folder), **settings)

    return write


def _read_model(folder: Path) -> Any:
    predictor = Predictor.load(folder / "model", store=False)
    return [predictor.label_names, predictor.scores(["a cat", "a big dog"])]


class _Stopped(Exception):  # noqa: N818
    """The run was broken off."""


def _stop(_: Any, __: Any, state: Any, ___: Any, **____: Any) -> None:
    if state.epoch and state.epoch >= 1:
        raise _Stopped


def _write_interrupted(folder: Path) -> None:
    _write_beside(folder)
    try:
        with patch.object(ProgressBar, "on_epoch_begin", _stop):
            train(folder / "model", epochs=2, **_training(folder))
    except _Stopped:
        return
    raise RuntimeError("the run was not broken off")


def _read_interrupted(folder: Path) -> Any:
    train(folder / "model", epochs=2, resume=True, progress=False, **_training(folder))
    return _read_model(folder)


def _write_vl(task: str | None) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        bert, data = write_bert(beside(folder) / "bert"), beside(folder) / "data"
        for part in ("train", "validation"):
            write_task_data(data / part)
        captions, regions, _ = read_caption_folder(data / "train")
        start = folder / "model" if task is None else beside(folder) / "start"
        quick: dict[str, Any] = {"steps": 2, "batch_size": 4, "progress": False}
        sizes = {"text_layers": 1, "visual_layers": 1, "unified_layers": 1, "projection": 8}
        pretrain(start, captions, regions, backbone=str(bert), config=sizes, detector="segments", **quick)
        if task is not None:
            fine_tuning.train(folder / "model", task, data, start, **quick)

    return write


def _read_vl(folder: Path) -> Any:
    return fine_tuning.evaluate(folder / "model", beside(folder) / "data" / "validation", progress=False)["scores"]


def _read_start(folder: Path) -> Any:
    task = fine_tuning.get_task("vqa")
    model, processor = fine_tuning.load_start(folder / "model", task, task.read(beside(folder) / "data" / "train"))
    return [dict(model.backbone.state_dict()), processor.tokenize("a red cat")]


def _write_aligned(folder: Path) -> None:
    bert = str(write_bert(beside(folder) / "bert"))
    torch.manual_seed(0)
    head = AlignedHead(16, 8, 4, Memory(torch.randn(12, 16), torch.randn(12, 8)))
    config = AlignedConfig(OWN_TRUNK, 8, 4, 12)
    AlignedTower(config, load_encoder(bert), load_tokenizer(bert), head, "").save(folder / "tower")
    write_checksums(folder / "tower")  # as `polysense align` does


def _write_converted(folder: Path) -> None:
    write_checksums(write_clip(folder / "tower"))  # as `polysense towers convert` does


def _read_tower(folder: Path) -> Any:
    tower = open_tower(str(folder / "tower"))
    packed = PackedTokens.pack(tower.tokenizer(["a red cat", "a dog"])["input_ids"])
    with torch.no_grad():
        return tower.encode(packed).states


def _read_backbone(folder: Path) -> Any:
    model, pooling = load_backbone(str(folder / "bert"))
    processor = PolysenseProcessor.from_backbone(str(folder / "bert"), {}, store=False)
    return [pooling, dict(model.state_dict()), processor.tokenizer("a red cat")["input_ids"]]


def _original(width: int = 64, wide: int = 96) -> dict[str, torch.Tensor]:
    """A text tower of one layer, as OpenAI names it."""
    block = "transformer.resblocks.0."
    torch.manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (12, width), "text_projection": (width, 40), "token_embedding.weight": (50, width),
        f"{block}attn.in_proj_weight": (3 * width, width), f"{block}attn.in_proj_bias": (3 * width,),
        f"{block}attn.out_proj.weight": (width, width), f"{block}attn.out_proj.bias": (width,),
        f"{block}mlp.c_fc.weight": (wide, width), f"{block}mlp.c_fc.bias": (wide,),
        f"{block}mlp.c_proj.weight": (width, wide), f"{block}mlp.c_proj.bias": (width,),
    }  # fmt: skip
    for norm in (f"{block}ln_1", f"{block}ln_2", "ln_final"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


class _Tree(torch.nn.Module):
    """Modules nested as the names of their parameters are."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        groups: dict[str, dict[str, torch.Tensor]] = {}
        for name, value in state.items():
            first, dot, rest = name.partition(".")
            if dot:
                groups.setdefault(first, {})[rest] = value
            else:
                self.register_buffer(first, value)
        for first, inner in groups.items():
            self.add_module(first, _Tree(inner))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def _write_archive(folder: Path) -> None:
    torch.jit.save(torch.jit.script(_Tree(_original())), folder / "original.pt")


def _checkpoint(name: str, file: str, write: Callable[[Path], object]) -> Reader:
    def read(folder: Path) -> Any:
        found = read_checkpoint(folder / file)
        return [found.family, found.config.to_dict(), dict(found.weights)]

    return Reader(f"checkpoint, {name}", write, read)


MODELS = (
    Reader("trained model, with its tower", _write_model(), _read_model, checksums=True, share=0.25),
    Reader("trained model, adapter", _write_model(options={}, adapter="lora"), _read_model, checksums=True, share=0.25),
    Reader("interrupted run", _write_interrupted, _read_interrupted, checksums=True, share=0.1),
    Reader("vision-language model", _write_vl("vqa"), _read_vl, checksums=True, share=0.25),
    Reader("vision-language start", _write_vl(None), _read_start, checksums=True, share=0.25),
    Reader("aligned tower", _write_aligned, _read_tower, checksums=True, share=0.5),
    Reader("converted tower", _write_converted, _read_tower, checksums=True, share=0.5),
    Reader("backbone", lambda folder: write_bert(folder / "bert"), _read_backbone, share=0.5),
    _checkpoint("TorchScript", "original.pt", _write_archive),
    _checkpoint("state dict", "original.pt", lambda folder: torch.save(_original(), folder / "original.pt")),
    _checkpoint(
        "safetensors", "original.safetensors", lambda folder: save_file(_original(), folder / "original.safetensors")
    ),
)
