"""Runs made up: of every kind, and of names and texts that are hard to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from polysense.report.looks import Answer, LeaveOut, Looks

NASTY = '<script>alert("&\'1\'")</script> ]]> \U0001f600 شارع \u202eevil\u202c \x1b[31mred\r\nnext </title> & "quotes"'
IMAGE, AUDIO, BOTH = ("image",), ("audio",), ("image", "audio")


@dataclass(frozen=True)
class Run:
    """What a report is made of."""

    results: dict[str, Any]
    log: list[dict[str, Any]]
    looks: Looks | None


def results(kind: str = "classification", **changed: Any) -> dict[str, Any]:
    """A run's results, as `train` returns them."""
    return {
        "task": "coda",
        "kind": kind,
        "method": "mase",
        "modalities": ["text", "image", "audio"],
        "metric": "accuracy",
        "metrics": ["accuracy"],
        "scores": {"validation": 0.625, "coda_test": 0.5},
        "weights": {"z": {"text": 0.5, "image": 0.3, "audio": 0.2}},
        "e_steps": [],
        "rows": {"train": 1500, "validation": 8, "coda_test": 4},
        "seconds": 12.5,
        "backbone": "models/my backbone",
        "method_choices": {"name": "mase", "interaction": "entity_injection", "options": {"interaction": {"heads": 4}}},
        "settings": {"learning_rate": 1e-4, "epochs": 3, "bf16": False, "method_learning_rate": None},
        "towers": {"image": "38f0f21d", "audio": "f6f3e293"},
        "scene_graphs": None,
        "notes": ["coda: a tenth of the objects"],
        "versions": {"polysense": "0.1.0", "torch": "2.13.0"},
        **changed,
    }


