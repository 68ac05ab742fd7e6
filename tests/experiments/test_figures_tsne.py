"""MASE Figure 5a: what prediction layers see, in the plane and as a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from figure_support import made_split, numbers
from polysense.errors import PolysenseError
from polysense.experiments.figures.embedding import to_plane
from polysense.experiments.figures.inputs import scored_split
from polysense.experiments.figures.outputs import features_of, prediction_features
from polysense.experiments.figures.projection import ClassMap, Panel, class_map_of, class_silhouette, draw_class_map
from polysense.experiments.figures.style import PALETTE, class_looks, label
from polysense.methods.base import Sizes
from polysense.methods.macsc.fusion import LateFusion
from polysense.methods.mase.weighting import EvenWeighting
from polysense.methods.plain import Concatenation, TextOnly
from polysense.methods.targets import ClassTarget
from polysense.tasks import Task
from polysense.training.predict import Predictor
from polysense.training.train import train
from tiny_runs import Cli

pytest_plugins = ("tiny_runs", "figure_support")


def blobs(apart: float, each: int = 20, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of points around centres that are that far apart."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], each)
    features = random.normal(size=(2 * each, width))
    features[:, 0] += apart * labels
    return features, labels


def slow_silhouette(features: np.ndarray, labels: np.ndarray) -> float:
    """Rousseeuw's definition (1987), point by point."""
    values = []
    for i in range(len(labels)):
        distances = [float(np.sqrt(((features[i] - other) ** 2).sum())) for other in features]
        own = [d for j, d in enumerate(distances) if labels[j] == labels[i] and j != i]
        a = sum(own) / len(own)
        others = {c: [d for j, d in enumerate(distances) if labels[j] == c] for c in set(labels) - {labels[i]}}
        b = min(sum(d) / len(d) for d in others.values())
        values.append((b - a) / max(a, b))
    return sum(values) / len(values)


def test_the_silhouette_against_its_definition() -> None:
    far, near = (blobs(apart) for apart in (8, 0))
    for features, labels in (far, near):
        assert class_silhouette(features, labels) == pytest.approx(slow_silhouette(features, labels))
    assert class_silhouette(*far) > 0.5 > 0.1 > class_silhouette(*near)
    with pytest.raises(PolysenseError, match="40 rows of 1 labels: it takes two"):
        class_silhouette(far[0], np.zeros(40, int))
    with pytest.raises(PolysenseError, match="3 rows of 3 labels"):
        class_silhouette(far[0][:3], np.arange(3))


def test_neighbours_stay_neighbours_and_the_seed_decides() -> None:
    features, labels = blobs(12)
    plane = to_plane(features, perplexity=5, seed=1)
    assert plane.points.shape == (40, 2) and plane.perplexity == 5
    distances = np.linalg.norm(plane.points[:, None] - plane.points[None], axis=-1) + np.eye(40) * 1e9
    assert (labels[distances.argmin(axis=1)] == labels).all()
    np.testing.assert_array_equal(plane.points, to_plane(features, perplexity=5, seed=1).points)
    centred = features - features.mean(axis=0)
    axes = np.linalg.svd(centred)[2][:2]
    np.testing.assert_allclose(np.abs(to_plane(features, "pca").points), np.abs(centred @ axes.T), atol=1e-9)


def test_a_perplexity_that_is_too_much_is_lowered_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    plane = to_plane(blobs(1)[0][:10])
    assert plane.perplexity == 3
    assert "perplexity 30 is too much for 10 rows and is lowered to 3" in caplog.text
    assert to_plane(np.arange(4.0)[:, None]).points.shape == (4, 2)  # the fewest, of a single column


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.eye(3), "3 rows are too few"),
        (np.ones((9, 3)), "all rows have the same features"),
        (np.full((9, 3), np.nan), "no numbers: did training diverge"),
    ],
)
def test_features_that_cannot_be_drawn(features: np.ndarray, message: str) -> None:
    with pytest.raises(PolysenseError, match=message):
        to_plane(features)
    with pytest.raises(PolysenseError, match="perplexity must be at least 1"):
        to_plane(blobs(1)[0], perplexity=0.5)


def test_what_each_prediction_layer_reads() -> None:
    torch.manual_seed(0)
    sizes, target = Sizes(4, {"image": 3}), ClassTarget([0.5, 0.5])
    r = {m: torch.randn(5, 4) for m in sizes.modalities}
    text, image = r["text"], r["image"]

    def features(combination: Any) -> torch.Tensor:
        return prediction_features(combination, r, combination(r)[1])

    mase = EvenWeighting(sizes, target)
    mase.z.copy_(torch.tensor([0.9, 0.1]))
    torch.testing.assert_close(features(mase), 0.9 * text + 0.1 * image)
    torch.testing.assert_close(mase.head(features(mase)).log_softmax(-1), mase(r)[0])
    mpb = Concatenation(sizes, target)
    torch.testing.assert_close(features(mpb), torch.cat([text, image], dim=1))
    torch.testing.assert_close(mpb.head(features(mpb)).log_softmax(-1), mpb(r)[0])
    torch.testing.assert_close(features(TextOnly(sizes, target)), text)
    macsc = LateFusion(sizes, target)
    macsc.log_rho.data = torch.tensor([0.25, 0.75]).log()
    torch.testing.assert_close(features(macsc), torch.cat([0.25 * text, 0.75 * image], dim=1))


