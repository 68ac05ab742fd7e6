"""Contrasts: of anchor words with their regions (WRC, in CMAL), and of whole texts with whole pictures (CMCL)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polysense.vision_language.models.prompt import Anchors

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.001, 0.5


class Temperature(nn.Module):
    """A learnt temperature, kept within 0.001 and 0.5."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(start)))

    def forward(self) -> Tensor:
        return self.log.clamp(math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE)).exp()


def multi_positive(similarity: Tensor, positive: Tensor, candidate: Tensor) -> Tensor:
    """Mean over all positive pairs of -log softmax over their row's candidates.

    Args:
        similarity: (N, M), divided by the temperature.
        positive: (N, M) bool, all of them candidates.
        candidate: (N, M) bool: what a row's softmax runs over.

    Returns:
        A scalar; 0 where there is no positive pair.
    """
    if not positive.any():
        return similarity.sum() * 0.0
    likelihood = F.log_softmax(similarity.masked_fill(~candidate, torch.finfo(similarity.dtype).min), dim=1)
    return -likelihood[positive].mean()


def word_region_contrast(
    words: Tensor, regions: Tensor, anchors: Anchors, region_mask: Tensor, classes: Tensor, temperature: Tensor
) -> Tensor:
    """Anchor words against all regions of the batch, and anchor regions against all anchor words.

    The regions that a word names are its positives. Padding is no candidate, and neither is a region of another
    picture with the class of one of the word's own: it may show the same.

    Args:
        words: (B, L, d). regions: (B, R, d), without the picture's own.
        region_mask: (B, R) bool. classes: (B, R); negative where unknown.
    """
    example, token = anchors.words.nonzero(as_tuple=True)
    picture, region = region_mask.nonzero(as_tuple=True)
    own = example[:, None] == picture[None, :]
    named = anchors.links[example, token]  # (N, R)
    positive = own & named[:, region]
    theirs = classes[example].masked_fill(~named, -1)
    # A table of (word, class), unknown classes in its first column, takes far less room than all words with all pairs
    # of regions.
    numbers = classes.clamp(min=-1) + 1
    table = own.new_zeros(len(example), int(numbers.max()) + 1 if numbers.numel() else 1)
    table.scatter_(1, theirs.clamp(min=-1) + 1, value=True)
    table[:, 0] = False
    candidate = positive | own | ~table[:, numbers[picture, region]]
    a = F.normalize(words[example, token].float(), dim=-1)
    b = F.normalize(regions[picture, region].float(), dim=-1)
    similarity = a @ b.T / temperature
    return (multi_positive(similarity, positive, candidate) + multi_positive(similarity.T, positive.T, candidate.T)) / 2


class GlobalContrast(nn.Module):
    """InfoNCE between the projected vector of a text and that of a picture (CMCL).

    Args:
        width: d. projection: width of the common space. temperature: at the start.
    """

    def __init__(self, width: int, projection: int, temperature: float) -> None:
        super().__init__()
        self.text = nn.Linear(width, projection)
        self.picture = nn.Linear(width, projection)
        self.temperature = Temperature(temperature)

    def embed(self, texts: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d) of texts and of pictures to unit vectors (B, projection)."""
        return F.normalize(self.text(texts).float(), dim=-1), F.normalize(self.picture(pictures).float(), dim=-1)

    def loss(self, texts: Tensor, pictures: Tensor, shown: Tensor) -> Tensor:
        """Both directions; an example of the same picture is no negative.

        Args:
            texts, pictures: (B, projection) unit vectors. shown: (B,) numbers of the pictures.
        """
        similarity = texts @ pictures.T / self.temperature()
        itself = torch.eye(len(texts), dtype=torch.bool, device=texts.device)
        candidate = itself | (shown[:, None] != shown[None, :])
        return (multi_positive(similarity, itself, candidate) + multi_positive(similarity.T, itself, candidate)) / 2
