"""The question of both papers over all their tasks at once: what all modalities add to text alone."""

from __future__ import annotations

from polysense.experiments.reproduce.catalogue import (
    TIAV,
    VISUAL_DATA,
    Column,
    Entry,
    Line,
    T,
    glue,
    squad,
    visual,
)

# fmt: off
BOTH: tuple[Entry, ...] = (
    Entry(
        "all-tasks",
        "MaCSC and MASE on the tasks of both papers (a table of neither)",
        "On average over tasks, MaCSC and MASE with all modalities are better than text alone.",
        ("BERT-base",),
        (
            *glue(),
            *squad(1, 0.05, "5%"),
            *squad(2, 0.05, "5%"),
            Column("CSQA 5%", "csqa", "accuracy", share=0.05),
            Column("CommonGen, BLEU-4", "commongen", "bleu4", ("test", "validation")),
            *visual(),
        ),
        (
            Line("text", T, "text", baseline=True),
            Line("MaCSC", TIAV, "macsc"),
            Line("MASE", TIAV, "mase"),
        ),
        differs=(
            "neither paper has this table, which puts the first and the last lines of their tables together",
            VISUAL_DATA,
        ),
    ),
)
# fmt: on
