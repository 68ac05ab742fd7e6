"""A handful of pictures, and a tiny CLIP image encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

try:
    from transformers import CLIPImageProcessorPil
except ImportError:  # what it was called before
    from transformers import CLIPImageProcessor as CLIPImageProcessorPil  # type: ignore[assignment]

COLOURS = {"red-apple_1": "red", "yellow banana": "yellow", "blue_sky": "blue", "0001": "green"}


def draw(folder: Path) -> Path:
    """Four pictures; the one whose name says nothing has two captions beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (24, 16), colour).save(folder / f"{name}.png")
    (folder / "0001.txt").write_text("a green leaf\ngrass\n")
    return folder


def save_clip_pictures(folder: Path) -> Path:
    """A tiny random image encoder of CLIP, 6 wide."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        projection_dim=6,
    )
    model = CLIPVisionModelWithProjection(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder
