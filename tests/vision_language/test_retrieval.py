"""Retrieval: vectors, then the best pairs read together."""

from __future__ import annotations

import pytest
import torch

from polysense.vision_language.examples import Caption
from polysense.vision_language.tasks import Split
from polysense.vision_language.tasks.retrieval import Retrieval
from vision_language.data_folder import model_config, processor_of, regions_of

CAT, DOG, MAT = ("red", "cat"), ("yellow", "dog"), ("red", "mat")


class TableModel:
    """A retrieval model whose scores are tables: similarity of texts and pictures, and log-odds of pairs.

    Texts are told by their length in tokens, pictures by their number of regions.
    """

    device = torch.device("cpu")

    def __init__(self, similarity: list[list[float]], odds: list[list[float]]) -> None:
        self.similarity, self.odds = torch.tensor(similarity), torch.tensor(odds)
        self.read: list[tuple[int, int]] = []
        self.embedded: list[tuple[int, int]] = []

    def eval(self) -> TableModel:
        return self

    def _who(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs["attention_mask"].sum(1) - 3, inputs["region_mask"].sum(1) - 1

    def embed(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        texts, pictures = self._who(inputs)
        self.embedded += list(zip(texts.tolist(), pictures.tolist(), strict=True))
        return self.similarity[texts], torch.eye(self.similarity.shape[1])[pictures]

    def match(self, **inputs: torch.Tensor) -> torch.Tensor:
        texts, pictures = self._who(inputs)
        self.read += list(zip(texts.tolist(), pictures.tolist(), strict=True))
        return self.odds[texts, pictures]


def retrieve(model: TableModel, gold: list[int], rerank: int, batch_size: int = 2) -> dict[str, float]:
    """Text i is i + 1 words, picture j has j + 1 regions; pictures come in the order of their first text."""
    things = [CAT, DOG, MAT]
    regions = {f"p{j}": regions_of(things[: j + 1]) for j in range(model.similarity.shape[1])}
    examples = [Caption(f"p{j}", " ".join(["cat"] * (i + 1))) for i, j in enumerate(gold)]
    return Retrieval(rerank).evaluate(model, processor_of(), Split(examples, regions), batch_size, progress=False)


SIMILAR = [[0.9, 0.1, 0.0], [0.8, 0.2, 0.1], [0.7, 0.6, 0.5], [0.3, 0.2, 0.1]]
GOLD = [1, 0, 2, 0]  # two captions of picture 0, and not in its order


def test_retrieval_ranks_by_the_vectors():
    model = TableModel(SIMILAR, [[0.0] * 3] * 4)
    scores = retrieve(model, GOLD, rerank=0)
    assert model.read == []
    # Each text and each picture once, with nothing (-1) on the other side.
    assert sorted(model.embedded) == [(-1, 0), (-1, 1), (-1, 2), (0, -1), (1, -1), (2, -1), (3, -1)]
    # Texts find their pictures at ranks 2, 1, 3 and 1. Pictures find texts: picture 0 its best (0.8) behind 0.9, rank
    # 2; picture 1 its only one (0.1) last, rank 4; picture 2 (0.5) first.
    assert scores == {
        "mean_recall": pytest.approx((2 / 4 + 1 + 1 + 1 / 3 + 1 + 1) / 6),
        "to_picture/recall@1": 0.5, "to_picture/recall@5": 1, "to_picture/recall@10": 1,
        "to_picture/median_rank": 1.5,
        "to_text/recall@1": pytest.approx(1 / 3), "to_text/recall@5": 1, "to_text/recall@10": 1,
        "to_text/median_rank": 2,
    }  # fmt: skip


def test_retrieval_reranks_the_best_pairs_and_puts_them_first():
    # The best picture of each text is 0; the best texts of the pictures are 0, 2 and 2.
    odds = [[50.0, 0.0, 0.0], [51.0, 0.0, 0.0], [-60.0, -70.0, -40.0], [52.0, 0.0, 0.0]]
    model = TableModel(SIMILAR, odds)
    scores = retrieve(model, GOLD, rerank=1, batch_size=3)
    assert sorted(model.read) == [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (3, 0)]
    # One picture a text is raised, always 0: that pictures 1 and 2 chose text 2, too, changes nothing for text 2.
    assert scores["to_picture/recall@1"] == 0.5
    # One text a picture is raised: that texts 1 and 3 chose picture 0 changes nothing for picture 0, which chose 0.
    assert scores["to_text/recall@1"] == pytest.approx(1 / 3) and scores["to_text/median_rank"] == 2


def test_retrieval_reranks_by_log_odds():
    odds = [[50.0, 49.0, 0.0], [51.0, 0.0, 0.0], [-60.0, -70.0, -40.0], [52.0, 0.0, 0.0]]
    scores = retrieve(TableModel(SIMILAR, odds), GOLD, rerank=4)  # all pairs
    # Text 2 finds picture 2 first, though all its log-odds are far below 0; text 0 still prefers picture 0.
    assert scores["to_picture/recall@1"] == 0.75
    # Picture 0 finds text 3 first: log-odds of 50 and 52 differ, though their probabilities do not; picture 1 text 0,
    # its own; picture 2 its own text last.
    assert scores["to_text/recall@1"] == pytest.approx(2 / 3) and scores["to_text/median_rank"] == 1


def test_each_direction_raises_its_own_pairs():
    """A pair that only the picture chose must not come before what the text chose."""
    similar = [[0.9, 0.8], [0.1, 0.0]]  # text 1 is far from both; both pictures choose text 0, both texts picture 0
    model = TableModel(similar, [[0.0, 9.0], [0.0, 0.0]])
    scores = retrieve(model, [0, 1], rerank=1)
    assert sorted(model.read) == [(0, 0), (0, 1), (1, 0)]
    # With one matrix, picture 1's log-odds of 9 would take text 0 away from picture 0.
    assert scores["to_picture/recall@1"] == 0.5 and scores["to_picture/median_rank"] == 1.5
    assert scores["to_text/recall@1"] == 0.5


def test_retrieval_learns_which_captions_share_a_picture():
    examples = [Caption(p, "t") for p in ("b", "a", "b", "c")]
    labels = Retrieval().labels(examples, Split(examples, {}), model_config())
    assert labels["pictures"].tolist() == [0, 1, 0, 2]
