"""The small sound encoder of `polysense align`: a convolutional network trained on libraries of sound effects.

Architecture: the nine-layer network of Kong et al., "DCASE 2018 Challenge baseline" (arXiv:1808.00773). Weights: Ma &
Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries" (ISMIR 2022), from the PyPI
package `aisfx` (CC-BY-4.0), whose parameter names this module keeps. The package pins old versions of its own
requirements, so it is fetched for its file of weights and not installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polysense.errors import PolysenseError

WIDTH = 512
FRAMES = 100
"""Of a block: 2.3 seconds."""
LOUDEST = 9.457798957824707
"""The largest value of the spectrograms that the weights were trained on, which takes the place of 1."""


class _Ignored:
    def __new__(cls, *_: object) -> _Ignored:
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


class _Block(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.bn2 = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class SoundEncoder(nn.Module):
    """Blocks of log-mel spectrograms (B, FRAMES, 96) to features (B, 512), not negative."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_block1 = _Block(1, 64)
        self.conv_block2 = _Block(64, 128)
        self.conv_block3 = _Block(128, 256)
        self.conv_block4 = _Block(256, WIDTH)

    def forward(self, blocks: Tensor) -> Tensor:
        x = (blocks / LOUDEST)[:, None]
        for block in (self.conv_block1, self.conv_block2, self.conv_block3):
            x = F.max_pool2d(block(x), 2)
        return self.conv_block4(x).mean(dim=3).amax(dim=2)

    @classmethod
    def load(cls, file: Path) -> SoundEncoder:
        """The published weights, frozen and in eval mode.

        Raises:
            PolysenseError: the file is not the published one.
        """
        # Beside the weights the file has a table of class counts, as NumPy numbers; it is not needed.
        ignored: list[Any] = [(_Ignored, "numpy.core.multiarray.scalar"), (_Ignored, "numpy.dtype")]
        model = cls()
        try:
            with torch.serialization.safe_globals(ignored):
                weights, _ = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251
            prefix = "embedding_net."
            model.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
        # What damaged files make torch raise is manifold; its advice, to load them as code, is none.
        except Exception:
            raise PolysenseError(
                f"{file}: not the published weights of the sound encoder; remove {file.parent} to fetch them again"
            ) from None
        return model.eval().requires_grad_(False)
