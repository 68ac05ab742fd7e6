"""What runs made of their modalities: z over the E-steps (MASE Figure 4), and rho and pi_z at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from polysense.errors import PolysenseError
from polysense.experiments.figures.style import PALETTE, grid_shape, label
from polysense.folder import RESULTS_FILE, read_json
from polysense.training.weights_figure import COLOURS, plot_weights, weight_paths

_MADE_WITH = ("backbone", "method_choices", "towers", "scene_graphs", "train_rows")
"""What a run's results say of how it was made, beside its settings."""

_SIGNS = {"rho": "rho (MaCSC Eq. 11)", "pi_z": "pi_z (MaCSC Eq. 6)", "z": "z (MASE Eq. 1)"}


@dataclass(frozen=True)
class RunWeights:
    """What one run's results say of its modalities.

    Attributes:
        task, method: as in results.json.
        modalities: text first.
        seed: of the run.
        e_steps: as in `e_step_history`; empty for a method without E-steps.
        final: "rho" or "z" by modality and "pi_z" by pair "m,k", each where the method has it.
        made_with: settings and all else that the run was made with, but the seed.
        source: the file.
    """

    task: str
    method: str
    modalities: tuple[str, ...]
    seed: int
    e_steps: Sequence[Mapping[str, Any]]
    final: Mapping[str, Mapping[str, float]]
    made_with: Mapping[str, Any]
    source: Path

    @property
    def group(self) -> tuple[str, str, tuple[str, ...]]:
        """Runs of one group may differ in their seed alone."""
        return self.task, self.method, self.modalities


Groups = Mapping[tuple[str, str, tuple[str, ...]], Sequence[RunWeights]]


def read_runs(sources: Sequence[str | Path]) -> dict[tuple[str, str, tuple[str, ...]], list[RunWeights]]:
    """The runs' weights by task, method and modalities, in the order in which they were given.

    Args:
        sources: folders that `train` wrote, or their results.json.

    Raises:
        PolysenseError: none is given, a file is not a run's results, a method has no weights, or runs of a group have
            the same seed, were made with other settings, or have another number of E-steps.
    """
    if not sources:
        raise PolysenseError("give at least one folder of a trained model, or its results.json")
    groups: dict[tuple[str, str, tuple[str, ...]], list[RunWeights]] = {}
    for source in sources:
        run = read_run(Path(source))
        for other in groups.setdefault(run.group, []):
            if other.seed == run.seed:
                raise PolysenseError(
                    f"{run.source} and {other.source} are both {run.method} on {run.task} with seed {run.seed}: "
                    "give each run once, and runs that differ in more than the seed one by one"
                )
            _check_made_alike(run, other)
            if len(other.e_steps) != len(run.e_steps) or set(other.final) != set(run.final):
                raise PolysenseError(
                    f"{run.source} and {other.source} have other weights, or {len(run.e_steps)} and "
                    f"{len(other.e_steps)} E-steps: no mean can be drawn; give them one by one"
                )
        groups[run.group].append(run)
    return groups


