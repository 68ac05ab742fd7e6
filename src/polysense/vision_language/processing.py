"""From texts and regions to what CMAL's models read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from transformers import AutoTokenizer

from polysense.errors import PolysenseError
from polysense.folder import check_files, forget_checksums, read_json, write_json
from polysense.loading import hub_errors, open_auto
from polysense.models.saved_files import is_of_processor
from polysense.text import clean
from polysense.vision_language.anchors import find_anchors
from polysense.vision_language.lexicon import Lexicon
from polysense.vision_language.objectives.association import UNKNOWN
from polysense.vision_language.regions import LOCATION_WIDTH, Regions

PROCESSOR_FILE = "cmal_processor.json"
MAX_LENGTH = 60
"""Tokens of a text, in the code released with CMAL."""


@dataclass(frozen=True)
class ProcessorSettings:
    """How texts and regions are read.

    Attributes:
        region_width: W, of a region's features.
        max_length: tokens of a text; no more than the model has positions for.
        max_regions: of a picture, the first ones; 100 there.
        detector: what finds the regions of a plain picture: a name or model that `open_detector` knows, or "" where
            only regions from files fit the model.

    Raises:
        PolysenseError: a number is not whole, or below 1.
    """

    region_width: int
    max_length: int = MAX_LENGTH
    max_regions: int = 36
    detector: str = ""

    def __post_init__(self) -> None:
        for name in ("region_width", "max_length", "max_regions"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise PolysenseError(f"{name.replace('_', '-')} must be a whole number of 1 or more, not {value!r}")


@dataclass(frozen=True)
class Anchored:
    """A tokenised text, and where it names regions of its picture.

    Attributes:
        input_ids: token ids.
        spans: of each token, the number of its anchor phrase from 1, else 0.
        regions: of each phrase, in order, the regions that it names.
    """

    input_ids: list[int]
    spans: list[int]
    regions: list[list[int]]


class CmalProcessor:
    """A tokenizer, and how regions become tensors; saved beside the model.

    Example:
        >>> processor = CmalProcessor.from_pretrained(folder)
        >>> model(**processor(["what is on the table?"], [regions]))
    """

    def __init__(self, tokenizer: Any, settings: ProcessorSettings) -> None:
        self.tokenizer = tokenizer
        self.settings = settings

    def __call__(self, texts: Sequence[str], regions: Sequence[Regions]) -> dict[str, torch.Tensor]:
        """The inputs of a model for as many texts as pictures: padded tensors on the CPU."""
        return {**self.text_inputs([self.tokenize(text) for text in texts]), **self.region_inputs(regions)}

    def tokenize(self, text: str) -> list[int]:
        """Token ids, cut to `max_length`."""
        ids: list[int] = self.tokenizer(clean(text), truncation=True, max_length=self.settings.max_length)["input_ids"]
        return ids

    def text_inputs(self, ids: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask` (B, L)."""
        length = max(len(row) for row in ids)
        padded = torch.full((len(ids), length), self.tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros((len(ids), length), dtype=torch.long)
        for i, row in enumerate(ids):
            padded[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return {"input_ids": padded, "attention_mask": mask}

    def region_inputs(self, regions: Sequence[Regions]) -> dict[str, torch.Tensor]:
        """`region_features` (B, R, W), `region_locations` (B, R, 7) and `region_mask` (B, R).

        Raises:
            PolysenseError: features of another width than the model's.
        """
        width = self.settings.region_width
        shown = [min(len(r), self.settings.max_regions) for r in regions]
        features = np.zeros((len(regions), max(shown), width), dtype=np.float32)
        locations = np.zeros((len(regions), max(shown), LOCATION_WIDTH), dtype=np.float32)
        mask = np.zeros((len(regions), max(shown)), dtype=bool)
        for i, (r, count) in enumerate(zip(regions, shown, strict=True)):
            if len(r) and r.features.shape[1] != width:
                raise PolysenseError(
                    f"regions have features {r.features.shape[1]} wide, but this model reads {width}: use the "
                    "features that it was trained with"
                )
            if count:
                features[i, :count] = r.features[:count]
                locations[i, :count] = r.locations[:count]
                mask[i, :count] = True
        return {
            "region_features": torch.from_numpy(features),
            "region_locations": torch.from_numpy(locations),
            "region_mask": torch.from_numpy(mask),
        }

    def anchor(self, text: str, tags: Sequence[str], lexicon: Lexicon) -> Anchored:
        """Tokenise a text and find its anchors among the tags of its picture's regions (CMAL, part 1)."""
        text = clean(text)
        tags = tags[: self.settings.max_regions]
        encoding = self.tokenizer(
            text, truncation=True, max_length=self.settings.max_length, return_offsets_mapping=True
        )
        spans = [0] * len(encoding["input_ids"])
        named: list[list[int]] = []
        for anchor in find_anchors(text, tags, lexicon):
            tokens = [
                i
                for i, (start, end) in enumerate(encoding["offset_mapping"])
                if start < end and start < anchor.end and end > anchor.start
            ]
            if tokens:
                named.append(list(anchor.regions))
                for i in tokens:
                    spans[i] = len(named)
        return Anchored(encoding["input_ids"], spans, named)

    def anchor_inputs(self, rows: Sequence[Anchored], regions: int) -> dict[str, torch.Tensor]:
        """`anchor_spans` (B, L) and `anchor_links` (B, L, R) of rows whose pictures are padded to R `regions`."""
        length = max(len(row.input_ids) for row in rows)
        spans = np.zeros((len(rows), length), dtype=np.int64)
        links = np.zeros((len(rows), length, regions), dtype=bool)
        for i, row in enumerate(rows):
            spans[i, : len(row.spans)] = row.spans
            for number, named in enumerate(row.regions, start=1):
                links[i][np.ix_(spans[i] == number, named)] = True
        return {"anchor_spans": torch.from_numpy(spans), "anchor_links": torch.from_numpy(links)}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer and the settings."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        forget_checksums(folder)
        self.tokenizer.save_pretrained(str(folder))
        write_json(folder / PROCESSOR_FILE, asdict(self.settings))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Read what `save_pretrained` wrote.

        Raises:
            PolysenseError: there is no such folder, or it holds no processor or a damaged one.
        """
        file = Path(folder) / PROCESSOR_FILE
        check_files(Path(folder), is_of_processor)
        try:
            settings = ProcessorSettings(**read_json(file))
        except FileNotFoundError:
            raise PolysenseError(f"{folder}: no vision-language model (there is no {PROCESSOR_FILE} in it)") from None
        except (OSError, ValueError, TypeError) as error:
            raise PolysenseError(f"{file}: cannot be read ({error}); train the model again") from None
        with hub_errors("model", str(folder)):
            tokenizer = open_auto(AutoTokenizer, folder)
        return cls(tokenizer, settings)


def class_numbers(regions: Sequence[Regions], numbers: Mapping[str, int], count: int) -> torch.Tensor:
    """`region_classes` (B, R): the numbers of the regions' tags, `UNKNOWN` for padding and other tags."""
    classes = torch.full((len(regions), count), UNKNOWN, dtype=torch.long)
    for i, r in enumerate(regions):
        for j, tag in enumerate(r.tags[:count]):
            classes[i, j] = numbers.get(tag, UNKNOWN)
    return classes


def blank(regions: Regions) -> Regions:
    """The same picture with nothing to see in it: for text alone."""
    return regions.take(np.array([], dtype=np.int64))
