"""Tables and curves of a study of vision-language pre-training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from polysense.experiments.results import machine, shown_score
from polysense.experiments.statistics import mean_and_std, paired_test
from polysense.folder import write_json, write_whole
from polysense.training.train import versions

MAIN_PART = "test"
_ACROSS = 4
_COLOURS = {"cmal": "#c2532f", "cmcl": "#2f7dc2", "none": "#4c566a", "text": "#9aa7b5"}
_MORE_COLOURS = ("#3d9a5f", "#8c5fb0", "#c29a2f", "#b0567f", "#2f9a9a", "#6b6f3a")


def summarise(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a problem, scored part, start and share: scores by seed in points of 100, mean, and standard deviation.

    A part other than "test" is a problem of its own, e.g. "vqa/test_seen"; these stand behind the others.
    """
    grouped: dict[tuple[str, str, str, Any], list[Mapping[str, Any]]] = {}
    for cell in cells:
        for part in cell["scores"]:
            grouped.setdefault((part, cell["problem"], cell["start"], cell["share"]), []).append(cell)
    rows = []
    for (part, name, start, share), group in sorted(grouped.items(), key=lambda item: item[0][0] != MAIN_PART):
        problem = name if part == MAIN_PART else f"{name}/{part}"
        metric = group[0]["metric"]
        parts = [cell["scores"][part] for cell in group]
        scores = [round(100 * part_scores[metric], 2) for part_scores in parts]
        mean, std = mean_and_std(scores)
        rows.append(
            {
                "problem": problem,
                "method": start,
                "share": share,
                "metric": metric,
                "seeds": [cell["seed"] for cell in group],
                "scores": scores,
                "mean": mean,
                "std": std,
                "seconds": round(sum(cell["seconds"] for cell in group), 1),
                "parts": _parts(parts, metric),
            }
        )
    return rows


def _parts(scores: Sequence[Mapping[str, float]], metric: str) -> dict[str, float]:
    """The other scores, means over seeds, in points of 100; ranks as they are."""
    names = [name for name in scores[0] if name != metric]
    return {
        name: round(float(np.mean([s[name] for s in scores if name in s])) * (1 if "rank" in name else 100), 2)
        for name in names
    }


def data_needed(
    rows: Sequence[Mapping[str, Any]], ours: str = "cmal", theirs: str = "cmcl"
) -> dict[str, dict[str, Any] | None]:
    """By problem: the smallest share from which on the mean score of `ours` is at least that of `theirs` on all data.

    Returns:
        share, and the `paired_test` there on the same seeds; None: at none. A problem that `theirs` was not scored on
        with all data is left out, as are starts with methods.
    """
    needed: dict[str, dict[str, Any] | None] = {}
    for problem in dict.fromkeys(row["problem"] for row in rows):
        of = [row for row in rows if row["problem"] == problem]
        target = next((row for row in of if row["method"] == theirs and row["share"] == 1), None)
        if target is None:
            continue
        needed[problem] = None
        for row in sorted((row for row in of if row["method"] == ours), key=lambda row: -float(row["share"])):
            if row["mean"] < target["mean"]:
                break
            test = paired_test(row["scores"], target["scores"]) if row["seeds"] == target["seeds"] else {}
            needed[problem] = {"share": row["share"], **test}
    return needed


