"""Image-text retrieval: which picture does a text describe, and which text describes a picture?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from polysense.vision_language.annotations import read_captions
from polysense.vision_language.examples import Caption
from polysense.vision_language.models.configuration import CmalConfig
from polysense.vision_language.models.downstream import CmalForRetrieval
from polysense.vision_language.processing import CmalProcessor, blank
from polysense.vision_language.regions import Regions
from polysense.vision_language.scoring import retrieval_recall
from polysense.vision_language.tasks.task import Defaults, Split, Task


class Retrieval(Task[Caption]):
    """captions.json: recall at 1, 5 and 10 in both directions, and their mean.

    All pairs are scored by the vectors of their sides; the best of each text and of each picture are then read together
    and put in order by their matching score, as ALBEF does (Li et al. 2021, section 4): each text orders its own best
    pictures, each picture its own best texts. Without regions all pictures are alike.

    Args:
        rerank: how many of each text's pictures, and of each picture's texts, are read together; 0: none.
    """

    name = "retrieval"
    model = CmalForRetrieval
    defaults = Defaults(learning_rate=5e-5, steps=5_000, warmup=0.1)
    metric = "mean_recall"
    text_alone = False

    def __init__(self, rerank: int = 16) -> None:
        self.rerank = rerank

    def read(self, folder: Path) -> list[Caption]:
        return read_captions(folder / "captions.json")

    def text(self, example: Caption) -> str:
        return example.text

    def pictures(self, example: Caption) -> tuple[str, ...]:
        return (example.picture,)

    def labels(self, examples: Sequence[Caption], split: Split[Caption], config: CmalConfig) -> dict[str, Tensor]:  # noqa: ARG002
        numbers: dict[str, int] = {}
        return {"pictures": torch.tensor([numbers.setdefault(e.picture, len(numbers)) for e in examples])}

    @torch.no_grad()
    def evaluate(
        self, model: Any, processor: CmalProcessor, split: Split[Caption], batch_size: int = 64, progress: bool = True
    ) -> dict[str, float]:
        model.eval()
        names = list(dict.fromkeys(example.picture for example in split.examples))
        place = {name: i for i, name in enumerate(names)}
        gold = [place[example.picture] for example in split.examples]

        def batches(count: int, told: str) -> Iterator[slice]:
            for start in tqdm(range(0, count, batch_size), desc=told, disable=not progress, leave=False):
                yield slice(start, start + batch_size)

        def read(texts: Sequence[Sequence[int]], seen: Sequence[Regions]) -> dict[str, Tensor]:
            inputs = {**processor.text_inputs(texts), **processor.region_inputs(seen)}
            return {name: value.to(model.device) for name, value in inputs.items()}

        # A side's vector does not depend on the other side, so each is read with nothing beside it, and once.
        no_text, no_picture = processor.tokenize(""), blank(split.of(names[0]))
        text_vectors, picture_vectors = [], []
        for some in batches(len(gold), "texts"):
            texts = [split.tokens(example.text, processor) for example in split.examples[some]]
            text_vectors.append(model.embed(**read(texts, [no_picture] * len(texts)))[0].cpu())
        for some in batches(len(names), "pictures"):
            seen = [split.of(name) for name in names[some]]
            picture_vectors.append(model.embed(**read([no_text] * len(seen), seen))[1].cpu())
        to_picture = to_text = torch.cat(text_vectors) @ torch.cat(picture_vectors).T

        if self.rerank:
            near_picture, near_text = _best(to_picture, self.rerank, 1), _best(to_text, self.rerank, 0)
            rows, columns = (near_picture | near_text).nonzero(as_tuple=True)
            matched = []
            for some in batches(len(rows), "pairs"):
                texts = [split.tokens(split.examples[i].text, processor) for i in rows[some].tolist()]
                seen = [split.of(names[j]) for j in columns[some].tolist()]
                matched.append(model.match(**read(texts, seen)).cpu())
            # The log-odds themselves: as probabilities, those of sure pairs would all be 1.
            odds = torch.cat(matched)
            raised = torch.zeros_like(to_picture)
            raised[rows, columns] = odds - odds.min() + to_picture.max() + 1.0
            to_picture, to_text = (
                torch.where(near_picture, raised, to_picture), torch.where(near_text, raised, to_text)
            )  # fmt: skip
        found = retrieval_recall(to_picture.numpy(), gold, to_text=to_text.numpy())
        recalls = [*found.to_picture.at.values(), *found.to_text.at.values()]
        scores = {"mean_recall": sum(recalls) / len(recalls)}
        for name, recall in (("to_picture", found.to_picture), ("to_text", found.to_text)):
            scores |= {f"{name}/recall@{k}": value for k, value in recall.at.items()}
            scores[f"{name}/median_rank"] = recall.median_rank
        return scores


def _best(similarity: Tensor, count: int, dim: int) -> Tensor:
    """Bool of the same shape: the `count` highest along a dimension."""
    highest = similarity.topk(min(count, similarity.shape[dim]), dim=dim).indices
    return torch.zeros_like(similarity, dtype=torch.bool).scatter(dim, highest, value=True)
