"""`python -m benchmarks.growth.cost`: what GLUE costs on a GPU with BERT-base and three towers, computed, not measured.

Assumptions: products with weights count alone (a forward pass takes 2 operations a weight and token, a training step
6); padding to the longest of 32 random rows; three epochs. Towers are the text parts of CLIP ViT-B/32, AudioCLIP and
CLIP-ViP, 12 layers 512 wide each. The GPU is an A100 (312 TFLOP/s in bfloat16 by its data sheet) of which 30% are had.
What a method adds to a step is as measured on a CPU with MiniLM (docs/benchmarks.md), where it weighs more than beside
BERT-base.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from benchmarks.timing import print_rows

PEAK = 312e12
UTILISATION = 0.3
EPOCHS = 3
SEEDS = 5
TOWERS = 3
CONTEXT = 77
"""Tokens that CLIP's own code pads every text to."""

STEP = {"text": 1.0, "MaCSC": 1.15, "MASE": 1.16}
"""Of text alone; MASE's with its E-steps."""


@dataclass(frozen=True)
class Glue:
    """A task's training rows as published, and means over 2,000 of them by the tokenizers of BERT and CLIP.

    Attributes:
        texts: a row.
        padded: tokens of the backbone a row, padding included.
        read: tokens of a tower a row, without padding.
    """

    rows: int
    texts: int
    padded: float
    read: float


GLUE = {
    "SST-2": Glue(67_349, 1, 39.7, 12.9),
    "QNLI": Glue(104_743, 2, 100.8, 51.5),
    "QQP": Glue(363_846, 2, 73.1, 31.7),
    "MNLI": Glue(392_702, 2, 97.5, 40.3),
    "MRPC": Glue(3_668, 2, 80.7, 55.4),
    "STS-B": Glue(5_749, 2, 33.6, 22.5),
}


def weights(layers: int, width: int) -> int:
    """Of a transformer's layers: 4 d^2 of attention, 8 d^2 of the feed-forward network."""
    return layers * 12 * width**2


def hours(operations: float) -> float:
    """On one GPU."""
    return operations / (PEAK * UTILISATION) / 3600


def training_hours(method: str) -> float:
    """All epochs of all six tasks, without reading prototypes."""
    tokens = sum(task.rows * task.padded for task in GLUE.values())
    return STEP[method] * hours(6 * weights(12, 768) * tokens * EPOCHS)


def reading_hours(padded: bool = False) -> float:
    """The towers' forward passes over all rows, once."""
    tokens = sum(task.rows * (CONTEXT * task.texts if padded else task.read) for task in GLUE.values())
    return TOWERS * hours(2 * weights(12, 512) * tokens)


def table() -> list[dict[str, str]]:
    """GPU hours of a run over the six tasks, and with five seeds: of text alone, and of MaCSC and MASE together."""
    both = training_hours("MaCSC") + training_hours("MASE")
    reading = {
        "MaCSC and MASE, from a store": (reading_hours(), 0.0),
        "the same, towers in every step, packed": (0.0, EPOCHS * reading_hours()),
        "the same, towers in every step, padded to 77": (0.0, EPOCHS * reading_hours(padded=True)),
    }
    alone = training_hours("text")
    rows = [("text alone", "", f"{alone:.2f}", f"{SEEDS * alone:.1f}")]
    for name, (once, each) in reading.items():
        run = both + 2 * each
        rows.append((name, f"{once:.2f}" if once else "", f"{run:.2f}", f"{once + SEEDS * run:.1f}"))
    return [dict(zip(("what", "read once", "one seed", f"{SEEDS} seeds"), row, strict=True)) for row in rows]


def main(arguments: list[str]) -> int:
    """Print the table."""
    argparse.ArgumentParser("python -m benchmarks.growth.cost", description=__doc__).parse_args(arguments)
    print_rows(table(), "GPU hours for GLUE's six tasks")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
