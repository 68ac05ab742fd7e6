"""Training steps with three modalities from the store: against text alone, and against towers in the loop.

`python -m benchmarks.training_step METHOD FOLDER` runs one method alone and prints its peak memory.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.clip_sized import save_tower, sst2_sentences
from benchmarks.prototypes import PlainTransformers
from benchmarks.timing import Benchmark, at_least, at_most, in_turn, memory_kilobytes
from polysense.methods.catalog import method_config
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.training.e_step import e_step

BATCH, BATCHES, ROUNDS = 32, 8, 30
WIDTHS = {"image": 512, "audio": 1024, "video": 512}
"""Of CLIP's, AudioCLIP's and CLIP-ViP's projections."""


class Steps:
    """Training steps of one method on MiniLM, over batches of 32 SST-2 sentences in turn.

    A step is what training does: pad the tokens, look up prototypes and graphs, forward, backward, AdamW.
    """

    def __init__(self, method: str, towers: dict[str, Path], store: Path) -> None:
        torch.manual_seed(0)
        chosen = method_config(method)
        specs = {m: str(folder) for m, folder in towers.items()} if chosen.multimodal else {}
        self.processor = PolysenseProcessor.from_backbone("minilm", specs, store=store, scene_graphs=chosen.uses_graph)
        texts = sentences()
        self.processor.prepare(texts, progress=False)
        self.processor.release_towers()
        config = PolysenseConfig(method=chosen.to_dict(), widths=self.processor.widths, num_labels=2)
        self.model = PolysenseForSequenceClassification.from_backbone("minilm", config).train()
        # As the Trainer's default has it.
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
        self.batches = itertools.cycle([texts[i * BATCH : (i + 1) * BATCH] for i in range(BATCHES)])
        self.tokens = {text: self.processor.tokenize(text) for text in texts}

    def __call__(self) -> None:
        texts = next(self.batches)
        inputs = self.processor.collate([self.tokens[text] for text in texts], texts)
        self.model(**inputs, labels=torch.arange(len(texts)) % 2).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def e_step(self) -> None:
        """What an E-step does with the next batch."""
        texts = next(self.batches)
        inputs = self.processor.collate([self.tokens[text] for text in texts], texts)
        e_step(self.model, self.model.combination, [{**inputs, "labels": torch.arange(len(texts)) % 2}])


def with_towers(steps: Steps, towers: dict[str, Path]) -> Callable[[], None]:
    """The same step with the towers run in it, as published code of this kind does."""
    plain = [PlainTransformers(folder) for folder in towers.values()]
    batches = itertools.cycle([sentences()[i * BATCH : (i + 1) * BATCH] for i in range(BATCHES)])

    def step() -> None:
        texts = next(batches)
        for tower in plain:
            tower(texts)
        steps()

    return step


def sentences() -> list[str]:
    """Sentences of SST-2's development set."""
    return sst2_sentences("dev", BATCH * BATCHES)


def benchmarks() -> list[Benchmark]:
    """All rows about training steps."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        towers = save_towers(root)
        store = root / "store"
        ours, mase, text = (Steps(method, towers, store) for method in ("macsc", "mase", "text"))
        own, with_graphs, alone = in_turn([ours, mase, text], ROUNDS, warm_up=3)
        reading = in_turn([mase.e_step], 10, warm_up=1)[0]
        slow = with_towers(Steps("macsc", towers, store), towers)
        own_beside, in_loop = in_turn([ours, slow], 5)
        peak = {method: peak_megabytes(method, root) for method in ("macsc", "text")}
    what = f"training step, MaCSC T+I+A+V from the store (MiniLM, {BATCH} SST-2 sentences)"
    per_step = mase.model.combination.sample  # rows that E-steps read for each row that training reads
    return [
        at_most(f"{what.replace('MaCSC', 'MASE')}, against text alone", _ms(with_graphs), _ms(alone), 1.6, "ms"),
        at_most(
            "its E-steps together, against the whole run",
            [per_step * t * 1000 for t in reading],
            [(per_step * t + step) * 1000 for t, step in zip(reading, with_graphs, strict=False)],
            0.15,
            "ms",
            f"milliseconds for each step of {BATCH} rows; {per_step} rows are read for each that is trained with",
        ),
        at_most(f"{what}, against text alone", _ms(own), _ms(alone), 1.35, "ms"),
        at_most("the same, peak memory of the process", [peak["macsc"]], [peak["text"]], 1.3, "MB"),
        at_least(
            "the same, steps a second against towers run in every step",
            [1 / t for t in own_beside],
            [1 / t for t in in_loop],
            5,
            "steps/s",
            "plain transformers, padded to 77, eager",
        ),
    ]


def save_towers(root: Path) -> dict[str, Path]:
    """One random tower a modality."""
    return {m: save_tower(root / m, width, seed) for seed, (m, width) in enumerate(WIDTHS.items())}


def peak_megabytes(method: str, root: Path) -> float:
    """Peak resident memory of a process that trains with one method, prototypes in the store."""
    command = [sys.executable, "-m", "benchmarks.training_step", method, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _ms(times: list[float]) -> list[float]:
    return [1000 * time for time in times]


def main(arguments: list[str]) -> Any:
    """Run one method's steps and print the peak memory in megabytes."""
    method, root = arguments[0], Path(arguments[1])
    steps = Steps(method, {m: root / m for m in WIDTHS}, root / "store")
    for _ in range(2 * BATCHES):
        steps()
    print(memory_kilobytes("VmHWM") / 1024)


if __name__ == "__main__":
    main(sys.argv[1:])
