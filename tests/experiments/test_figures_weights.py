"""MASE Figure 4 over several runs, and what MaCSC's modalities count for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from figure_support import numbers
from polysense.errors import PolysenseError
from polysense.experiments.figures.weights import draw_groups, read_runs, weights_numbers
from polysense.training.train import train
from polysense.training.weights_figure import plot_weights
from tiny_runs import Cli

pytest_plugins = ("tiny_runs", "figure_support")


def history(*text: float) -> list[dict[str, Any]]:
    return [{"step": i, "z": {"text": z, "image": 1 - z}} for i, z in enumerate(text)]


def results(file: Path, task: str = "sst2", seed: int = 0, **given: Any) -> Path:
    """Results as train writes them, as far as weights go."""
    held = {
        "task": task,
        "method": "mase",
        "modalities": ["text", "image"],
        "settings": {"seed": seed},
        "e_steps": history(0.6, 0.8),
        "weights": {"z": {"text": 0.8, "image": 0.2}},
        **given,
    }
    file.write_text(json.dumps(held))
    return file


def macsc(file: Path, rho: float, pairs: float = 1.0, **given: Any) -> Path:
    weights = {"rho": {"text": rho, "image": 1 - rho}, "pi_z": {"text,image": pairs, "image,text": pairs}}
    return results(file, method="macsc", e_steps=[], weights=weights, **given)


def test_mean_and_spread_over_seeds() -> None:
    axes = Figure().subplots()
    plot_weights(axes, [history(0.6, 0.8), history(0.4, 0.9)])
    text, image = axes.lines
    assert text.get_ydata() == pytest.approx([0.5, 0.5, 0.85]) and image.get_ydata() == pytest.approx([0.5, 0.5, 0.15])
    spread = np.std([0.6, 0.4], ddof=1)
    corners = axes.collections[0].get_paths()[0].vertices
    at_one = corners[corners[:, 0] == 1, 1]
    assert (at_one.min(), at_one.max()) == pytest.approx((0.5 - spread, 0.5 + spread))
    plot_weights(one := Figure().subplots(), [history(0.6)])
    assert not one.collections


def test_a_band_ends_where_weights_end() -> None:
    plot_weights(axes := Figure().subplots(), [history(1.0), history(0.1)])
    assert all(path.vertices[:, 1].min() >= 0 for band in axes.collections for path in band.get_paths())
    assert all(path.vertices[:, 1].max() <= 1 for band in axes.collections for path in band.get_paths())


def test_several_tasks_and_methods_side_by_side(figure: Cli, tmp_path: Path) -> None:
    runs = [
        results(tmp_path / "a.json", seed=0),
        results(tmp_path / "b.json", seed=1, e_steps=history(0.4, 0.9), weights={"z": {"text": 0.9, "image": 0.1}}),
        results(tmp_path / "c.json", task="csqa"),
        macsc(tmp_path / "d.json", 0.25),
        macsc(tmp_path / "e.json", 0.35, seed=1),
    ]
    result = figure("figure", "weights", *runs, "--output", tmp_path / "w.png", "--json").json
    assert result == numbers(tmp_path / "w.png")
    groups = {(g["task"], g["method"]): g for g in result["groups"]}
    assert list(groups) == [("sst2", "mase"), ("csqa", "mase"), ("sst2", "macsc")]
    mase = groups["sst2", "mase"]
    assert mase["seeds"] == [0, 1] and mase["z_by_e_step"]["text"]["mean"] == [0.5, 0.5, 0.85]
    assert mase["final"]["z"]["text"] == {"mean": 0.85, "std": pytest.approx(np.std([0.8, 0.9], ddof=1), abs=1e-4)}
    assert groups["csqa", "mase"]["z_by_e_step"]["text"] == {"mean": [0.5, 0.6, 0.8], "std": None}
    rho = groups["sst2", "macsc"]["final"]["rho"]
    assert groups["sst2", "macsc"]["z_by_e_step"] == {} and rho["text"]["mean"] == 0.3
    shown = figure("figure", "weights", *runs, "--output", tmp_path / "w.svg")
    assert shown.status == 0 and "csqa" in shown.out and numbers(tmp_path / "w.svg")["groups"] == result["groups"]


def test_bars_of_the_final_weights(tmp_path: Path) -> None:
    pairs = {f"{m},{k}": 0.1 * i for i, (m, k) in enumerate([(m, k) for m in "abc" for k in "abc" if m != k], 1)}
    weights = {"rho": {"a": 0.2, "b": 0.3, "c": 0.5}, "pi_z": pairs}
    files = [
        results(
            tmp_path / f"{seed}.json", method="macsc", modalities=list("abc"), e_steps=[], weights=weights, seed=seed
        )
        for seed in (0, 1)
    ]
    groups = read_runs(files)
    rho, pi_z = draw_groups(groups).axes
    assert [bar.get_height() for bar in rho.patches] == pytest.approx([0.2, 0.3, 0.5])
    assert [bar.get_height() for bar in pi_z.patches] == pytest.approx(list(pairs.values()))
    assert [tick.get_text() for tick in pi_z.get_xticklabels()] == ["a to", "b to", "c to"]
    assert len(rho.lines) == 3 + 1  # a row of dots a bar, and the line of even weights
    assert len({bar.get_facecolor() for bar in rho.patches}) == 3
    assert weights_numbers(groups)["groups"][0]["final"]["pi_z"]["c,b"] == {"mean": 0.6, "std": 0.0}


def test_what_train_writes(figure: Cli, tiny: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "mase"
    made = train(folder, method="mase", **{**tiny, "epochs": 4, "batch_size": 4}, kind="classification")
    result = figure("figure", "weights", folder, "--output", tmp_path / "w.png", "--json").json
    (group,) = result["groups"]
    path = [0.5, *(e_step["z"]["image"] for e_step in made["e_steps"])]
    assert group["z_by_e_step"]["image"]["mean"] == pytest.approx(path, abs=1e-4) and group["seeds"] == [0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": {}}, "method mase has no weights of modalities; give runs of macsc or mase"),
        ({"weights": {"z": {"text": 2.0, "image": -1.0}}}, "not the results of polysense train .*weight 2.0 of text"),
        ({"weights": {"z": {"text": 1.0, "smell": 0.0}}}, "z of other modalities than text, image"),
        ({"weights": {"pi_z": {"text,image": 1.0}}}, "pi_z of other modalities"),
        ({"weights": {"z": {"text": "much", "image": 0.1}}}, "not the results of polysense train"),
        ({"e_steps": [{"z": {"text": 1.0}}]}, "z of other modalities"),
        ({"e_steps": 3}, "not the results of polysense train"),
        ({"settings": {"seed": float("inf")}}, "not the results of polysense train .*OverflowError"),
        ({"settings": None}, "not the results of polysense train"),
    ],
)
def test_results_that_are_none(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(PolysenseError, match=message) as error:
        read_runs([results(tmp_path / "r.json", **given)])
    assert str(tmp_path / "r.json") in str(error.value) and "\n" not in str(error.value)


def test_runs_that_have_no_mean(figure: Cli, tmp_path: Path) -> None:
    one = results(tmp_path / "one.json")
    with pytest.raises(PolysenseError, match=r"one\.json are both mase on sst2 with seed 0"):
        read_runs([one, results(tmp_path / "two.json")])
    with pytest.raises(PolysenseError, match="have other weights, or 1 and 2 E-steps"):
        read_runs([one, results(tmp_path / "two.json", seed=1, e_steps=history(0.5))])
    for given, named in (
        ({"settings": {"seed": 1, "learning_rate": 1e-3}}, "learning_rate"),
        ({"backbone": "roberta-base", "train_rows": 100}, "backbone, train_rows"),
        ({"towers": {"image": "f0"}}, "towers"),
    ):
        held = {"settings": {"seed": 1}, **given}
        with pytest.raises(
            PolysenseError, match=rf"two\.json and .*one\.json .* more than the seed \({named}\)"
        ) as error:
            read_runs([one, results(tmp_path / "two.json", **held)])
        assert "\n" not in str(error.value)
    assert len(read_runs([one, results(tmp_path / "two.json", "csqa", settings={"seed": 0, "epochs": 9})])) == 2
    with pytest.raises(PolysenseError, match="at least one folder"):
        read_runs([])
    for text in ("{", "[" * 200_000):
        (tmp_path / "bad.json").write_text(text)
        failed = figure("figure", "weights", tmp_path / "bad.json", "--output", "w.png")
        assert "bad.json: not the results" in failed.error
    missing = figure("figure", "weights", tmp_path / "gone", "--output", tmp_path / "w.png").error
    assert "gone: cannot be read" in missing
    assert "results.json: cannot be read" in figure("figure", "weights", tmp_path, "--output", "w.png").error
