"""What the papers' tables and figures are made of, as data: columns, lines, and the numbers that the papers print.

The papers' numbers are facts with a source. They are printed in a column of their own and enter no computation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from polysense.experiments.runs import Run

Scale = Literal["small", "paper"]
SCALES: tuple[Scale, ...] = ("small", "paper")

T: tuple[str, ...] = ()
TI = ("image",)
TIA = ("image", "audio")
TIAV = ("image", "audio", "video")

BASES: Mapping[str, str] = {
    "BERT-base": "bert-base-uncased",
    "RoBERTa-base": "roberta-base",
    "XLNet-large": "xlnet-large-cased",
    "T5-3b": "t5-3b",
}
"""The papers' names of backbones, and the models that they most likely are: the papers do not say which weights."""

Numbers = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        title: as the paper has it, with the task where the paper's head stands above several.
        task: ours.
        metric: ours.
        splits: ours; the first that the data have is the one that is reported.
        share: of the training rows; None for all.
        main: whether the column counts for an average over tasks: one of each task and share.
    """

    title: str
    task: str
    metric: str
    splits: tuple[str, ...] = ("validation",)
    share: float | None = None
    main: bool = True


@dataclass(frozen=True)
class Line:
    """A line of numbers.

    Attributes:
        label: as the paper has it.
        modalities: beside text; each has the tower of the scale.
        run: as `polysense compare --run` takes it, without these towers; None where the project has no such method.
        numbers: the paper's, by backbone: one a column, then the average if it is printed; None where it prints none.
        small: the run at small scale: another text where the paper's names a model of its size, None where it cannot
            run; by default `run`.
        baseline: whether it is what the paper's method has to beat.
        note: why there is no run, or what it has for another.
        probe: by scale, the options of `polysense probe` for a line without training.
        kind: what stands before each of its towers, e.g. "train:".
    """

    label: str
    modalities: tuple[str, ...]
    run: str | None
    numbers: Numbers = field(default_factory=dict)
    small: str | None = ""
    baseline: bool = False
    note: str = ""
    probe: Mapping[Scale, str] = field(default_factory=dict)
    kind: str = ""

    @property
    def runs_small(self) -> bool:
        """Whether it is computed at small scale, by a run or by a probe."""
        return (self.run if self.small == "" else self.small) is not None or "small" in self.probe

    def text(self, scale: Scale, towers: Mapping[str, str]) -> str | None:
        """The run with its towers, as `polysense compare --run` takes it; None where there is none.

        Args:
            towers: the scale's, by modality.
        """
        chosen = self.small if scale == "small" and self.small != "" else self.run
        if chosen is None:
            return None
        return ",".join([chosen, *(f"{m}={self.kind}{towers[m]}" for m in self.modalities)])


@dataclass(frozen=True)
class Entry:
    """A table or figure of a paper.

    Attributes:
        id: e.g. "macsc-table1".
        title: what it is.
        shows: what the paper takes from it.
        bases: names of backbones in `BASES`.
        columns, lines: of a table; none where `commands` do the work.
        differs: what is not as in the paper, at either scale.
        differs_small: what else is not, at small scale.
        commands: of a figure, or of a table that no comparison makes, by scale; `$OUT` is the folder of the output.
    """

    id: str
    title: str
    shows: str
    bases: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    lines: tuple[Line, ...] = ()
    differs: tuple[str, ...] = ()
    differs_small: tuple[str, ...] = ()
    commands: Mapping[Scale, tuple[str, ...]] = field(default_factory=dict)

    @property
    def runs_small(self) -> bool:
        """Whether `reproduce` computes it at small scale; else commands make it."""
        return bool(self.columns)

    def groups(self) -> dict[tuple[str, float | None], list[Column]]:
        """The columns that the same runs fill, by task and share of the training rows."""
        found: dict[tuple[str, float | None], list[Column]] = {}
        for column in self.columns:
            found.setdefault((column.task, column.share), []).append(column)
        return found

    def runs(self, scale: Scale, towers: Mapping[str, str], base: str | None = None) -> dict[str, Line]:
        """The distinct runs, with their lines.

        Args:
            base: only lines that the paper has for this backbone; those of no backbone of the table (CLIP alone) count
                to the first.
        """
        found: dict[str, Line] = {}
        for line in self.lines:
            text = line.text(scale, towers)
            known = [name for name in line.numbers if name in self.bases]
            of = known or (list(self.bases) if not line.numbers else list(self.bases[:1]))
            if text is not None and (base is None or base in of):
                found.setdefault(text, line)
        return found


def run_name(text: str) -> str:
    """What tables call a run."""
    return Run.parse(text).name


def glue() -> tuple[Column, ...]:
    """The six tasks of both papers' tables; Spearman's correlation for STS-B, else accuracy (MaCSC A.3)."""
    names = ("SST-2", "QNLI", "QQP", "MNLI", "MRPC", "STS-B")
    return tuple(
        Column(name, name.lower().replace("-", ""), "spearman" if name == "STS-B" else "accuracy") for name in names
    )


def squad(version: int, share: float | None = None, said: str = "") -> tuple[Column, Column]:
    """Accuracy (exact answers) and F1 of SQuAD.

    Args:
        version: 1 or 2.
        said: of the share, e.g. "5%".
    """
    name = " ".join(filter(None, (f"SQuAD v{version}" + (".1" if version == 1 else ""), said)))
    splits = ("test", "validation")
    return (
        Column(f"{name}, Acc.", f"squad_v{version}", "exact_match", splits, share),
        Column(f"{name}, F1", f"squad_v{version}", "f1", splits, share, main=False),
    )


def visual() -> tuple[Column, ...]:
    """Colours and shapes of objects."""
    return (
        Column("MemoryColor", "color", "accuracy", ("memory_color",)),
        Column("ColorTerm", "color", "accuracy", ("color_terms",), main=False),  # of the same runs
        Column("ObjectShape", "shape", "accuracy", ("test",)),
    )


def commongen() -> tuple[Column, ...]:
    """The four scores of generated sentences."""
    metrics = {"BLEU-4": "bleu4", "METEOR": "meteor", "ROUGE-L": "rouge_l", "CIDEr": "cider"}
    return tuple(
        Column(title, "commongen", metric, ("test", "validation"), main=metric == "bleu4")
        for title, metric in metrics.items()
    )


RETRIEVED = 'mpb,image="pictures:$PICTURES,encoder=openai/clip-vit-base-patch32"'
"""Pictures in the place of prototypes (+Image); `$PICTURES` is a folder of the user's."""

