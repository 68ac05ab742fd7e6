"""Tiny random models of the families that a hub offers, as folders of Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import processors
from transformers import (
    ClapConfig,
    ClapModel,
    ClapTextModelWithProjection,
    CLIPConfig,
    CLIPModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaTokenizer,
    Siglip2Config,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipModel,
    XCLIPConfig,
    XCLIPModel,
)

from polysense.towers.packing import PackedTokens
from support import WORDS, clip_tokenizer

CONTEXT = 24

_TEXT = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}


def siglip2_tokenizer() -> PreTrainedTokenizerBase:
    """Gemma's kind of byte-pair encoding, over letters and `WORDS`, that ends a text as SigLIP 2's does."""
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        piece = "▁"
        for letter in word:
            merges[piece, letter] = None
            piece += letter
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *letters, ".", "!", "'"]
    pieces += [a + b for a, b in merges if a + b not in pieces]
    tokenizer = Siglip2Tokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=list(merges))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", pair="$A <eos> $B:1 <eos>:1", special_tokens=[("<eos>", 1)]
    )
    return tokenizer


def roberta_tokenizer() -> RobertaTokenizer:
    """RoBERTa's kind of byte-level encoding, letter by letter; padding has id 1."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ"]
    pieces += [chr(c) for c in range(33, 127)]
    merges = [("c", "a"), ("ca", "t"), ("Ġ", "cat"), ("b", "a"), ("n", "a"), ("ba", "na"), ("bana", "na")]
    pieces += [a + b for a, b in merges]
    return RobertaTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges, model_max_length=CONTEXT)


def save_siglip(folder: Path, kind: str = "siglip2", whole: bool = True, **settings: Any) -> Path:
    """SigLIP or SigLIP 2 with SigLIP 2's kind of tokenizer."""
    tokenizer = siglip2_tokenizer()
    text = _TEXT | {"vocab_size": len(tokenizer), "projection_size": 12, "pad_token_id": 0, **settings}
    if kind == "siglip":
        model: Any = SiglipModel(SiglipConfig(text_config=text, vision_config=_VISION))
    else:
        vision = {k: v for k, v in _VISION.items() if k != "image_size"} | {"num_patches": 4}
        model = Siglip2Model(Siglip2Config(text_config=text, vision_config=vision))
    return _save(model if whole else model.text_model, tokenizer, folder)


def save_clap(folder: Path, whole: bool = True) -> Path:
    tokenizer = roberta_tokenizer()
    text = _TEXT | {"vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT + 2, "pad_token_id": 1}
    audio = {"hidden_size": 16, "patch_embeds_hidden_size": 2, "depths": [1, 1, 1, 1], "spec_size": 32}
    audio |= {"num_attention_heads": [1, 1, 1, 1], "num_mel_bins": 8, "window_size": 2, "num_classes": 2}
    model: Any = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12))
    if not whole:
        model = ClapTextModelWithProjection(model.config.text_config)
    return _save(model, tokenizer, folder)


def save_whole_clip(folder: Path) -> Path:
    """CLIP with its vision part; the width of the projection stands in the whole model's configuration."""
    tokenizer = clip_tokenizer(CONTEXT)
    config = CLIPConfig(text_config=_clip_text(tokenizer), vision_config=_VISION, projection_dim=12)
    return _save(CLIPModel(config), tokenizer, folder)


def save_xclip(folder: Path) -> Path:
    tokenizer = clip_tokenizer(CONTEXT)
    mit = {"mit_hidden_size": 12, "mit_num_attention_heads": 2, "mit_intermediate_size": 16, "num_frames": 2}
    config = XCLIPConfig(
        # As in microsoft's, the configuration has no true ids of the special tokens.
        text_config=_TEXT | {"vocab_size": len(tokenizer)},
        vision_config=_VISION | mit,
        projection_dim=12,
        prompt_num_attention_heads=2,
    )
    return _save(XCLIPModel(config), tokenizer, folder)


def random_tokens(tokenizer: PreTrainedTokenizerBase, longest: int = CONTEXT) -> PackedTokens:
    """Ordinary tokens, with what the tokenizer writes around a text: each length from 3 to the longest, some twice."""
    before, after = _around(tokenizer)
    generator = torch.Generator().manual_seed(0)
    special = set(tokenizer.all_special_ids)
    ordinary = [i for i in range(min(len(tokenizer), 60)) if i not in special]
    rows = []
    for length in [*range(3, longest + 1), 3, 5, 5]:
        words = torch.randint(len(ordinary), (length - len(before) - len(after),), generator=generator).tolist()
        rows.append([*before, *(ordinary[i] for i in words), *after])
    return PackedTokens.pack(rows)


def padded(tokens: PackedTokens, pad: int, length: int = CONTEXT) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, length) ids padded on the right, and the mask of the real ones."""
    ids = torch.full((len(tokens.lengths), length), pad)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(tokens.input_ids.split(tokens.lengths)):
        ids[row, : len(sequence)], mask[row, : len(sequence)] = sequence, 1
    return ids, mask


def _around(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text."""
    ids = tokenizer("cat")["input_ids"]
    word = [i for i, token in enumerate(ids) if token not in tokenizer.all_special_ids]
    return ids[: word[0]], ids[word[-1] + 1 :]


def _clip_text(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return _TEXT | {"vocab_size": len(tokenizer)} | {name: getattr(tokenizer, name) for name in names}


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        # Large enough for attention that is far from even, and biases that count.
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5, generator=generator)
        else:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
