"""The space in which a tower is aligned: standardised features of one modality."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from polysense.alignment.media import Parts
from polysense.errors import PolysenseError


def part_tensors(parts: Parts) -> dict[str, Tensor]:
    """Raw features by part as tensors; of histograms of colours the square roots, so that distances are Hellinger's."""
    tensors = {part: torch.from_numpy(features) for part, features in parts.items()}
    return {part: features.sqrt() if part == "colours" else features for part, features in tensors.items()}


class FeatureSpace(nn.Module):
    """Maps raw features to the space of a tower: per part, principal components, then one scale for the whole part.

    Pictures have two parts, what is seen (EfficientNet-Lite0) and its colours: ImageNet features alone lose colour, and
    parts of equal weight keep both. Sounds and clips have parts of their own.
    """

    def __init__(self, widths: dict[str, tuple[int, int]]) -> None:
        """`widths`: by part, the raw and the kept width."""
        super().__init__()
        self.parts = list(widths)
        for part, (raw, kept) in widths.items():
            self.register_buffer(f"{part}_mean", torch.zeros(raw))
            self.register_buffer(f"{part}_components", torch.zeros(raw, kept))

    @classmethod
    def fit(cls, parts: dict[str, Tensor], kept: int) -> FeatureSpace:
        """Fit on raw features (n, raw) by part; each part keeps at most `kept` components and has mean square 1."""
        kept_of = {part: min(kept, *features.shape) for part, features in parts.items()}
        space = cls({part: (features.shape[1], kept_of[part]) for part, features in parts.items()})
        for part, features in parts.items():
            mean = features.mean(dim=0)
            # The covariance is small (raw x raw), and its eigenvectors are exact where a randomised SVD is not.
            _, vectors = torch.linalg.eigh((features - mean).T @ (features - mean))
            components = vectors[:, -kept_of[part] :].flip(1)
            projected = (features - mean) @ components
            scale = projected.square().sum(dim=1).mean().sqrt().clamp(min=1e-6)
            getattr(space, f"{part}_mean").copy_(mean)
            getattr(space, f"{part}_components").copy_(components / scale)
        return space

    @classmethod
    def load(cls, file: Path, parts: Iterable[str]) -> FeatureSpace:
        """Open a file with the state of a space; `parts` names its parts in their order.

        Raises:
            PolysenseError: the file is missing or damaged, or has other parts.
        """
        try:
            weights = load_file(file)
            space = cls({part: (*weights[f"{part}_components"].shape,) for part in parts})
            space.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise PolysenseError(
                f"{file}: not the feature space of such items ({reason}); align the tower anew"
            ) from None
        return space

    @property
    def width(self) -> int:
        """D, of all parts together."""
        return sum(getattr(self, f"{part}_components").shape[1] for part in self.parts)

    def forward(self, parts: dict[str, Tensor]) -> Tensor:
        """Raw features (n, raw) by part to (n, D)."""
        mapped = [(parts[p] - getattr(self, f"{p}_mean")) @ getattr(self, f"{p}_components") for p in self.parts]
        return torch.cat(mapped, dim=-1)
