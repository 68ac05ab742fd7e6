"""Texts that a decoder writes: rows, what is generated, and how it is scored."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from accelerate.utils import send_to_device
from datasets import Dataset
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PretrainedConfig

from polysense.errors import PolysenseError
from polysense.methods.catalog import MethodConfig
from polysense.methods.mase.token_information import TokenInformation, token_prior
from polysense.models import PolysenseForConditionalGeneration, PolysenseProcessor
from polysense.processes import gather_objects
from polysense.report import Answer, Row
from polysense.tasks import TaskData
from polysense.tasks.generation_metrics import check_java, score_generations
from polysense.text import Text, clean
from polysense.training.data import split_texts
from polysense.training.problems.base import Collate, Prediction, Problem
from polysense.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

NO_TOKEN = -100
"""Where a row of labels has no token; Hugging Face's losses pass over it."""

SAMPLES = 20
"""Texts that a run's results show."""


class GenerationRows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The rows of a split, sources and targets tokenised once; a target that is too long is cut and counted.

    Of several references the loss is that of the first.

    Args:
        by_length: put them in the order of their numbers of tokens.
        longest: tokens of a target, its end included.

    Raises:
        PolysenseError: a row to be scored has no reference.
    """

    def __init__(
        self, split: Dataset, processor: PolysenseProcessor, by_length: bool = False, longest: int = 32
    ) -> None:
        self.processor = processor
        texts = split_texts(split)
        tokens = [processor.tokenize(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]["input_ids"])) if by_length else range(len(texts))
        self.texts = [texts[i] for i in order]
        self.tokens = [tokens[i] for i in order]
        self.references: list[list[str]] | None = None
        if "references" in split.column_names:
            found = split["references"][:]
            self.references = [found[i] for i in order]
            bare = [row for row, references in enumerate(found, 1) if not references]
            if bare:
                raise PolysenseError(
                    f"row {bare[0]} of {len(found)} to be scored has no reference; give each at least one"
                )
        elif "target" in split.column_names:
            found = split["target"][:]
            self.references = [[found[i]] for i in order]
        self.labels = None
        if self.references is not None:
            targets = [target_tokens(processor, references[0]) for references in self.references]
            cut = sum(len(target) > longest for target in targets)
            if cut and "target" in split.column_names:
                logger.warning(
                    "%d of %d targets have more than %d tokens: their ends are left out (see max-target-length)",
                    *(cut, len(targets), longest),
                )
            self.labels = [target[:longest] for target in targets]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row's source."""
        return [len(row["input_ids"]) for row in self.tokens]

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = {"tokens": self.tokens[index], "text": self.texts[index]}
        if self.labels is not None:
            row["label"] = self.labels[index]
        return row

    def written(self, outputs: np.ndarray) -> list[str]:
        """(N, T) token ids as texts; what is below zero is padding."""
        ids = [[int(i) for i in row if i >= 0] for row in outputs]
        return [text.strip() for text in self.processor.tokenizer.batch_decode(ids, skip_special_tokens=True)]


def target_tokens(processor: PolysenseProcessor, text: str) -> list[int]:
    """The tokens of a text to write, in the way of the tokenizer's family, with the end token that some leave out."""
    tokenizer = processor.tokenizer
    # Not `verbose`: it would warn of a length that is cut later.
    ids: list[int] = tokenizer(text_target=clean(text), verbose=False)["input_ids"]
    end = tokenizer.eos_token_id
    return ids if end is None or ids[-1:] == [end] else [*ids, end]


