"""From raw text to what a model reads: the backbone's tokens and the prototypes of every modality."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerBase

from polysense.cache import Store
from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.folder import check_files, forget_checksums, leads_out, read_json
from polysense.loading import hub_errors, open_auto
from polysense.modality import MODALITIES
from polysense.models.graph_inputs import graph_inputs, text_mentions
from polysense.models.saved_files import is_of_processor
from polysense.prototypes.extractor import PrototypeExtractor, PrototypeSource
from polysense.prototypes.reading import Reading
from polysense.prototypes.trained import LiveTower, TrainedExtractor
from polysense.retrieval.opening import open_source
from polysense.scene_graphs.extractor import GraphExtractor
from polysense.text import Text, clean
from polysense.towers.registry import open_tower
from polysense.towers.tower import KINDS

logger = logging.getLogger(__name__)

PROCESSOR_FILE = "polysense_processor.json"

TOWERS = "towers"
"""Folder of the towers that were trained with the model."""

PLACES = "places"
"""Of a tokenised text: what its tokens stand for, which the backbone does not read."""


class PolysenseProcessor:
    """The backbone's tokenizer, one prototype extractor a modality, and scene graphs; saved beside the model.

    Towers are saved by name and fingerprint, not copied: the file says which tower the model was trained with, and
    loading fails if another one stands under that name. A tower that was trained with the model is its own: it is saved
    as a folder beside it, and frozen once it is loaded. Of the modalities in `own` the towers are such ones.

    Example:
        >>> processor = PolysenseProcessor.from_pretrained(folder)
        >>> model(**processor(["the color of a banana"])).logits
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        extractors: Mapping[str, PrototypeSource] | None = None,
        max_length: int = 128,
        graphs: GraphExtractor | None = None,
        own: Collection[str] = (),
    ) -> None:
        if graphs is not None and not tokenizer.is_fast:
            raise PolysenseError(
                f"backbone {tokenizer.name_or_path}: its tokenizer gives no character offsets, which scene graphs "
                "need; choose a backbone with a fast tokenizer"
            )
        if tokenizer.pad_token is None:
            if tokenizer.eos_token is None:
                raise PolysenseError(
                    f"backbone {tokenizer.name_or_path}: its tokenizer has neither a padding nor an end token; "
                    "set pad_token in its tokenizer_config.json"
                )
            # Decoders are trained without padding. What stands there is never looked at.
            tokenizer.pad_token = tokenizer.eos_token
        self.tokenizer = tokenizer
        self.extractors = dict(extractors or {})
        self.max_length = max_length
        self.graphs = graphs
        self.trained = {m: e for m, e in self.extractors.items() if isinstance(e, TrainedExtractor)}
        self.own = frozenset((*own, *self.trained))
        self.mentions = {m: e.mentions() for m, e in self.extractors.items()} if graphs is not None else {}

    @classmethod
    def from_backbone(
        cls,
        source: str,
        towers: Mapping[str, str] | None = None,
        reading: Reading | None = None,
        max_length: int = 128,
        store: Store = None,
        scene_graphs: bool = False,
    ) -> Self:
        """For a model to fine-tune: the tokenizer of the backbone `source`, and towers opened by {modality: spec}.

        `store` is the root folder of stored prototypes and graphs, None the cache's, False keeps them in memory.
        `scene_graphs` are for methods that look at them.
        """
        with hub_errors("backbone", source):
            tokenizer = open_auto(AutoTokenizer, resolve_model(source))
        extractors = {m: open_source(spec, reading, store) for m, spec in (towers or {}).items()}
        graphs = GraphExtractor(store) if scene_graphs else None
        if graphs is not None:
            _ = graphs.identity  # a parser that is missing shows before hours of reading
        return cls(tokenizer, extractors, max_length, graphs)

    @property
    def widths(self) -> dict[str, int]:
        """d_m by modality."""
        return {m: extractor.width for m, extractor in self.extractors.items()}

    def __call__(self, text: str | Sequence[str], text_pair: str | Sequence[str] | None = None) -> BatchEncoding:
        """The inputs of a model for one text or several, or for pairs: padded tensors on the CPU."""
        texts = as_texts(text, text_pair)
        return self.collate([self.tokenize(t) for t in texts], texts)

    def tokenize(self, text: Text) -> dict[str, Any]:
        """One text's token ids, cut to `max_length`, and with scene graphs the characters that each stands for."""
        parts = [clean(part) for part in (text if isinstance(text, tuple) else (text,))]
        encoding = self.tokenizer(*parts, truncation=True, max_length=self.max_length)
        if not encoding["input_ids"]:  # of a tokenizer that puts nothing around a text
            encoding = self.tokenizer(self.tokenizer.pad_token)
        return dict(encoding) if self.graphs is None else {**encoding, PLACES: token_places(encoding[0])}

    def collate(self, tokens: Sequence[Mapping[str, Any]], texts: Sequence[Text]) -> BatchEncoding:
        """Pad tokenised texts and add their prototypes and graphs."""
        rows = [{name: row[name] for name in row if name != PLACES} for row in tokens]
        # On the right whatever the tokenizer's habit: a token then has the same place in every batch.
        batch = self.tokenizer.pad(rows, return_tensors="pt", padding_side="right")
        if self.extractors:
            blocks = {m: e.block(texts) for m, e in self.extractors.items() if m not in self.trained}
            batch["prototypes"] = {m: block.features for m, block in blocks.items()}
            batch["prototype_masks"] = {m: block.mask for m, block in blocks.items()}
        if self.trained:
            batch["windows"] = {m: extractor.windows(texts) for m, extractor in self.trained.items()}
        if self.graphs is not None:
            places = [row[PLACES] for row in tokens]
            batch["graph"] = graph_inputs(texts, self.graphs.graphs(texts), places, self.mentions)
        return batch

    def begin_training(self) -> dict[str, LiveTower]:
        """The towers that are to be trained with a model, each as it was before any training; the model reads them."""
        return {m: extractor.begin() for m, extractor in self.trained.items()}

    def prepare(self, texts: Sequence[Text], progress: bool = True) -> None:
        """Read the prototypes and graphs of all texts ahead, so that training and prediction only look them up."""
        for modality, extractor in self.extractors.items():
            extractor.prepare(texts, f"{modality} prototypes" if progress else None)
        if self.graphs is not None:
            self.graphs.prepare(texts, "scene graphs" if progress else None)
            for modality, mentions in self.mentions.items():
                mentions.prepare(text_mentions(texts, self.graphs), f"{modality} entities" if progress else None)

    def release_towers(self) -> None:
        """Free the towers' and the parser's memory once all is read; a new text opens them again."""
        for extractor in self.extractors.values():
            extractor.release()
        if self.graphs is not None:
            self.graphs.release()

    def look_ahead(self, texts: Sequence[Text]) -> None:
        """Read the prototypes and graphs of all texts into memory, where they are not stored."""
        for extractor in self.extractors.values():
            extractor.look_ahead(texts)
        if self.graphs is not None:
            self.graphs.look_ahead(texts)
            for mentions in self.mentions.values():
                mentions.look_ahead(list(text_mentions(texts, self.graphs)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer, the names, fingerprints and readings of the towers, and the model's own towers."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        forget_checksums(folder)
        self.tokenizer.save_pretrained(str(folder))
        towers = {m: {**self._saved(m, folder), "reading": e.reading.to_dict()} for m, e in self.extractors.items()}
        graphs = self.graphs.identity if self.graphs is not None else None
        settings = {"max_length": self.max_length, "towers": towers, "scene_graphs": graphs}
        (folder / PROCESSOR_FILE).write_text(json.dumps(settings, indent=2) + "\n")

    def _saved(self, modality: str, folder: Path) -> dict[str, Any]:
        """What names a tower in a saved processor; one of the model's own is written."""
        extractor = self.extractors[modality]
        if modality not in self.own:
            return {"spec": extractor.spec, "fingerprint": extractor.fingerprint}
        tower, place = cast("PrototypeExtractor", extractor).tower, Path(TOWERS) / modality
        tower.save(folder / place)
        # As it is opened: a tokenizer may be written another way than it was read.
        fingerprint = open_tower(f"{tower.kind}{folder / place}").fingerprint()
        return {"spec": f"{tower.kind}{place.as_posix()}", "fingerprint": fingerprint, "own": True}

    @classmethod
    def from_pretrained(cls, source: str | Path, store: Store = None) -> Self:
        """Open what `save_pretrained` wrote; `store` as in `from_backbone`.

        Raises:
            PolysenseError: the folder holds no processor or a damaged one, or a tower is missing or not the one that
                was saved.
        """
        folder = Path(source)
        check_files(folder, is_of_processor)
        try:
            settings = read_json(folder / PROCESSOR_FILE)
            max_length, parser = _length(settings["max_length"]), settings.get("scene_graphs")
            towers = {
                m: (_name(s["spec"]), _name(s["fingerprint"]), Reading(**s["reading"]))
                for m, s in settings["towers"].items()
            }
            own = {m for m, s in settings["towers"].items() if s.get("own")}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PolysenseError(
                f"{folder} is no trained Polysense model: no readable {PROCESSOR_FILE} in it "
                f"({type(error).__name__}: {error}); train it again, or copy the whole folder again"
            ) from error
        graphs = GraphExtractor(store) if parser is not None else None
        if graphs is not None and graphs.identity != parser:
            logger.warning(
                "%s was trained on scene graphs of another parser (%s, here %s): predictions may differ",
                folder,
                parser,
                graphs.identity,
            )
        extractors = {}
        for modality, (spec, fingerprint, reading) in towers.items():
            if modality in own:
                place = (Path(TOWERS) / modality).as_posix()
                known = modality in MODALITIES and spec in [f"{kind}{place}" for kind in KINDS]
                if not known or leads_out(folder, place):
                    raise PolysenseError(
                        f"{folder / PROCESSOR_FILE}: {spec!r} is no tower of its own for {modality!r}; copy the whole "
                        "folder again"
                    )
                spec = f"{spec.removesuffix(place)}{folder / place}"
            extractor = open_source(spec, reading, store, saved=True)
            if extractor.fingerprint != fingerprint:
                raise PolysenseError(
                    f"{folder}: its {modality} tower {spec} has changed since the model was trained; "
                    "put the old tower back or train again"
                )
            extractors[modality] = extractor
        with hub_errors("model", str(folder)):
            tokenizer = open_auto(AutoTokenizer, folder)
        return cls(tokenizer, extractors, max_length, graphs, own)


def _length(value: int) -> int:
    """A number of tokens that tokenizers can count to, as it is saved."""
    if not 0 < value <= sys.maxsize:
        raise ValueError(f"max_length is {value}")
    return int(value)


def _name(value: str) -> str:
    """A saved text that may name a file."""
    if b"\0" in os.fsencode(value):
        raise ValueError(f"{value[:40]!r} names nothing")
    return value


def token_places(encoding: Encoding) -> NDArray[np.int32]:
    """(L, 3) what each token of a text or pair stands for, as in `graph_inputs`."""
    rows = [(owner or 0, *span) for owner, span in zip(encoding.sequence_ids, encoding.offsets, strict=True)]
    return np.array(rows, np.int32).reshape(-1, 3)


def as_texts(text: str | Sequence[str], text_pair: str | Sequence[str] | None = None) -> list[Text]:
    """One text or several, alone or in pairs, as a list.

    Raises:
        PolysenseError: the numbers of first and second texts differ.
    """
    firsts = [text] if isinstance(text, str) else list(text)
    if text_pair is None:
        return list(firsts)
    seconds = [text_pair] if isinstance(text_pair, str) else list(text_pair)
    if len(firsts) != len(seconds):
        raise PolysenseError(f"{len(firsts)} first texts but {len(seconds)} second texts")
    return list(zip(firsts, seconds, strict=True))
