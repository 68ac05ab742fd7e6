"""The modality gap of an aligned tower: real things, their captions, and the captions' prototypes in one space."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polysense.alignment.align import REPORT_FILE, SPACE_FILE, load_items
from polysense.alignment.kinds import kind_of
from polysense.alignment.space import FeatureSpace, part_tensors
from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.experiments.figures.gap import Cloud, GapMap, gap_between
from polysense.folder import read_json
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.towers.aligned import AlignedTower
from polysense.towers.packing import PackedTokens
from polysense.towers.registry import SHIPPED, open_tower

ITEMS = 1000
"""Of a source that are read, at most."""

_BATCH = 128


@torch.no_grad()
def gap_of_tower(
    tower: str,
    source: str,
    *,
    items: int = ITEMS,
    seed: int = 0,
    store: Store = None,
    progress: bool = True,
) -> GapMap:
    """Measure the gap of real things to their captions, and of the captions' prototypes to the captions.

    All are in the space that the tower was aligned in, comparable by cosine: things through the map that was fitted to
    them, texts and prototypes as they are before a tower centres and scales them. Every prototype of a caption counts.

    Args:
        tower: the name of a tower that ships, or a folder of `polysense align`.
        source: a folder or manifest of things with captions, as for `align`; the first caption of each is read.
        items: drawn by the seed where the source has more.
        seed: also of the cross-validation.
        store: of prototypes, as in `train`; it is only read.

    Raises:
        PolysenseError: no such tower, one that was not aligned to things, fewer than five things, or none readable.
    """
    opened = open_tower(tower)
    if not isinstance(opened, AlignedTower):
        raise PolysenseError(f"tower {tower}: not one of polysense align, so there is no space with real things in it")
    folder = Path(str(resources.files("polysense.towers") / "shipped" / tower if tower in SHIPPED else tower))
    modality = _modality(folder)
    kind = kind_of(modality)
    pairs = load_items(source, modality)
    if len(pairs) > items:
        chosen = np.sort(np.random.default_rng(seed).choice(len(pairs), items, replace=False))
        pairs = [pairs[i] for i in chosen.tolist()]
    raw = kind.features([pair.file for pair in pairs], progress=progress)
    space = FeatureSpace.load(folder / SPACE_FILE, raw.parts)
    pairs = [pairs[i] for i in raw.kept.tolist()]
    # By name, not by file: two pictures of one thing have the same caption.
    concepts = np.unique([pair.concept for pair in pairs], return_inverse=True)[1].astype(np.int64)
    captions = [pair.captions[0] for pair in pairs]
    texts = Cloud("texts", sentence_features(opened, captions), concepts)
    others = {
        "real": Cloud(f"{kind.item}s", space(part_tensors(raw.parts)).numpy(), concepts),
        "prototypes": _prototypes(opened, captions, concepts, store),
    }
    gaps = {name: gap_between(texts, cloud, seed) for name, cloud in others.items()}
    return GapMap(tower, modality, texts, others, gaps, source, len(raw.skipped))


def sentence_features(tower: AlignedTower, texts: Sequence[str]) -> NDArray[np.float32]:
    """Texts to (n, D) in the space of things, as `polysense zero-shot` compares them."""
    found = []
    for start in range(0, len(texts), _BATCH):
        batch = list(texts[start : start + _BATCH])
        ids = tower.tokenizer(batch, truncation=True, max_length=tower.max_length)["input_ids"]
        found.append(_before_scaling(tower, tower.encode(PackedTokens.pack(ids)).pooled))
    return np.concatenate(found)


def _prototypes(tower: AlignedTower, texts: Sequence[str], groups: NDArray[np.int64], store: Store) -> Cloud:
    """Every prototype of each text (MaCSC Eq. 1), in the space of things."""
    extractor = PrototypeExtractor(tower, store=store, device="cpu")
    extractor.look_ahead(texts)
    batch = extractor.batch(texts)
    there = np.arange(batch.features.shape[1]) < batch.counts[:, None]
    features = torch.from_numpy(batch.features[there].astype(np.float32))
    return Cloud("prototypes", _before_scaling(tower, features), np.repeat(groups, batch.counts))


def _before_scaling(tower: AlignedTower, features: Tensor) -> NDArray[np.float32]:
    return (features * tower.head.scale + tower.head.centre).numpy()


def _modality(folder: Path) -> str:
    try:
        return str(read_json(folder / REPORT_FILE)["modality"])
    except (OSError, ValueError, KeyError, TypeError):
        raise PolysenseError(
            f"{folder}: there is no {REPORT_FILE} that names its modality; align the tower anew"
        ) from None
