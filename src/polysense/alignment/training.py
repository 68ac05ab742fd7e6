"""Training an aligned tower: the trunk is frozen, so each caption is read once and the adapters train in seconds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import trange

from polysense.alignment.contrast import symmetric_contrast
from polysense.alignment.retrieval import chance, retrieval_table
from polysense.alignment.space import FeatureSpace
from polysense.errors import PolysenseError
from polysense.towers.aligned import AlignedHead
from polysense.towers.memory import Memory


@dataclass(frozen=True)
class AlignmentSettings:
    """How an aligned tower is trained.

    Attributes:
        rank: of the adapters.
        components: kept of each part of the features.
        sharpness: of the memory at the start.
        steps, batch_size, learning_rate, weight_decay, dropout: of the training; dropout falls on caption states.
        held_out: share of the concepts that is kept for the scores.
        seed: of split, initial weights and batches.
    """

    rank: int = 16
    components: int = 64
    sharpness: float = 25.0
    steps: int = 300
    batch_size: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    dropout: float = 0.2
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "sharpness"):
            if not 0 < getattr(self, name) < math.inf:
                raise PolysenseError(f"{name.replace('_', '-')} must be more than 0, not {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise PolysenseError(f"seed must not be less than 0, nor 2^63 or more, not {self.seed}")


@dataclass(frozen=True)
class AlignmentData:
    """Captions and items (pictures, sounds, clips) by concept.

    Attributes:
        states: (n, d) the trunk's sentence state of each caption.
        token_states: (t, d) the trunk's states of salient tokens, from which the size of the features is learnt.
        text_concepts: (n,) concept numbers, 0 to C - 1.
        main: (n,) bool, the first caption of its concept: the memory's key.
        parts: raw features (m, raw) of the items by part.
        item_concepts: (m,).
        may_ship: (m,) bool, whether the item's licence lets its features into a memory.
    """

    states: Tensor
    token_states: Tensor
    text_concepts: Tensor
    main: Tensor
    parts: dict[str, Tensor]
    item_concepts: Tensor
    may_ship: Tensor


def split_concepts(count: int, held_out: float, seed: int) -> Tensor:
    """(count,) bool, True for the concepts held out; at least one of either kind."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held = torch.zeros(count, dtype=torch.bool)
    held[order[: min(max(1, round(held_out * count)), count - 1)]] = True
    return held


def build_memory(data: AlignmentData, items: Tensor, concepts: Tensor, sharpness: float) -> tuple[Memory, Tensor]:
    """One entry a concept: its main caption, the mean of its items' features `items` (m, D) that may ship.

    Args:
        concepts: (C,) bool, those that may enter.

    Returns:
        the memory and the concept number of each entry.
    """
    usable = data.may_ship & concepts[data.item_concepts]
    entry_concepts = data.item_concepts[usable].unique()
    number = torch.full((len(concepts),), -1)
    number[entry_concepts] = torch.arange(len(entry_concepts))
    sums = torch.zeros(len(entry_concepts), items.shape[1])
    sums.index_add_(0, number[data.item_concepts[usable]], items[usable])
    counts = torch.bincount(number[data.item_concepts[usable]], minlength=len(entry_concepts))
    keys = torch.zeros(len(entry_concepts), data.states.shape[-1])
    of_entry = data.main & (number[data.text_concepts] >= 0)
    keys[number[data.text_concepts[of_entry]]] = data.states[of_entry]
    return Memory(keys, sums / counts[:, None], sharpness), entry_concepts


def train_head(
    data: AlignmentData, settings: AlignmentSettings, progress: bool = True
) -> tuple[AlignedHead, FeatureSpace, dict[str, Any]]:
    """Train adapters and memory on most concepts, score them on the rest.

    While it trains, a caption may not read its own concept's entry: it has to learn to ask for what is like it. The
    memory that is returned holds the held-out concepts too; the scores are from before they entered.

    Returns:
        the head, the feature space, and the report: settings, counts, held-out retrieval.
    """
    torch.manual_seed(settings.seed)
    count = int(data.item_concepts.max()) + 1
    held = split_concepts(count, settings.held_out, settings.seed)
    train_items, train_texts = ~held[data.item_concepts], ~held[data.text_concepts]
    space = FeatureSpace.fit({p: x[train_items] for p, x in data.parts.items()}, settings.components)
    with torch.no_grad():
        items = space(data.parts)
    memory, entries = build_memory(data, items, ~held, settings.sharpness)
    head = AlignedHead(data.states.shape[-1], space.width, settings.rank, memory)
    untrained = _scores(head, data, items, held)
    _optimise(head, data, items, train_texts, train_items, entries, settings, progress)
    report = {
        "settings": asdict(settings),
        "concepts": count,
        "captions": len(data.states),
        "items": len(items),
        "entries": int(data.item_concepts[data.may_ship].unique().numel()),
        "held_out_concepts": int(held.sum()),
        "retrieval": {
            "chance": _chance(data, held),
            "unaligned trunk (least squares)": _least_squares_scores(data, items, held),
            "memory, untrained": untrained,
            "aligned": _scores(head, data, items, held),
        },
    }
    full, _ = build_memory(data, items, torch.ones(count, dtype=torch.bool), settings.sharpness)
    full.log_sharpness.data.copy_(head.memory.log_sharpness.data)
    head.memory = full
    head.standardise(data.token_states)
    return head, space, report


