"""SetFit (Tunstall et al., 2022), with the defaults of its library but for the learning rate.

Those of setfit 1.2: the sentence encoder is trained for one epoch on pairs of training texts (batches of 16), then a
logistic regression on its embeddings. The encoder's learning rate is chosen like everybody's; SetFit's own, 2e-5, is
among those. By default the epoch holds every pair of one class and as many
pairs of two, which grows with the square of the rows: 544 pairs at 2 x 16 rows, 8,320 at 2 x 64, but half a million at
1,000 rows. Where there would be more than `MOST_PAIRS`, it draws 20 pairs of each sort a row, as the paper does.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import transformers

from benchmarks.rivals.competitor import BATCH_SIZE, Competitor, Outcome, Setting, Stopwatch
from benchmarks.rivals.rows import SCORED
from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.tasks import TaskData, accuracy

MOST_PAIRS = 20_000
PAPER_ITERATIONS = 20
"""R of the SetFit paper: so many pairs of one class, and so many of two, a row."""


class SetFit(Competitor):
    """`setfit.Trainer` with a logistic regression as the head."""

    name = "setfit"
    epochs: ClassVar[tuple[int, ...] | None] = (1,)

    def refusal(self, data: TaskData) -> str | None:
        if data.kind == "choice":
            return "SetFit classifies texts; the choices of each row are no classes"
        if data.has_pair:
            return (
                "SetFit does not take pairs of texts, its maintainers say "
                "(github.com/huggingface/setfit, issues 91 and 382)"
            )
        return None

    def identity(self) -> Any:
        try:
            found = {name: importlib.metadata.version(name) for name in ("setfit", "sentence-transformers")}
        except importlib.metadata.PackageNotFoundError as error:
            raise PolysenseError(
                f"setfit needs {error.name}: pip install setfit, or leave the competitor out"
            ) from None
        limits = [MOST_PAIRS, PAPER_ITERATIONS]
        return {**found, "transformers": transformers.__version__, "torch": torch.__version__, "pairs": limits}

    def run(self, data: TaskData, backbone: str, setting: Setting, seed: int) -> Outcome:
        setfit = importlib.import_module("setfit")
        train, scored = data.splits["train"], data.splits[SCORED]
        # Its callbacks print to standard output.
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            watch = Stopwatch()
            transformers.set_seed(seed)
            model = setfit.SetFitModel.from_pretrained(resolve_model(backbone))
            arguments = setfit.TrainingArguments(
                output_dir=folder,
                batch_size=BATCH_SIZE,
                num_epochs=setting.epochs,
                body_learning_rate=setting.learning_rate,
                num_iterations=PAPER_ITERATIONS if all_pairs(train["label"]) > MOST_PAIRS else None,
                seed=seed,
                save_strategy="no",
                report_to="none",
                show_progress_bar=False,
            )
            setfit.Trainer(model=model, args=arguments, train_dataset=train).train()
            training = watch.read()
            predicted = model.predict(scored["text"][:], as_numpy=True, show_progress_bar=False)
        return Outcome(accuracy(predicted, scored["label"]), training)


def all_pairs(labels: Sequence[int]) -> int:
    """Pairs that setfit trains on by default: those of one class and of two, the fewer drawn up to the more.

    A text with itself counts as a pair, since setfit 1.2 has those too.
    """
    counts = Counter(labels).values()
    rows = sum(counts)
    same = sum(count * (count + 1) // 2 for count in counts)
    return 2 * max(same, rows * (rows + 1) // 2 - same)