def training_log(metrics: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Three epochs."""
    log: list[dict[str, Any]] = []
    for epoch in range(3):
        loss = {"loss": 3.0 - epoch, "loss_prediction": 2.0 - epoch / 2, "loss_contrast": 1.0 - epoch / 2}
        log.append({**loss, "grad_norm": 3.0, "learning_rate": 1e-4 / (epoch + 1), "epoch": epoch + 1.0, "step": epoch})
        scores = {f"eval_{name}": values[epoch] for name, values in metrics.items()}
        log.append({"eval_loss": 2.5, **scores, "eval_runtime": 0.2, "epoch": epoch + 1.0, "step": epoch})
    return [*log, {"train_runtime": 10.0, "train_loss": 2.0, "epoch": 3.0, "step": 3}]


def e_steps(count: int) -> list[dict[str, Any]]:
    return [
        {
            "step": i,
            "z": {"text": 0.6 - i / 50, "image": 0.2 + i / 50, "audio": 0.2},
            "information": {"text": 0.1 * i, "image": 0.2 * i, "audio": 0.05},
            "seconds": 0.1,
        }
        for i in range(1, count + 1)
    ]


def judged(labels: Sequence[int], *values: int, confidence: float = 0.5) -> list[Answer]:
    pairs = zip(values, labels, strict=True)
    return [Answer(value, confidence + i / 100, value == label) for i, (value, label) in enumerate(pairs)]


def classes(rows: int = 8) -> Run:
    """Eight rows of four classes, of which "blue" never occurs; the image tells two, the sound confuses one."""
    labels = [0, 0, 1, 1, 2, 2, 0, 1]
    looks = Looks(
        split="validation",
        kind="classification",
        label_names=("red", "yellow", "green", "blue"),
        total=4000,
        numbers=[17, 20, 31, 44, 1205, 2000, 3100, 3999][:rows],
        rows=[{"text": f"the color of object {i}", "label": label} for i, label in enumerate(labels)][:rows],
        answers={
            (): judged(labels, 0, 0, 1, 1, 2, 0, 1, 2)[:rows],
            IMAGE: judged(labels, 0, 1, 2, 1, 2, 0, 2, 2)[:rows],
            AUDIO: judged(labels, 0, 0, 1, 1, 2, 2, 1, 2)[:rows],
            BOTH: judged(labels, 1, 1, 2, 1, 2, 0, 1, 2)[:rows],
        },
    )
    return Run(results(e_steps=e_steps(10)), training_log({"accuracy": (0.25, 0.5, 0.625)}), looks)


def values() -> Run:
    """Pairs with a value; the method has weights of pairs and of modalities, and no E-steps."""
    rows = [
        {"text": f"sentence {'very ' * (i % 9)}long", "text_pair": f"another {i}", "label": i / 12} for i in range(60)
    ]
    answers: dict[LeaveOut, list[Answer]] = {
        (): [Answer(row["label"] + 0.1 * (-1) ** i) for i, row in enumerate(rows)],
        IMAGE: [Answer(row["label"] + (0.4 if i < 3 else 0.05)) for i, row in enumerate(rows)],
    }
    looks = Looks("validation", "regression", None, 60, range(60), rows, answers)
    weights = {"rho": {"text": 0.4, "image": 0.6}, "pi_z": {"text,image": 1.0, "image,text": 1.0}}
    told = results(
        "regression",
        task="stsb",
        method="macsc",
        metric="spearman",
        metrics=["spearman"],
        scores={"validation": -0.125},
        weights=weights,
        modalities=["text", "image"],
        notes=[],
    )
    return Run(told, training_log({"spearman": (0.1, 0.2, float("nan"))}), looks)


def choices() -> Run:
    rows = [
        {"text": "Where does a fish live?", "choices": ["tree", "water", "sky"], "label": 1},
        {"text": "What is cold?", "choices": ["ice", "fire"], "label": 0},
        {"text": "What sings?", "choices": ["stone", "bird", "cup", "shoe"], "label": 1},
    ]
    labels = [row["label"] for row in rows]
    answers = {(): judged(labels, 1, 0, 2), IMAGE: judged(labels, 0, 0, 1)}
    looks = Looks("validation", "choice", None, 3, range(3), rows, answers)
    return Run(results("choice", task="csqa"), training_log({"accuracy": (0.2, 0.3, 0.4)}), looks)


CONTEXT = f"{'Nothing here. ' * 60}The red bird sings in the old tree. {'Nothing there. ' * 60}"


def spans() -> Run:
    """One question answered too long, one that has no answer and is given one, one that is answered with none."""
    start = CONTEXT.index("red bird")
    rows = [
        {"id": "a", "text": "Who sings?", "text_pair": CONTEXT, "answers": ["red bird", "bird"],
         "starts": [start, start + 4]},
        {"id": "b", "text": "Who swims?", "text_pair": CONTEXT, "answers": [], "starts": []},
        {"id": "c", "text": "Where?", "text_pair": "in the old tree", "answers": ["old tree"], "starts": [7]},
    ]  # fmt: skip
    answers = {
        (): [Answer("The red bird", 0.9, False, start - 4), Answer("old tree", 0.8, False, CONTEXT.index("old tree")),
             Answer("", 0.7, False)],
        IMAGE: [Answer("red bird", 0.4, True, start), Answer("", 0.0002, True), Answer("", 0.7, False)],
    }  # fmt: skip
    looks = Looks("validation", "span", None, 3, range(3), rows, answers)
    scores = {"validation/exact_match": 0.0, "validation/f1": 0.4}
    told = results(
        "span", task="squad_v2", metric="exact_match", metrics=["exact_match", "f1"], scores=scores, weights={}
    )
    return Run(told, training_log({"exact_match": (0.0, 0.1, 0.2), "f1": (0.2, 0.3, 0.4)}), looks)


def sentences() -> Run:
    rows = [
        {"text": "dog ball throw", "references": [f"Way {i} to throw a ball." for i in range(6)]},
        {"text": "cat mat sit", "target": "A cat sits on a mat."},
    ]
    answers = {
        (): [Answer("A dog throws a ball."), Answer("")],
        IMAGE: [Answer("A ball throws a dog."), Answer("")],
    }
    looks = Looks("validation", "generation", None, 2, range(2), rows, answers)
    scores = {f"{split}/{metric}": 0.25 for split in ("validation", "test") for metric in ("bleu4", "meteor")}
    told = results("generation", task="commongen", metric="bleu4", metrics=["bleu4", "cider"],
                   scores={**scores, "validation/cider": 9.75}, rows={"validation": 2})  # fmt: skip
    return Run(told, training_log({"bleu4": (0.1, 0.2, 0.25), "cider": (5.0, 8.0, 9.75)}), looks)


def _named(name: str) -> Run:
    """Everything that is a text or a name is this one."""
    labels = [0, 1, 1]
    looks = Looks(
        split=name,
        kind="classification",
        label_names=(name, f"{name}2"),
        total=3,
        numbers=range(3),
        rows=[{"text": name, "text_pair": name, "label": label} for label in labels],
        answers={(): judged(labels, 0, 0, 1), (name,): judged(labels, 1, 1, 0), ("image",): judged(labels, 0, 1, 1)},
    )
    told = results(
        **dict.fromkeys(("task", "method", "backbone"), name),
        modalities=["text", name],
        metric=name,
        metrics=[name],
        scores={"validation": 0.25, f"{name}/{name}": 0.5, name: 0.25},
        weights={"rho": {"text": 0.5, name: 0.5}, name: {name: 1.0}},
        e_steps=[{"step": 1, "z": {name: 1.0}, "information": {name: 0.5}, "seconds": 1.0}],
        rows={name: 3},
        method_choices={name: name},
        notes=[name],
        settings={name: name},
        towers={name: name},
        versions={name: name},
    )
    log = [{"loss": 1.0, f"loss_{name}": 1.0, "epoch": 1.0}, {"eval_loss": 1.0, f"eval_{name}": 0.5, "epoch": 1.0}]
    return Run(told, log, looks)


def nasty() -> Run:
    """Every text and name is hostile, and one name is a lone surrogate."""
    labels = [0, 1, 1]
    looks = Looks(
        split=NASTY,
        kind="classification",
        label_names=(NASTY, "<b>\ud800"),
        total=3,
        numbers=range(3),
        rows=[
            {"text": NASTY, "text_pair": "<img src=x onerror=alert(1)> " + "long " * 500, "label": i} for i in labels
        ],
        answers={(): judged(labels, 0, 0, 1), ("<m>",): judged(labels, 1, 1, 0), ("image",): judged(labels, 0, 1, 1)},
    )
    hostile = dict.fromkeys(("task", "method", "backbone"), NASTY)
    told = results(
        **hostile,
        modalities=["text", "<m>"],
        scores={f"{NASTY}/accuracy": 0.5, "\ud800": 0.25},
        weights={"rho": {"text": 0.5, "<m>": 0.5}, NASTY: {"a,b": 1.0}},
        e_steps=[{"step": 1, "z": {"<m>": 1.0}, "information": {"<m>": 0.5}, "seconds": 1.0}],
        notes=[NASTY],
        settings={NASTY: NASTY},
        towers={NASTY: {"inner": NASTY}},
    )
    log = [{"loss": float("nan"), f"loss_{NASTY}": 1.0, f"eval_{NASTY}": 0.5, "learning_rate": 0.0, "epoch": 1.0}]
    return Run(told, log, looks)


def bare() -> Run:
    """Nothing was logged or looked at."""
    return Run(results(weights={}, notes=[], modalities=["text"], method="text"), [], None)


MADE_UP: dict[str, Callable[[], Run]] = {
    made.__name__: made for made in (classes, values, choices, spans, sentences, nasty, bare)
}


@pytest.fixture(params=list(MADE_UP))
def made_up(request: pytest.FixtureRequest) -> Run:
    """Each of them in turn."""
    return MADE_UP[request.param]()


@pytest.fixture
def run() -> Callable[[str], Run]:
    """One of them by name."""
    return lambda name: MADE_UP[name]()


@pytest.fixture
def named() -> Callable[[str], Run]:
    """One whose texts and names are all the same."""
    return _named