VAWI = "mpb,selection=syntax"
"""What the project has of VAWI: its choice of words by their part of speech."""

TOWER_ALONE = "tower,selection=pooled"
"""A contrastive text encoder with a classifier on its feature of the whole text ("CLIP +None")."""

SMALL_TOWER_ALONE = f"{TOWER_ALONE},method_learning_rate=1e-2"
"""At small scale (see `SMALL_TOWER_RATE`)."""

SMALL_TOWER_RATE = (
    "a tower alone learns at rate 1e-2 at small scale, chosen of 1e-4, 1e-3, 1e-2, 3e-2 and 1e-1 with the image tower, "
    "500 training rows and 800 held-out ones: SST-2 56.8, 62.0, 66.3, 65.9, 60.6; on MRPC, STS-B and QNLI no rate does "
    "better than chance by more than a few points"
)

VISUAL_DATA = (
    "the paper does not say what it trained on; here it is ViComTe's colours without MemoryColor's and ColorTerm's "
    "objects, and ViComTe's shapes"
)


def zero_shot() -> tuple[Line, ...]:
    """What models know of colours and shapes without training; both papers print the same numbers."""
    note = "not run at small scale: no model that predicts masked words comes with the package"
    clip: Mapping[Scale, str] = {"small": "--tower image", "paper": "--tower towers/clip"}
    return (
        Line("CLIP", TI, None, given(CLIP="27.3 24.9 19.8"), baseline=True, note=PROBED, probe=clip),
        *(
            Line(
                base,
                T,
                None,
                given(**{base: numbers}),
                baseline=True,
                note=note,
                probe={"paper": f"--backbone {model}"},
            )
            for base, model, numbers in (
                ("BERT-base", "bert-base-uncased", "25.1 26.7 31.5"),
                ("RoBERTa-base", "roberta-base", "26.9 25.4 32.3"),
            )
        ),
    )


UNTRAINED = (
    "CommonGen at small scale: no model that writes comes with the package, so a small encoder-decoder (3 + 3 layers, "
    "256 wide) is trained from nothing on the task's own sentences"
)
PROBED = "without training, by polysense probe; the papers do not say how they asked CLIP"
NO_PICTURES = "pictures were retrieved by a web search; give a folder of pictures with captions as PICTURES"
NO_PRETRAINING = "not reimplemented: it pre-trains the language model on pictures or generates them"
NEAR_VAWI = "not VAWI itself: its syntax-based choice of words, read by the image tower, in the proxy baseline"


def given(**numbers: str) -> dict[str, tuple[float | None, ...]]:
    """The papers' numbers as they stand in a line, by backbone: `given(BERT_base="89.3 87.9 -")`."""
    return {
        name.replace("_", "-"): tuple(None if word == "-" else float(word) for word in words.split())
        for name, words in numbers.items()
    }
