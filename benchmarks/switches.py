"""What the switches of training cost and gain: `--bf16` and `--compile`, against steps without them.

`python -m benchmarks.switches SWITCH` runs one long batch's steps alone, with "bf16" or "plain", and prints their peak
memory.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

import torch

from benchmarks.made_up import sentences
from benchmarks.timing import Benchmark, in_turn, limit, memory_kilobytes, seconds
from polysense.methods.catalog import method_config
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor

PLAIN, BF16, COMPILE = "plain", "bf16", "compile"
LONG = (64, 100)
"""Texts a batch, and words a text: 102 tokens with the special ones."""

LENGTHS = (8, 16, 32, 64, 100)
"""Words a text of the batches that are compiled for, as batches of a data set differ."""

BATCH = 32
"""Texts a batch of those."""

ROUNDS = 5
PEAK_STEPS = 3
"""The peak is there after the second: AdamW keeps its moments from the first one on."""


class Steps:
    """Training steps of the text method, nothing but the backbone and a head, on MiniLM: forward, backward, AdamW.

    Args:
        switch: `PLAIN`, `BF16` or `COMPILE`, which does to the model what `train` does.
        batches: (texts, words a text) of each; a call takes a step with each of them.
    """

    def __init__(self, switch: str, batches: list[tuple[int, int]]) -> None:
        torch.manual_seed(0)
        processor = PolysenseProcessor.from_backbone("minilm", {}, store=False)
        config = PolysenseConfig(method=method_config("text").to_dict(), num_labels=2)
        self.model = PolysenseForSequenceClassification.from_backbone("minilm", config).train()
        if switch == COMPILE:
            self.model.backbone.compile(dynamic=True)
        self.precision = torch.autocast("cpu", torch.bfloat16, enabled=switch == BF16)
        # As the Trainer's default has it.
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
        self.batches = [
            {**processor(sentences(texts, words, words)), "labels": torch.arange(texts) % 2} for texts, words in batches
        ]

    def __call__(self) -> None:
        for batch in self.batches:
            with self.precision:
                loss = self.model(**batch).loss
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()


def benchmarks() -> list[Benchmark]:
    """Time and memory of bfloat16 on one long batch; the compiler's time and a step on batches of five lengths."""
    own, beside = in_turn([Steps(BF16, [LONG]), Steps(PLAIN, [LONG])], ROUNDS)
    what = f"--bf16, text on MiniLM, {LONG[0]} texts of {LONG[1] + 2} tokens"
    peak = {switch: peak_megabytes(switch) for switch in (BF16, PLAIN)}
    several = [(BATCH, words) for words in LENGTHS]
    compiled, plain = Steps(COMPILE, several), Steps(PLAIN, several)
    with torch.compiler.config.patch(force_disable_caches=True):  # else it finds what an earlier run compiled
        first = seconds(compiled)
    fast, usual = in_turn([compiled, plain], ROUNDS)
    lengths = f"--compile, text on MiniLM, {BATCH} texts of {', '.join(str(words + 2) for words in LENGTHS)} tokens"
    return [
        limit(f"{what}: step", statistics.median(own), statistics.median(beside), None, "s"),
        limit(f"{what}: peak memory of the process", peak[BF16], peak[PLAIN], None, "MB"),
        limit(f"{lengths}: compiling", first - statistics.median(fast), 0, None, "s"),
        limit(
            f"{lengths}: step, on average",
            statistics.median(fast) / len(LENGTHS),
            statistics.median(usual) / len(LENGTHS),
            None,
            "s",
        ),
    ]


def peak_megabytes(switch: str) -> float:
    """Peak resident memory of a process that takes steps with the long batch."""
    command = [sys.executable, "-m", "benchmarks.switches", switch]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main(arguments: list[str]) -> None:
    """Take steps with one switch and print the peak memory in megabytes."""
    steps = Steps(arguments[0], [LONG])
    for _ in range(PEAK_STEPS):
        steps()
    print(memory_kilobytes("VmHWM") / 1024)


if __name__ == "__main__":
    main(sys.argv[1:])