def save_study(
    file: Path,
    cells: Sequence[Mapping[str, Any]],
    command: str,
    pretraining: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the numbers as JSON, the table as Markdown and, where several shares were tried, the curve as PNG.

    Args:
        file: of the JSON; the others have the same name.
        pretraining: the results of the pre-training runs.
        settings: of the study.
    """
    rows = summarise(cells)
    result = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "settings": dict(settings),
        "notes": list(notes),
        "rows": rows,
        "tests": _tests(rows),
        "data_needed": data_needed(rows),
        "pretraining": list(pretraining),
    }
    write_json(file, result)
    write_whole(file.with_suffix(".md"), markdown_study(result))
    if len({row["share"] for row in rows if row["share"] is not None}) > 1:
        curve(rows).savefig(file.with_suffix(".png"), dpi=130)
    return result


def _tests(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The first start against the others on the same problem, share and seeds; one without a share meets it on all
    data.
    """
    first, tests = rows[0]["method"], []
    for row in rows:
        if row["method"] == first:
            continue
        share = 1 if row["share"] is None else row["share"]
        for ours in rows:
            same = ours["problem"] == row["problem"] and ours["share"] == share and ours["seeds"] == row["seeds"]
            if ours["method"] == first and same:
                test = paired_test(ours["scores"], row["scores"])
                tests.append({"problem": row["problem"], "share": share, "against": row["method"], **test})
    return tests


def markdown_study(result: Mapping[str, Any]) -> str:
    """A page with the tables of a results file."""
    lines = [f"`{result['command']}`", "", f"{result['date']}, {result['machine']}. Points of 100; "]
    lines[-1] += "± is the standard deviation over seeds, brackets the 95% interval of a paired t-test."
    better = f"{_label(result['rows'][0]['method'])} is better by"
    lines += ["", f"| problem | start | share of the pairs | score | seeds | mean | {better} | p |"]
    lines += ["| --- |" + " --- |" * 7]
    tests = {(test["problem"], test["against"], test["share"]): test for test in result["tests"]}
    for row in result["rows"]:
        share = "" if row["share"] is None else f"{100 * row['share']:g}%"
        test = tests.get((row["problem"], row["method"], 1 if row["share"] is None else row["share"]), {})
        against = _difference(test)
        p = f"{test['p']:.2g}" if test.get("p") is not None else ""
        cells = [row["problem"], _label(row["method"]), share, row["metric"], str(len(row["seeds"]))]
        lines.append("| " + " | ".join([*cells, shown_score(row), against, p]) + " |")
    if result["data_needed"]:
        lines += ["", "Smallest share of the pairs from which on CMAL's mean reaches CMCL's on all of them, and by how"]
        lines[-1] += " much CMAL is better there:"
        lines.append("")
        for problem, needed in result["data_needed"].items():
            lines.append(f"- {problem}: " + ("at none" if needed is None else _needed(needed)))
    lines += ["", *(f"- {note}" for note in result["notes"])] if result.get("notes") else []
    return "\n".join(lines) + "\n"


def _difference(test: Mapping[str, Any]) -> str:
    """A mean difference with its interval, as far as there are any."""
    interval = f" [{test['low']:+z.1f}, {test['high']:+z.1f}]" if test.get("low") is not None else ""
    return f"{test['difference']:+z.1f}{interval}" if "difference" in test else ""


def _needed(needed: Mapping[str, Any]) -> str:
    return ", ".join(filter(None, [f"{100 * needed['share']:g}%", _difference(needed)]))


def curve(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel a problem: score against the share of the pairs, a dot a seed; flat lines for starts without a share."""
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    across, down = min(_ACROSS, len(problems)), math.ceil(len(problems) / _ACROSS)
    figure = Figure(figsize=(3.4 * across, 0.5 + 3.1 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes in panels[len(problems) :]:
        axes.set_axis_off()
    methods = dict.fromkeys(row["method"] for row in rows)
    others = zip([name for name in methods if name not in _COLOURS], cycle(_MORE_COLOURS), strict=False)
    colours = {**_COLOURS, **dict(others)}
    for axes, problem in zip(panels, problems, strict=False):
        of = [row for row in rows if row["problem"] == problem]
        for method in dict.fromkeys(row["method"] for row in of):
            mine = sorted((row for row in of if row["method"] == method), key=lambda row: row["share"] or 0)
            colour = colours[method]
            if mine[0]["share"] is None:
                axes.axhline(mine[0]["mean"], color=colour, ls=":", lw=1.4, label=_label(method))
                continue
            shares = [100 * row["share"] for row in mine]
            axes.plot(shares, [row["mean"] for row in mine], "o-", ms=5, color=colour, label=_label(method))
            for share, row in zip(shares, mine, strict=True):
                axes.plot([share] * len(row["scores"]), row["scores"], ".", color=colour, alpha=0.5, ms=4)
        axes.set_xscale("log")
        ticks = sorted({100 * row["share"] for row in of if row["share"]})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set(title=problem, xlabel="% of the pre-training pairs")
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("test score, points of 100", fontsize="medium")
    shown = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = min(len(shown), 2 * across)
    figure.legend([*shown.values()], [*shown], frameon=False, ncols=columns, loc="outside upper center")
    return figure


def _label(method: str) -> str:
    """What a start is called in a table: a recipe, one with a method, or a baseline."""
    recipe, _, by = method.partition("+")
    if by:
        return f"{recipe.upper()} without prototypes" if by == "text" else f"{recipe.upper()} + {by.upper()}"
    return {"none": "not pre-trained", "text": "text alone"}.get(method, method.upper())
