"""The cross-modal associative prompt (CMAL, part 3): at anchors, words and regions trade places.

Only content moves. Positions, locations and types are added afterwards by the place that the content then stands at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polysense.vision_language.models.configuration import Swap


@dataclass(frozen=True)
class Anchors:
    """Which words and regions of a batch name the same thing.

    Attributes:
        spans: (B, L) int64: the number, from 1, of the anchor phrase that a token belongs to; 0 for other tokens.
        links: (B, L, R) bool: the regions that a token's phrase names; alike for all tokens of a phrase.
    """

    spans: Tensor
    links: Tensor

    @property
    def words(self) -> Tensor:
        """(B, L) bool: tokens of anchors."""
        return self.spans > 0

    @property
    def regions(self) -> Tensor:
        """(B, R) bool: regions of anchors."""
        return self.links.any(dim=1)

    def words_apart(self, mask: Tensor) -> Tensor:
        """(B, L, L) bool: what each token may attend to where anchors are hidden from all but their own phrase."""
        same = self.spans[:, :, None] == self.spans[:, None, :]
        return mask[:, None, :] & (~self.words[:, None, :] | same)

    def regions_apart(self, mask: Tensor) -> Tensor:
        """(B, 1 + R, 1 + R) bool: the same for the picture and its regions; `mask` (B, 1 + R)."""
        hidden = torch.cat([self.regions.new_zeros(len(mask), 1), self.regions], dim=1)
        itself = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        return mask[:, None, :] & (~hidden[:, None, :] | itself)


@dataclass(frozen=True)
class Prompt:
    """A hybrid prompt.

    Attributes:
        words: (B, L, d) contents of the text's places.
        regions: (B, R, d) contents of the regions' places.
        filled_words: (B, L) bool: tokens that hold a region's content.
        filled_regions: (B, R) bool: regions that hold a phrase's content.
    """

    words: Tensor
    regions: Tensor
    filled_words: Tensor
    filled_regions: Tensor


def draw_sides(swap: Swap, batch: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """(B,) bool each: whether an example's text side and its region side are filled."""
    if swap == "either":
        text = torch.rand(batch, device=device) < 0.5
        return text, ~text
    on = torch.ones(batch, dtype=torch.bool, device=device)
    return on & (swap != "region"), on & (swap != "text")


def swap_fill(words: Tensor, regions: Tensor, anchors: Anchors, sides: tuple[Tensor, Tensor]) -> Prompt:
    """Fill anchors with the other side's content.

    A phrase draws one of the regions that it names, and all its tokens hold that region's content; a region draws one
    of the phrases that name it, and holds the mean of its tokens' contents. Several phrases may share a region and
    several regions a phrase, and none overwrites another.

    Args:
        words: (B, L, d). regions: (B, R, d), without the picture's own vector.
        sides: (B,) bool each: which sides are filled (`draw_sides`).
    """
    length = anchors.spans.shape[1]
    count = int(anchors.spans.max()) + 1 if anchors.spans.numel() else 1
    phrases = torch.nn.functional.one_hot(anchors.spans, count).transpose(1, 2).to(words.dtype)  # (B, S, L)
    phrases[:, 0] = 0
    named = torch.bmm(phrases, anchors.links.to(words.dtype)) > 0  # (B, S, R)
    drawn = torch.rand(named.shape, device=words.device).masked_fill(~named, -1)
    filled_words = anchors.words & sides[0][:, None]
    filled_regions = named.any(dim=1) & sides[1][:, None]
    if not regions.shape[1] or not length:
        return Prompt(words, regions, filled_words, filled_regions)
    region_of = drawn.argmax(dim=2).gather(1, anchors.spans)  # (B, L)
    phrase_of = drawn.argmax(dim=1)  # (B, R)
    means = torch.bmm(phrases / phrases.sum(dim=2, keepdim=True).clamp(min=1), words)  # (B, S, d)
    width = words.shape[2]
    to_words = regions.gather(1, region_of[..., None].expand(-1, -1, width))
    to_regions = means.gather(1, phrase_of[..., None].expand(-1, -1, width))
    return Prompt(
        torch.where(filled_words[..., None], to_words, words),
        torch.where(filled_regions[..., None], to_regions, regions),
        filled_words,
        filled_regions,
    )
