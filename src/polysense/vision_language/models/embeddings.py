"""From words and regions to vectors, and the places and types that the prompt's contents stand at."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.regions import LOCATION_WIDTH

TEXT_TYPE, REGION_TYPE = 0, 1


class Places(nn.Module):
    """Adds to contents where they stand and to which side they belong: LN(content + place + type), dropout.

    A word's place is its position (a learnt table), a region's its location: LN(Linear([x1, y1, x2, y2, w, h, wh])).
    """

    def __init__(self, config: CmalConfig) -> None:
        super().__init__()
        layer = config.layer_config(1)
        d = layer.hidden_size
        self.positions = nn.Embedding(layer.max_position_embeddings, d)
        self.location = nn.Linear(LOCATION_WIDTH, d)
        self.location_norm = nn.LayerNorm(d, eps=layer.layer_norm_eps)
        self.types = nn.Embedding(2, d)
        self.norm = nn.LayerNorm(d, eps=layer.layer_norm_eps)
        self.dropout = nn.Dropout(layer.hidden_dropout_prob)

    def words(self, contents: Tensor) -> Tensor:
        """(B, L, d) to (B, L, d)."""
        place = self.positions.weight[: contents.shape[1]]
        return self._at(contents, place, TEXT_TYPE)

    def regions(self, contents: Tensor, locations: Tensor) -> Tensor:
        """(B, R, d) contents at (B, R, 7) locations to (B, R, d)."""
        return self._at(contents, self.location_norm(self.location(locations)), REGION_TYPE)

    def _at(self, contents: Tensor, place: Tensor, side: int) -> Tensor:
        embedded: Tensor = self.dropout(self.norm(contents + place + self.types.weight[side]))
        return embedded


class RegionContent(nn.Module):
    """Features (B, R, W) to contents (B, 1 + R, d): LN(Linear(feature)), behind one learnt vector for the picture.

    The vector of the whole picture gives a picture without any region something to be.
    """

    def __init__(self, config: CmalConfig) -> None:
        super().__init__()
        layer = config.layer_config(1)
        self.project = nn.Linear(config.region_width, layer.hidden_size)
        self.norm = nn.LayerNorm(layer.hidden_size, eps=layer.layer_norm_eps)
        self.picture = nn.Parameter(torch.empty(layer.hidden_size).normal_(std=layer.initializer_range))

    def forward(self, features: Tensor) -> Tensor:
        contents = self.norm(self.project(features))
        picture = self.picture.expand(len(features), 1, -1)
        return torch.cat([picture.to(contents.dtype), contents], dim=1)


def with_picture(locations: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Locations (B, R, 7) and mask (B, R) behind those of the whole picture: (B, 1 + R, 7) and (B, 1 + R)."""
    whole = locations.new_tensor([0, 0, 1, 1, 1, 1, 1]).expand(len(locations), 1, -1)
    present = mask.new_ones(len(mask), 1)
    return torch.cat([whole, locations], dim=1), torch.cat([present, mask], dim=1)