def read_run(source: Path) -> RunWeights:
    """What a run's results.json, or the one in its folder, says of its modalities; errors as `read_runs`."""
    file = source / RESULTS_FILE if source.is_dir() else source
    try:
        held = read_json(file)
        run = RunWeights(
            task=str(held["task"]),
            method=str(held["method"]),
            modalities=tuple(map(str, held["modalities"])),
            seed=int(held["settings"]["seed"]),
            e_steps=[{"z": _numbers(e_step["z"])} for e_step in held["e_steps"]],
            final={kind: _numbers(held["weights"][kind]) for kind in _SIGNS if kind in held["weights"]},
            made_with={
                **{name: held[name] for name in _MADE_WITH if name in held},
                **{name: value for name, value in held["settings"].items() if name != "seed"},
            },
            source=file,
        )
        _check_names(run)
    except OSError as error:
        raise PolysenseError(
            f"{file}: cannot be read ({error.strerror or error}); give a trained model's folder"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise PolysenseError(
            f"{file}: not the results of polysense train ({reason}); give a trained model's folder"
        ) from None
    if not run.final:
        raise PolysenseError(f"{file}: method {run.method} has no weights of modalities; give runs of macsc or mase")
    return run


def weights_numbers(groups: Groups) -> dict[str, Any]:
    """Mean and standard deviation over the seeds (None for one seed) of all that the figure shows, as JSON values."""
    return {
        "figure": "weights",
        "groups": [
            {
                "task": task,
                "method": method,
                "modalities": list(modalities),
                "seeds": [run.seed for run in runs],
                "runs": [str(run.source) for run in runs],
                "z_by_e_step": {m: _spread(weight_paths(_histories(runs), m)) for m in modalities}
                if runs[0].e_steps
                else {},
                "final": {
                    kind: {name: _spread(values) for name, values in _final(runs, kind).items()}
                    for kind in runs[0].final
                },
            }
            for (task, method, modalities), runs in groups.items()
        ],
    }


def draw_groups(groups: Groups) -> Figure:
    """A panel for each history of z, and one for each kind of final weight that has none; bars have a dot a seed."""
    panels: list[tuple[Sequence[RunWeights], str]] = []
    for runs in groups.values():
        first = runs[0]
        panels += [(runs, "history")] if first.e_steps else []
        panels += [(runs, kind) for kind in first.final if kind != "z" or not first.e_steps]
    down, across = grid_shape(len(panels))
    figure = Figure(figsize=(4.6 * across, 0.6 + 3.5 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    colours = _colours(groups)
    for axes, (runs, kind) in zip(grid, panels, strict=False):
        if kind == "history":
            plot_weights(axes, _histories(runs))
        elif kind == "pi_z":
            _draw_pairs(axes, _final(runs, kind), runs[0].modalities, colours)
        else:
            _draw_bars(axes, _final(runs, kind), colours, kind)
        seeds = f"{len(runs)} seeds" if len(runs) > 1 else f"seed {runs[0].seed}"
        axes.set_title(f"{label(runs[0].task)}, {label(runs[0].method)} ({seeds})", fontsize="medium")
    shown = {
        text: handle
        for axes in grid[: len(panels)]
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if any(len(runs) > 1 for runs in groups.values()):
        figure.supxlabel(
            "bands: one standard deviation over seeds; dots: seeds; dotted lines: even weights", fontsize=8
        )
    figure.legend([*shown.values()], [*shown], frameon=False, ncols=max(2, len(shown)), loc="outside upper center")
    return figure


def _draw_bars(axes: Axes, final: Mapping[str, NDArray[np.float64]], colours: Mapping[str, str], kind: str) -> None:
    for place, (m, values) in enumerate(final.items()):
        _bar(axes, place, values, colours[m], 0.7, m)
    # Without a modality that matters more than the others, every bar would end at this line.
    axes.axhline(1 / len(final), color="#888888", lw=1, ls=":")
    axes.set_xticks(range(len(final)), [label(m) for m in final])
    axes.set(ylabel=_SIGNS[kind], ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)


def _draw_pairs(
    axes: Axes, final: Mapping[str, NDArray[np.float64]], modalities: Sequence[str], colours: Mapping[str, str]
) -> None:
    """A group of bars for each modality m: its weights over the others, which sum to 1."""
    width = 0.8 / max(len(modalities) - 1, 1)
    for place, m in enumerate(modalities):
        others = [k for k in modalities if f"{m},{k}" in final]
        for i, k in enumerate(others):
            middle = place + (i - (len(others) - 1) / 2) * width
            _bar(axes, middle, final[f"{m},{k}"], colours[k], width * 0.9, k)
    axes.axhline(1 / max(len(modalities) - 1, 1), color="#888888", lw=1, ls=":")
    axes.set_xticks(range(len(modalities)), [f"{label(m)} to" for m in modalities])
    axes.set(ylabel=_SIGNS["pi_z"], ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)


def _bar(axes: Axes, place: float, values: NDArray[np.float64], colour: str, width: float, name: str) -> None:
    axes.bar(place, values.mean(), width, color=colour, label=name)
    if len(values) > 1:
        axes.plot([place] * len(values), values, "o", color="black", ms=3, alpha=0.6)


def _colours(groups: Groups) -> dict[str, str]:
    """By modality: the usual ones, and others of the palette for the user's own."""
    names = dict.fromkeys(m for _, _, modalities in groups for m in modalities)
    own = [m for m in names if m not in COLOURS]
    return {**COLOURS, **{m: PALETTE[i % len(PALETTE)] for i, m in enumerate(own, 3)}}


def _histories(runs: Sequence[RunWeights]) -> list[Sequence[Mapping[str, Any]]]:
    return [run.e_steps for run in runs]


def _final(runs: Sequence[RunWeights], kind: str) -> dict[str, NDArray[np.float64]]:
    """(seeds,) final weights by modality or pair."""
    return {name: np.array([run.final[kind][name] for run in runs]) for name in runs[0].final[kind]}


def _spread(values: NDArray[np.float64]) -> dict[str, Any]:
    mean = values.mean(axis=0).round(4).tolist()
    return {"mean": mean, "std": values.std(axis=0, ddof=1).round(4).tolist() if len(values) > 1 else None}


def _check_made_alike(run: RunWeights, other: RunWeights) -> None:
    """PolysenseError where two runs of a group differ in more than their seed."""
    names = dict.fromkeys((*run.made_with, *other.made_with))
    different = [name for name in names if run.made_with.get(name) != other.made_with.get(name)]
    if different:
        raise PolysenseError(
            f"{run.source} and {other.source} are both {run.method} on {run.task} but differ in more than the seed "
            f"({', '.join(different)}): no mean can be drawn; give them one by one"
        )


def _check_names(run: RunWeights) -> None:
    """ValueError where weights are of other modalities than the run."""
    pairs = {f"{m},{k}" for m in run.modalities for k in run.modalities if m != k}
    named = [("z", e_step["z"]) for e_step in run.e_steps] + list(run.final.items())
    for kind, weights in named:
        if set(weights) != (pairs if kind == "pi_z" else set(run.modalities)):
            raise ValueError(f"{kind} of other modalities than {', '.join(run.modalities)}")


def _numbers(weights: Mapping[str, Any]) -> dict[str, float]:
    """Weights by name; ValueError where one is not from 0 to 1, which no weight can be."""
    numbers = {str(name): float(value) for name, value in weights.items()}
    for name, value in numbers.items():
        if not 0 <= value <= 1.001:
            raise ValueError(f"weight {value} of {name}")
    return numbers
