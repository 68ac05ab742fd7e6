"""From raw text to what a model reads: the backbone's tokens and the prototypes of every modality."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerBase

from polysense.cache import Store
from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.loading import hub_errors
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.prototypes.reading import Reading
from polysense.text import Text, clean
from polysense.towers.registry import open_tower

PROCESSOR_FILE = "polysense_processor.json"


class PolysenseProcessor:
    """The backbone's tokenizer and one prototype extractor a modality; saved beside the model.

    Towers are saved by name and fingerprint, not copied: the file says which tower the model was trained with, and
    loading fails if another one stands under that name.

    Example:
        >>> processor = PolysenseProcessor.from_pretrained(folder)
        >>> model(**processor(["the color of a banana"])).logits
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        extractors: Mapping[str, PrototypeExtractor] | None = None,
        max_length: int = 128,
    ) -> None:
        self.tokenizer = tokenizer
        self.extractors = dict(extractors or {})
        self.max_length = max_length

    @classmethod
    def from_backbone(
        cls,
        source: str,
        towers: Mapping[str, str] | None = None,
        reading: Reading | None = None,
        max_length: int = 128,
        store: Store = None,
    ) -> Self:
        """For a model to fine-tune: the tokenizer of the backbone `source`, and towers opened by {modality: spec}.

        `store` is the root folder of stored prototypes, None the cache's, False keeps them in memory.
        """
        with hub_errors("backbone", source):
            tokenizer = AutoTokenizer.from_pretrained(resolve_model(source))
        extractors = {m: PrototypeExtractor(open_tower(spec), reading, store) for m, spec in (towers or {}).items()}
        return cls(tokenizer, extractors, max_length)

    @property
    def widths(self) -> dict[str, int]:
        """d_m by modality."""
        return {m: extractor.width for m, extractor in self.extractors.items()}

    def __call__(self, text: str | Sequence[str], text_pair: str | Sequence[str] | None = None) -> BatchEncoding:
        """The inputs of a model for one text or several, or for pairs: padded tensors on the CPU."""
        texts = as_texts(text, text_pair)
        return self.collate([self.tokenize(t) for t in texts], texts)

    def tokenize(self, text: Text) -> dict[str, list[int]]:
        """One text's token ids, cut to `max_length`."""
        parts = [clean(part) for part in (text if isinstance(text, tuple) else (text,))]
        return dict(self.tokenizer(*parts, truncation=True, max_length=self.max_length))

    def collate(self, tokens: Sequence[Mapping[str, Any]], texts: Sequence[Text]) -> BatchEncoding:
        """Pad tokenised texts and add their prototypes."""
        batch = self.tokenizer.pad([dict(row) for row in tokens], return_tensors="pt")
        if self.extractors:
            blocks = {m: extractor.block(texts) for m, extractor in self.extractors.items()}
            batch["prototypes"] = {m: block.features for m, block in blocks.items()}
            batch["prototype_masks"] = {m: block.mask for m, block in blocks.items()}
        return batch

    def prepare(self, texts: Sequence[Text], progress: bool = True) -> None:
        """Read the prototypes of all texts ahead, so that training and prediction only look them up."""
        for modality, extractor in self.extractors.items():
            extractor.prepare(texts, f"{modality} prototypes" if progress else None)

    def release_towers(self) -> None:
        """Free the towers' memory once all prototypes are read; a new text opens them again."""
        for extractor in self.extractors.values():
            extractor.release()

    def look_ahead(self, texts: Sequence[Text]) -> None:
        """Read the prototypes of all texts into memory, where they are not stored."""
        for extractor in self.extractors.values():
            extractor.look_ahead(texts)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer and the names, fingerprints and readings of the towers."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(str(folder))
        towers = {
            m: {"spec": e.spec, "fingerprint": e.fingerprint, "reading": e.reading.to_dict()}
            for m, e in self.extractors.items()
        }
        settings = {"max_length": self.max_length, "towers": towers}
        (folder / PROCESSOR_FILE).write_text(json.dumps(settings, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, source: str | Path, store: Store = None) -> Self:
        """Open what `save_pretrained` wrote; `store` as in `from_backbone`.

        Raises:
            PolysenseError: the folder holds no processor, or a tower is missing or not the one that was saved.
        """
        folder = Path(source)
        try:
            settings = json.loads((folder / PROCESSOR_FILE).read_text())
            max_length = int(settings["max_length"])
            towers = {m: (s["spec"], s["fingerprint"], Reading(**s["reading"])) for m, s in settings["towers"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PolysenseError(
                f"{folder} is no trained Polysense model: no readable {PROCESSOR_FILE} in it "
                f"({type(error).__name__}: {error}); train it again, or copy the whole folder again"
            ) from error
        extractors = {}
        for modality, (spec, fingerprint, reading) in towers.items():
            extractor = PrototypeExtractor(open_tower(spec), reading, store)
            if extractor.fingerprint != fingerprint:
                raise PolysenseError(
                    f"{folder}: its {modality} tower {spec} has changed since the model was trained; "
                    "put the old tower back or train again"
                )
            extractors[modality] = extractor
        with hub_errors("model", str(folder)):
            tokenizer = AutoTokenizer.from_pretrained(str(folder))
        return cls(tokenizer, extractors, max_length)


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
