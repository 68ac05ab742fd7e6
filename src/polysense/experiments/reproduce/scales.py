"""At what size a table is computed: the small scale, which two cores finish, and the papers' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polysense.modality import MODALITIES

SMALL_TOWERS: Mapping[str, str] = {modality: modality for modality in MODALITIES}
"""Those that ship."""

PAPER_TOWERS: Mapping[str, str] = {
    "image": "towers/clip",
    "audio": "towers/audioclip",
    "video": "towers/clip-vip",
}
"""Folders that `polysense towers convert` makes of the papers' checkpoints (MaCSC A.3)."""

PAPER_CHECKPOINTS: Mapping[str, str] = {
    "towers/clip": "ViT-B-32.pt",
    "towers/audioclip": "AudioCLIP-Full-Training.pt",
    "towers/clip-vip": "pretrain_clipvip_base_32.pt",
}

SMALL_SEEDS = 3
PAPER_SEEDS = 5


@dataclass(frozen=True)
class SmallTask:
    """How a task is run at small scale.

    Attributes:
        rows: of training, at most; None for all.
        low: rows of training where the paper has a share of them.
        scored: rows of each split that are scored, at most; None for all.
        settings: fields of `TrainingSettings`.
        untrained: whether the backbone, unless one is named, is an encoder-decoder that `polysense new-backbone` makes
            of the task: no model that writes comes with the package.
    """

    rows: int | None
    low: int | None = None
    scored: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    untrained: bool = False

    @property
    def is_low(self) -> bool:
        """Whether all rows that are trained on are no more than the share of them."""
        return self.low is None or (self.rows is not None and self.rows <= self.low)

    def rows_of(self, share: float | None) -> int | None:
        """Training rows of a column with this share."""
        return self.rows if share is None else self.low


_FAST = {"bf16": True, "group_by_length": True}
_GLUE = SmallTask(500, None, 1000, _FAST)
_SQUAD = {**_FAST, "learning_rate": 2e-4, "max_length": 192, "epochs": 1, "batch_size": 16}

SMALL: Mapping[str, SmallTask] = {
    **dict.fromkeys(("sst2", "qnli", "qqp", "mnli", "mrpc", "stsb"), _GLUE),
    # What can be had of the training rows is about the papers' 5%.
    "squad_v1": SmallTask(2000, None, 1000, _SQUAD),
    "squad_v2": SmallTask(2000, 2000, 1000, _SQUAD),
    "csqa": SmallTask(1000, 487, None, {**_FAST, "learning_rate": 1e-4}),
    "commongen": SmallTask(
        30_000, None, 500, {**_FAST, "learning_rate": 1e-3, "epochs": 2, "batch_size": 64, "max_length": 32}, True
    ),
    # Small as they are; the task's own settings were chosen at this size.
    "color": SmallTask(None),
    "shape": SmallTask(None),
}

SMALL_NOTES = (
    (
        "small scale: MiniLM (22M) is the backbone unless another is named, and the towers are those that ship, made "
        "from a few thousand things; the papers' backbones have 110M parameters and more, and their towers saw "
        "hundreds of millions of pairs"
    ),
    (
        "small scale: GLUE trains on 500 rows; where the paper has 5% of the training rows, CSQA has 487 (5%), SQuAD "
        "1.1 the 4,857 that can be had (5.5%) and SQuAD 2.0 2,000 (1.5%); where it has all, CSQA has 1,000, SQuAD 2,000"
    ),
)
"""What differs from every table of the papers."""
