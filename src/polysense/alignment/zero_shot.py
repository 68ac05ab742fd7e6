"""Zero-shot classification: does a tower know pictures, sounds or clips by the names of their classes alone?"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from polysense.alignment.align import REPORT_FILE, SPACE_FILE, load_items
from polysense.alignment.kinds import kind_of
from polysense.alignment.space import FeatureSpace, part_tensors
from polysense.errors import PolysenseError
from polysense.folder import read_json
from polysense.towers.aligned import AlignedTower
from polysense.towers.packing import PackedTokens
from polysense.towers.registry import SHIPPED


@torch.no_grad()
def zero_shot(tower: str, source: str, *, progress: bool = True) -> dict[str, Any]:
    """Give each item the class whose name is nearest to it in a tower's space (cosine), and count how often it is its.

    Args:
        tower: the name of a shipped tower, or a folder of `polysense align`.
        source: a folder or manifest of items, as for `align`; the (first) caption of an item is its class.

    Returns:
        "tower", "modality", "source", "items", "classes", "accuracy" (a share), "chance" (of a class drawn evenly) and
        "recall" by class.

    Raises:
        PolysenseError: no such tower, one without a feature space, or of another modality than the items; no item
            that can be read; or a single class.
    """
    folder = Path(str(resources.files("polysense.towers") / "shipped" / tower if tower in SHIPPED else tower))
    modality = _modality(folder)
    pairs = load_items(source, modality)
    features = kind_of(modality).features([pair.file for pair in pairs], progress=progress)
    space = FeatureSpace.load(folder / SPACE_FILE, features.parts)
    items = space(part_tensors(features.parts))
    names = {pairs[i].concept: pairs[i].captions[0] for i in reversed(features.kept.tolist())}
    classes = sorted(names)
    if len(classes) < 2:
        raise PolysenseError(f"{source}: all items are of one class, {names[classes[0]]!r}; it takes two to tell apart")
    truth = torch.tensor([classes.index(pairs[i].concept) for i in features.kept.tolist()])
    queries = _read(AlignedTower.load(folder, tower), [names[concept] for concept in classes])
    right = (F.normalize(items, dim=-1) @ F.normalize(queries, dim=-1).T).argmax(dim=1) == truth
    return {
        "tower": tower,
        "modality": modality,
        "source": source,
        "items": len(items),
        "classes": len(classes),
        "accuracy": float(right.float().mean()),
        "chance": 1 / len(classes),
        "recall": {names[concept]: float(right[truth == i].float().mean()) for i, concept in enumerate(classes)},
    }


def _modality(folder: Path) -> str:
    try:
        return str(read_json(folder / REPORT_FILE)["modality"])
    except (OSError, ValueError, KeyError, TypeError):
        raise PolysenseError(
            f"{folder}: no tower of polysense align (there is no {REPORT_FILE} that names its modality)"
        ) from None


def _read(tower: AlignedTower, texts: list[str]) -> Tensor:
    """Texts to (n, D), comparable by cosine to items: what a tower gives, before it was centred and scaled."""
    ids = tower.tokenizer(texts, truncation=True, max_length=tower.max_length)["input_ids"]
    return tower.encode(PackedTokens.pack(ids)).pooled * tower.head.scale + tower.head.centre