def _optimise(
    head: AlignedHead,
    data: AlignmentData,
    items: Tensor,
    train_texts: Tensor,
    train_items: Tensor,
    entries: Tensor,
    settings: AlignmentSettings,
    progress: bool,
) -> None:
    texts, pictures = train_texts.nonzero().squeeze(1), train_items.nonzero().squeeze(1)
    by_concept = _items_by_concept(data.item_concepts, pictures)
    log_scale = torch.nn.Parameter(torch.tensor(1 / 0.07).log())
    decayed = [p for p in head.parameters() if p.dim() > 1]
    rest = [p for p in head.parameters() if p.dim() <= 1] + [log_scale]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=settings.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    for _ in trange(settings.steps, desc="align", unit="step", disable=not progress, leave=False):
        text = texts[torch.randint(len(texts), (min(settings.batch_size, len(texts)),))]
        concepts = data.text_concepts[text]
        item = torch.stack([by_concept[c][int(torch.randint(len(by_concept[c]), ()))] for c in concepts.tolist()])
        states = F.dropout(data.states[text], settings.dropout)
        read = head(states, hidden=concepts[:, None] == entries[None, :])
        loss = symmetric_contrast(
            F.normalize(read, dim=-1),
            F.normalize(items[item], dim=-1),
            concepts,
            data.item_concepts[item],
            log_scale.exp().clamp(max=100.0),
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def _items_by_concept(concepts: Tensor, rows: Tensor) -> dict[int, Tensor]:
    order = rows[concepts[rows].argsort(stable=True)]
    values, counts = concepts[order].unique_consecutive(return_counts=True)
    return dict(zip(values.tolist(), order.split(counts.tolist()), strict=True))


@torch.no_grad()
def _scores(head: AlignedHead, data: AlignmentData, items: Tensor, held: Tensor) -> dict[str, float]:
    text, item = held[data.text_concepts] & data.main, held[data.item_concepts]
    read = head(data.states[text])
    return retrieval_table(read, items[item], data.text_concepts[text], data.item_concepts[item])


def _least_squares_scores(data: AlignmentData, items: Tensor, held: Tensor) -> dict[str, float]:
    """The trunk as it is, with the best linear map from its states to the features (ridge, on the training pairs)."""
    states = F.normalize(data.states, dim=-1)
    main = data.main & ~held[data.text_concepts]
    of_concept = torch.zeros(len(held), states.shape[1])
    of_concept[data.text_concepts[main]] = states[main]
    rows = ~held[data.item_concepts]
    x, y = of_concept[data.item_concepts[rows]], items[rows]
    mean_x, mean_y = x.mean(dim=0), y.mean(dim=0)
    gram = (x - mean_x).T @ (x - mean_x)
    ridge = 0.01 * len(x) * gram.diagonal().mean() / len(x) * torch.eye(len(gram))
    weights = torch.linalg.solve(gram + ridge, (x - mean_x).T @ (y - mean_y))
    text, item = held[data.text_concepts] & data.main, held[data.item_concepts]
    predicted = (states[text] - mean_x) @ weights + mean_y
    return retrieval_table(predicted, items[item], data.text_concepts[text], data.item_concepts[item])


def _chance(data: AlignmentData, held: Tensor) -> dict[str, float]:
    text = data.text_concepts[held[data.text_concepts] & data.main]
    item = data.item_concepts[held[data.item_concepts]]
    both = {"text_to_item": (text, item), "item_to_text": (item, text)}
    return {f"{way}_R@{k}": chance(*pair, k) for way, pair in both.items() for k in (1, 10)}