@pytest.fixture(scope="module")
def mase(tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mase") / "model"
    train(folder, method="mase", **tiny, kind="classification")
    return folder


def test_features_of_a_model_in_the_order_of_the_rows(two: list[Path], tiny_task: Task) -> None:
    split = scored_split("tiny", "validation")
    text = Predictor.load(two[0], batch_size=3)
    features = features_of(text, split)
    assert features.shape == (10, 16)
    with torch.no_grad():
        predicted = text.model.combination.head(torch.from_numpy(features)).log_softmax(dim=-1)
    expected = text.scores(list(split.rows["text"]))
    torch.testing.assert_close(predicted, expected, atol=1e-5, rtol=1e-5)
    assert features_of(Predictor.load(two[1]), split).shape == (10, 32)
    # The look at the model leaves nothing behind.
    assert not text.model._forward_hooks


def test_two_methods_side_by_side(figure: Cli, two: list[Path], tiny_task: Task, tmp_path: Path) -> None:
    given = ["--task", "tiny", "--split", "train", "--perplexity", 5]
    result = figure("figure", "tsne", *two, *given, "--output", tmp_path / "t.png", "--json").json
    assert result == numbers(tmp_path / "t.png")
    split = tiny_task.load().splits["train"]
    assert result["classes"] == [tiny_task.label_names[i] for i in split["label"]]
    for folder in two:
        found = result["models"][folder.name]
        features = features_of(Predictor.load(folder), scored_split("tiny", "train"))
        silhouette = slow_silhouette(features.astype(float), np.array(split["label"][:]))
        assert found["silhouette"] == pytest.approx(silhouette, abs=1e-4)
        assert np.array(found["points"]).shape == (24, 2) and found["perplexity"] == 5
    again = figure("figure", "tsne", *two, *given, "--output", tmp_path / "again.png")
    assert again.status == 0 and "silhouette" in again.out
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "t.png").read_bytes()


def test_fewer_rows_are_the_same_for_each_model(two: list[Path], tiny_task: Task) -> None:
    found = class_map_of(two, "tiny", "train", rows=9, seed=3, progress=False).to_dict()
    assert (found["rows"], found["drawn"], len(found["classes"])) == (24, 9, 9)
    assert all(len(model["points"]) == 9 for model in found["models"].values())
    other = class_map_of(two, "tiny", "train", rows=9, seed=4, progress=False).to_dict()
    assert other["models"] != found["models"]


def test_bad_input(
    figure: Cli, two: list[Path], mase: Path, tiny_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def error(*arguments: object) -> str:
        return figure("figure", "tsne", *arguments, "--output", "t.png").error

    assert "this figure is of tasks of classification" in error(two[0], "--task", "stsb")
    assert "was trained on the labels" in error(mase, "--task", "tiny")
    assert "is no trained Polysense model" in error(tmp_path, "--task", "tiny")
    whole = tiny_task.load()
    labels = np.array(whole.splits["train"]["label"][:])
    whole.splits["one"] = whole.splits["train"].select(np.flatnonzero(labels == labels[0]))
    whole.splits["few"] = whole.splits["train"].select(range(3))
    monkeypatch.setattr(tiny_task, "load", lambda _: whole, raising=False)
    assert "of 1 labels: it takes two" in error(two[0], "--task", "tiny", "--split", "one")
    assert "3 rows are too few" in error(two[0], "--task", "tiny", "--split", "few")
    with pytest.raises(PolysenseError, match="at least one folder"):
        class_map_of([], "tiny")
    assert not list(tmp_path.glob("t.*"))


def test_thirty_classes_look_different_and_colours_like_themselves() -> None:
    looks = class_looks([f"class {i}" for i in range(49)])
    assert len({(look["color"], look["marker"]) for look in looks}) == 49
    assert {look["color"] for look in looks} == set(PALETTE)
    painted = class_looks(["red", "yellow", "gray"])
    assert [look["color"] for look in painted][:1] == ["red"]
    assert len({look["marker"] for look in painted}) == 3
    names = tuple(f"class {i} $x_{i}$" for i in range(30))
    labels = np.tile(np.arange(30), 2)
    random = np.random.default_rng(0)
    plane = to_plane(random.normal(size=(60, 3)), "pca")
    panels = tuple(Panel(f"model {i}", plane, 3, 0.1) for i in range(4))
    drawn = draw_class_map(ClassMap(panels, labels, names, made_split(labels.tolist(), names), 0))
    FigureCanvasAgg(drawn).draw()
    whole = drawn.bbox
    for text in [t for axes in drawn.axes for t in [axes.title]] + drawn.legends[0].get_texts():
        box = text.get_window_extent()
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1


def test_names_on_a_picture() -> None:
    assert label("short") == "short"
    assert label("a\n\tb $x$") == r"a b \$x\$"
    cut = label("models/some/very/long/path/model-7")
    assert len(cut) == 24 and cut.startswith("models/") and cut.endswith("/model-7") and "…" in cut
