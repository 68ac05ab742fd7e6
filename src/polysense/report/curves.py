"""How a run went: losses, scores, learning rate, and the weights of modalities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from polysense.modality import MODALITIES, TEXT
from polysense.pages.bars import bar
from polysense.pages.markup import tag
from polysense.pages.wording import visible
from polysense.report import facts
from polysense.report.charts import Line, line_chart

Log = Sequence[Mapping[str, Any]]
"""The Trainer's `log_history`."""

_NO_SCORES = {"loss", "runtime", "samples_per_second", "steps_per_second", "model_preparation_time"}
_WEIGHTS = {
    "rho": "What each modality's prediction counts for in the mixture (ρ, MaCSC Eq. 11)",
    "z": "What each modality counts for (z, MASE Eq. 11)",
    "pi_z": "How much each pair of modalities counts in the contrast (π_z, MaCSC Eq. 6)",
}


def training(log: Log, score_note: str = "") -> Iterator[Element]:
    """Charts of losses, scores and learning rate over epochs.

    Args:
        score_note: what stands under each chart of a score.
    """
    losses = [Line("training", _over_epochs(log, "loss"))]
    losses += [
        Line(name.removeprefix("loss_").replace("_", " "), _over_epochs(log, name))
        for name in _names(log)
        if name.startswith("loss_")
    ]
    losses.append(Line("validation", _over_epochs(log, "eval_loss")))
    losses = [line for line in losses if line.points]
    if losses:
        yield line_chart("Loss and its terms", "epoch", losses)
    for name in _names(log):
        metric = name.removeprefix("eval_")
        if metric != name and metric not in _NO_SCORES:
            shown = metric.replace("_", " ")
            unit, scale = ("", 1.0) if metric in facts.UNSCALED else (", %", 100.0)
            points = [(x, scale * y) for x, y in _over_epochs(log, name)]
            chart = line_chart(f"Validation {shown}{unit}", "epoch", [Line(shown, points, "audio")])
            if score_note:
                chart.append(tag("figcaption", visible(score_note), class_="soft"))
            yield chart
    rates = _over_epochs(log, "learning_rate")
    if rates:
        yield line_chart("Learning rate", "epoch", [Line("of the backbone", rates, "video")], zero=True)


def e_steps(steps: Sequence[Mapping[str, Any]]) -> Iterator[Element]:
    """Charts of z and of the information that it comes from, over E-steps; z is even before the first.

    Args:
        steps: of the run's results, {"z": {modality: share}, "information": {modality: nats}} each.
    """
    if not steps:
        return
    modalities = list(steps[0]["z"])
    weights = [
        Line(m, [(0, 1 / len(modalities)), *((i, step["z"][m]) for i, step in enumerate(steps, 1))], _colour(m))
        for m in modalities
    ]
    yield line_chart("Weights of modalities (z, MASE Eq. 11)", "E-step", weights, zero=True, whole=True)
    information = [
        Line(m, [(i, step["information"][m]) for i, step in enumerate(steps, 1)], _colour(m))
        for m in steps[0]["information"]
    ]
    title = "What modalities say of the labels, in nats (MASE Eq. 10)"
    yield line_chart(title, "E-step", information, zero=True, whole=True)


def final_weights(weights: Mapping[str, Mapping[str, float]]) -> Iterator[Element]:
    """Bars of the weights at the end of training.

    Args:
        weights: of the run's results: by kind ("rho", "pi_z", "z"), then by modality or "modality,modality".
    """
    for kind, shares in weights.items():
        rows: list[Element] = []
        for name, share in shares.items():
            colour = _colour(name) or "other"
            first, second, third = bar(tag("bdi", visible(name.replace(",", " with "))), share)
            rows += [first, tag("div", second, class_=colour), third]
        heading = tag("h3", _WEIGHTS.get(kind, visible(kind)))
        yield tag("div", heading, tag("div", *rows, class_="bars"), class_="card text")


def _colour(name: str) -> str | None:
    """The house's colour of a modality; of a pair of them the first one's."""
    first = name.split(",", maxsplit=1)[0]
    return first if first in (TEXT, *MODALITIES) else None


def _names(log: Log) -> list[str]:
    """Everything that was logged, in the order that it first was."""
    return list(dict.fromkeys(name for entry in log for name in entry))


def _over_epochs(log: Log, name: str) -> list[tuple[float, float]]:
    return [(float(entry["epoch"]), float(entry[name])) for entry in log if name in entry and "epoch" in entry]