def collate_generation(processor: PolysenseProcessor, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows of `GenerationRows` to the inputs of `PolysenseForConditionalGeneration`, padded on the right."""
    batch = dict(processor.collate([row["tokens"] for row in rows], [row["text"] for row in rows]))
    if "label" in rows[0]:
        labels = [torch.tensor(row["label"]) for row in rows]
        batch["labels"] = pad_sequence(labels, batch_first=True, padding_value=NO_TOKEN)
    return batch


@dataclass(frozen=True)
class Generation(Problem):
    """A text, written token by token.

    Attributes:
        max_target_length: tokens that are learnt and written at most.
        beams: of the search.
    """

    generates: ClassVar[bool] = True
    max_target_length: int = 32
    beams: int = 5

    def with_settings(self, settings: TrainingSettings) -> Generation:
        return Generation(settings.max_target_length, settings.beams)

    def check(self, data: TaskData) -> None:
        if set(data.labelled) - {"train"}:
            check_java()

    def notes(self, method: MethodConfig) -> tuple[str, ...]:
        if method.regulariser == "none":
            return ()
        return (
            f"{method.name}: its contrast ({method.regulariser}) is off where texts are written (MaCSC section 3.2)",
        )

    def target(self, data: TaskData) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def label_settings(self, data: TaskData) -> dict[str, Any]:  # noqa: ARG002
        return {"generation": {"max_new_tokens": self.max_target_length, "num_beams": self.beams}}

    def rows(self, split: Dataset, processor: PolysenseProcessor, by_length: bool = False) -> GenerationRows:
        return GenerationRows(split, processor, by_length, self.max_target_length)

    def collator(self, processor: PolysenseProcessor) -> Collate:
        return lambda rows: collate_generation(processor, rows)

    def outputs(self, model: Any, inputs: Mapping[str, Any]) -> Tensor:
        """(B, T) token ids, the tokenizer's padding after the end of a text."""
        ids: Tensor = model.generate(**{name: value for name, value in inputs.items() if name != "labels"})
        return ids

    def predictions(self, rows: GenerationRows, outputs: np.ndarray, config: PretrainedConfig) -> list[Prediction]:  # noqa: ARG002
        return [Prediction(text, {}) for text in rows.written(outputs)]

    def answers(
        self,
        rows: GenerationRows,
        outputs: np.ndarray,
        seen: Sequence[Row],  # noqa: ARG002
        config: PretrainedConfig,  # noqa: ARG002
    ) -> list[Answer]:
        return [Answer(text) for text in rows.written(outputs)]

    def score(
        self,
        data: TaskData,
        rows: GenerationRows,
        predictions: np.ndarray,
        config: PretrainedConfig,  # noqa: ARG002
    ) -> dict[str, float]:
        scores = score_generations(rows.written(predictions), rows.references or [])
        return {metric: scores[metric] for metric in data.metrics}

    def samples(self, model: Any, processor: PolysenseProcessor, data: TaskData) -> list[dict[str, Any]]:
        name = next((name for name in data.labelled if name != "train"), "train")
        split = data.labelled[name]
        some = split.select(np.linspace(0, len(split) - 1, min(SAMPLES, len(split))).astype(int).tolist())
        rows = self.rows(some, processor)
        written = generate_texts(model, processor, rows.texts, batch_size=SAMPLES)
        told = zip(rows.texts, written, rows.references or [], strict=True)
        return [{"split": name, "text": t, "generated": g, "references": r} for t, g, r in told]

    @torch.no_grad()
    def information(
        self, model: PolysenseForConditionalGeneration, batches: Iterable[dict[str, Any]]
    ) -> dict[str, float]:
        """I(h^m, y) in nats a token (Eq. 10): the decoder reads one modality alone, of the text the encoder's output.

        The prototypes are read as they are, not scaled by the z^m of before: what a modality says would else depend on
        what was thought of it, and one that has fallen to zero could never come back. H(y) is that of the sample's own
        token frequencies.
        """
        sample = list(batches)
        own = [batch["labels"][batch["labels"] != NO_TOKEN] for batch in sample]
        labels = torch.cat([tokens for some in gather_objects(own) for tokens in some])
        prior = token_prior(labels, len(model.backbone.get_output_embeddings().weight))
        weighting: Any = model.combination
        found = {m: TokenInformation(prior, weighting.tempered) for m in weighting.modalities}
        for batch in sample:
            inputs = send_to_device(batch, model.device)
            targets = inputs.pop("labels")
            real = targets != NO_TOKEN
            for m, part in model.parts(**inputs).items():
                known = part.mask.any(dim=1, keepdim=True).expand_as(real)
                logits = model.decode([part], labels=targets).logits
                found[m].add(logits[real], targets[real], known[real])
        return {m: each.join().value() for m, each in found.items()}


@torch.no_grad()
def generate_texts(
    model: PolysenseForConditionalGeneration,
    processor: PolysenseProcessor,
    texts: Sequence[Text],
    batch_size: int = 64,
    **generation: Any,
) -> list[str]:
    """What a model writes for each text, in their order.

    Args:
        model: left in the mode, training or not, that it was in.
        texts: sources, or pairs.
        batch_size: texts a step.
        generation: of `PolysenseForConditionalGeneration.generate`; what is not given is as the model was trained.
    """
    training, written = model.training, []
    model.eval()
    for start in range(0, len(texts), batch_size):
        some = texts[start : start + batch_size]
        inputs = processor.collate([processor.tokenize(text) for text in some], some)
        ids = model.generate(**send_to_device(dict(inputs), model.device), **generation)
        written += processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
    model.train(training)
    return [text.strip() for text in written]
