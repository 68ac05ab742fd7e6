"""A stand-in for the encoder of pictures, which pictures and clips share."""

from __future__ import annotations

import pytest
import torch

from polysense.pictures.efficientnet import EfficientNetLite0


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A quick encoder, which repeats the mean colour; the list gets the size of each batch."""
    sizes: list[int] = []

    class MeanColour(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            sizes.append(len(batch))
            return batch.mean(dim=(2, 3)).repeat(1, 427)[:, :1280]

    monkeypatch.setattr(EfficientNetLite0, "pretrained", MeanColour)
    return sizes
